/** A client that writes the bytes it is told to and nothing else, and keeps what comes back. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

export interface RawAnswer {
  readonly status: number
  /** Lower-case names; several values of one name are joined with a comma. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  /** The parsed body; empty where it is no JSON object. */
  readonly json: Readonly<Record<string, unknown>>
}

export interface RawResult {
  /** Everything that came, byte for character. */
  readonly text: string
  readonly answers: readonly RawAnswer[]
  /** The server ended or reset the connection by itself. */
  readonly closed: boolean
}

export interface RawOptions {
  /** Ends the waiting once so many answers are complete. */
  readonly answers?: number
  /** The longest wait, in ms. */
  readonly waitMs?: number
  /** Answers to HEAD have no body. */
  readonly isHead?: boolean
  /** How long the connection may take to close after the last answer, in ms. */
  readonly closingMs?: number
}

/** Sends the text (each character one byte) on a new connection. */
export async function sendRaw(
  port: number,
  text: string | readonly string[],
  { answers = 1, waitMs = 3000, isHead = false, closingMs = 20 }: RawOptions = {}
): Promise<RawResult> {
  const socket = connect(port, '127.0.0.1')
  socket.setNoDelay(true)
  const received = collect(socket)
  await once(socket, 'connect')
  for (const part of typeof text === 'string' ? [text] : text) {
    if (socket.destroyed) break
    socket.write(Buffer.from(part, 'latin1'))
    if (typeof text !== 'string') await new Promise(resolve => setImmediate(resolve))
  }
  const result = await received.until(
    () => parseAnswers(received.text(), isHead).length >= answers,
    waitMs,
    closingMs
  )
  socket.destroy()
  return { ...result, answers: parseAnswers(result.text, isHead) }
}

function collect(socket: Socket) {
  let text = ''
  let closed = false
  let wake = () => {}
  socket.on('data', chunk => {
    text += chunk.toString('latin1')
    wake()
  })
  socket.on('error', () => {
    closed = true
    wake()
  })
  socket.on('end', () => {
    closed = true
    wake()
  })
  return {
    text: () => text,
    async until(isDone: () => boolean, waitMs: number, closingMs: number) {
      const waitFor = async (isOver: () => boolean, ms: number) => {
        const end = Date.now() + ms
        while (!closed && !isOver() && Date.now() < end) {
          await new Promise<void>(resolve => {
            const timer = setTimeout(resolve, end - Date.now())
            wake = () => {
              clearTimeout(timer)
              resolve()
            }
          })
        }
      }
      await waitFor(isDone, waitMs)
      await waitFor(() => false, closingMs)
      return { text, closed }
    }
  }
}

/** The complete answers at the beginning of a stream of bytes; informational ones count too. */
export function parseAnswers(text: string, isHead = false): readonly RawAnswer[] {
  const found: RawAnswer[] = []
  let rest = text
  for (;;) {
    const end = rest.indexOf('\r\n\r\n')
    if (end < 0) return found
    const [first = '', ...lines] = rest.slice(0, end).split('\r\n')
    const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(first)?.[1])
    const headers: Record<string, string> = {}
    for (const line of lines) {
      const colon = line.indexOf(':')
      const name = line.slice(0, colon).toLowerCase()
      const value = line.slice(colon + 1).trim()
      headers[name] = name in headers ? `${headers[name]}, ${value}` : value
    }
    rest = rest.slice(end + 4)
    const body = isHead || status < 200 ? { text: '', rest } : readBody(rest, headers)
    if (!body) return found
    rest = body.rest
    found.push({ status, headers, body: body.text, json: parseJson(body.text) })
  }
}

function readBody(rest: string, headers: Readonly<Record<string, string>>) {
  if (headers['transfer-encoding'] === 'chunked') return readChunked(rest)
  const length = Number(headers['content-length'] ?? 0)
  return rest.length < length
    ? undefined
    : { text: rest.slice(0, length), rest: rest.slice(length) }
}

function readChunked(given: string) {
  let rest = given
  let text = ''
  for (;;) {
    const end = rest.indexOf('\r\n')
    if (end < 0) return undefined
    const size = Number.parseInt(rest.slice(0, end), 16)
    if (rest.length < end + 2 + size + 2) return undefined
    text += rest.slice(end + 2, end + 2 + size)
    rest = rest.slice(end + 2 + size + 2)
    if (size === 0) return { text, rest }
  }
}

function parseJson(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? { ...value } : {}
  } catch {
    return {}
  }
}
