/**
 * Every answer that the gate gives itself: refusals, faults, and what its own routes say. One shape
 * of body, never cached. 401 is a verdict about a credential; our own failures are 5xx.
 * Source: RFC 9110 sections 10.2.3 (Retry-After) and 11.6.1, RFC 6750 section 3, RFC 8288 (Link).
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { asFault, type Denial } from '../core/decision.ts'
import type { OwnAnswer } from '../core/own-routes.ts'
import type { Log } from '../core/ports.ts'
import type { Exchange } from './exchange.ts'

export interface Answers {
  deny(exchange: Exchange, denial: Denial): void
  /** Anything thrown; logged with its cause where it is no verdict of a store. */
  fail(exchange: Exchange, thrown: unknown): void
  own(exchange: Exchange, answer: OwnAnswer): void
}

export interface AnswersDeps {
  readonly log: Log
  /** While draining, no connection is kept. */
  readonly isDraining: () => boolean
}

export function createAnswers({ log, isDraining }: AnswersDeps): Answers {
  return {
    deny(exchange, denial) {
      exchange.refused(denial)
      const { status, body, code, challenge, link, closes } = denial
      const headers: Record<string, string> = {}
      if (status === 401 || challenge !== undefined) {
        headers['WWW-Authenticate'] = `Bearer realm="tollgate"${challenge ? `, ${challenge}` : ''}`
      }
      if (link !== undefined) headers['Link'] = link
      send(exchange, { status, headers, closes: closes || isDraining() }, { ...body, code })
    },
    fail(exchange, thrown) {
      const fault = asFault(thrown)
      const { code, status, publicMessage, retryAfterSeconds, cause } = fault
      exchange.stage.code = code
      const { requestId } = exchange
      if (cause !== undefined)
        log.error('a request could not be served', { code, cause, requestId })
      const headers: Record<string, string> =
        retryAfterSeconds === undefined ? {} : { 'Retry-After': String(retryAfterSeconds) }
      send(exchange, { status, headers, closes: isDraining() }, { message: publicMessage, code })
    },
    own(exchange, { status, headers, body, code }) {
      exchange.stage.code = code
      const bytes = Buffer.from(body)
      write(exchange, { status, headers, closes: isDraining() }, bytes)
    }
  }
}

interface Frame {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly closes: boolean
}

function send(exchange: Exchange, frame: Frame, body: Readonly<Record<string, unknown>>): void {
  const text = JSON.stringify({ ...body, requestId: exchange.requestId })
  const headers = {
    ...frame.headers,
    'Content-Type': 'application/json',
    'Cache-Control': 'no-store'
  }
  write(exchange, { ...frame, headers }, Buffer.from(text))
}

const over = new WeakSet<Duplex>()

/**
 * The last answer of this connection was given. What was read behind that request is no request any
 * more: where its framing was refused, nobody knows where the next one begins (RFC 9112 section 9.6).
 */
export function isOver(socket: Duplex): boolean {
  return over.has(socket)
}

const answered = new WeakSet<ServerResponse>()

/** The gate's own answer is complete, though it may not have been ended yet. */
export function isAnswered(response: ServerResponse): boolean {
  return answered.has(response) || response.writableEnded
}

/** Whatever the answer to the request that is being read will be, it is the last one. */
export function endAfter(response: ServerResponse): void {
  response.shouldKeepAlive = false
  over.add(response.req.socket)
}

/**
 * Ends it with its whole body. Node joins a head and a text into one write; of a Buffer it makes two
 * pieces and a dearer call.
 */
export function endWith(response: ServerResponse, body: Buffer): void {
  response.end(body.toString('latin1'), 'latin1')
}

/** A refused body up to this size is read and dropped, so that the connection can go on. */
const DROPPED_BODY_BYTES = 65_536

function write(exchange: Exchange, { status, headers, closes }: Frame, body: Buffer): void {
  const { request, response, stage } = exchange
  // The head is out: nothing true can be said any more, and a clean end would be a lie.
  if (response.headersSent) {
    response.destroy()
    return
  }
  const isUnread = hasLongBody(request) && !request.complete
  const isLast = closes || isUnread
  if (isLast) over.add(request.socket)
  answered.add(response)
  response.writeHead(status, {
    ...headers,
    // Of a 304 it would be that of the body which the client has (RFC 9110 section 8.6).
    ...(status === 304 ? {} : { 'Content-Length': String(body.length) }),
    ...(isLast ? { Connection: 'close' } : {})
  })
  if (request.method !== 'HEAD') stage.bytesOut += body.length
  if (!isUnread) endWith(response, body)
  else linger(exchange, body)
}

function hasLongBody({ headers }: IncomingMessage): boolean {
  const isChunked = headers['transfer-encoding'] !== undefined
  return isChunked || Number(headers['content-length'] ?? 0) > DROPPED_BODY_BYTES
}

const LINGER_MS = 1000

/**
 * Closing a connection with unread bytes resets it, and the answer can be lost on the way. So the
 * answer is complete for the client, who stops sending, and the end comes when it has, or soon.
 */
function linger({ request, response }: Exchange, body: Buffer): void {
  response.write(body)
  const timer = setTimeout(end, LINGER_MS)
  request.on('error', () => undefined)
  request.on('end', end).on('close', end).resume()

  function end(): void {
    clearTimeout(timer)
    response.end()
  }
}
