/**
 * What the parser refuses: there is no request to answer, so the answer is written on the socket,
 * with the same body as any other refusal, and the connection closes. Nothing is written into the
 * answer of another request.
 */
import { randomUUID } from 'node:crypto'
import { ServerResponse, STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import { deny, type DenialCode } from '../core/decision.ts'
import { isAnswered } from './problem.ts'

const CODES: Readonly<Record<string, DenialCode>> = {
  HPE_HEADER_OVERFLOW: 'HEADERS_TOO_LARGE',
  HPE_CHUNK_EXTENSIONS_OVERFLOW: 'BODY_TOO_LARGE',
  ERR_HTTP_REQUEST_TIMEOUT: 'REQUEST_TIMEOUT'
}

export function refuseUnparsed(error: Error & { code?: string }, socket: Duplex): void {
  if (!socket.writable || error.code === 'ECONNRESET') {
    socket.destroy()
    return
  }
  const current = currentResponse(socket)
  const refuse = () =>
    endConnection(socket, refusal(CODES[error.code ?? ''] ?? 'MALFORMED_REQUEST'))
  if (!current) refuse()
  else if (current.req.complete) {
    // The bytes that are wrong came after that request: it is answered first.
    current.once('close', () => refuseUnparsed(error, socket))
  } else if (isAnswered(current)) {
    // Its head was refused already: that answer is not cut short.
    current.once('close', () => endConnection(socket)).end()
  } else if (current.headersSent) socket.destroy()
  else refuse()
}

const LINGER_MS = 1000

/** A client that does not close its side, too, keeps no connection open. */
export function endConnection(socket: Duplex, text?: string): void {
  const timer = setTimeout(() => socket.destroy(), LINGER_MS)
  socket.once('close', () => clearTimeout(timer))
  socket.end(text)
}

/** Node keeps the response that is being written on its socket here; it has no other way to ask. */
function currentResponse(socket: Duplex): ServerResponse | undefined {
  const current: unknown = Reflect.get(socket, '_httpMessage')
  return current instanceof ServerResponse ? current : undefined
}

function refusal(code: DenialCode): string {
  const { status, body } = deny(code)
  const text = JSON.stringify({ ...body, code, requestId: randomUUID() })
  return [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    'Content-Type: application/json',
    'Cache-Control: no-store',
    `Content-Length: ${Buffer.byteLength(text)}`,
    `Date: ${new Date().toUTCString()}`,
    'Connection: close',
    '',
    text
  ].join('\r\n')
}
