/**
 * The requests of one connection, one at a time. Node hands over all that it has read: decided at
 * once, they would reach the upstream in any order, and one connection could take the places of all
 * the others. What waits is bounded, as the connection is not read meanwhile.
 * Source: RFC 9112 section 9.3.2 (pipelining).
 */
import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

interface Waiting {
  readonly response: ServerResponse
  readonly run: () => void
}

interface Line {
  current: ServerResponse | undefined
  readonly waiting: Waiting[]
  isPaused: boolean
}

/** So many may wait before reading stops; what one read has brought is kept. */
const MOST_WAITING = 16

const lines = new WeakMap<Socket, Line>()

/** Runs at once, or after the answers before it; not at all where the client has left. */
export function inTurn(response: ServerResponse, run: () => void): void {
  const { socket } = response.req
  const line = lines.get(socket) ?? addLine(socket)
  if (line.current) {
    line.waiting.push({ response, run })
    if (line.waiting.length > MOST_WAITING && !line.isPaused) {
      line.isPaused = true
      // The parser resumes reading after each message of the bytes it is at: after them, it stays.
      queueMicrotask(() => socket.pause())
    }
  } else start(socket, line, { response, run })
}

function addLine(socket: Socket): Line {
  const line = { current: undefined, waiting: [], isPaused: false }
  lines.set(socket, line)
  return line
}

/** Nobody on this connection waits for an answer. */
export function isIdle(socket: Socket): boolean {
  return lines.get(socket)?.current === undefined
}

function start(socket: Socket, line: Line, { response, run }: Waiting): void {
  line.current = response
  // `on`: it closes once, and `once` would cost a wrapper for each request.
  response.on('close', () => {
    line.current = undefined
    const next = socket.writable ? line.waiting.shift() : undefined
    if (next) start(socket, line, next)
    if (!line.isPaused || line.waiting.length > MOST_WAITING) return
    line.isPaused = false
    socket.resume()
  })
  run()
}
