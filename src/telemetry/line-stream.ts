/**
 * The way of log lines to a file descriptor that may be full, unread or gone. Lines are collected
 * for some milliseconds and written together; a bounded number of bytes waits; above it lines are
 * dropped and counted. Nothing here blocks the process or throws.
 *
 * Pipes and sockets go through Node's own stdout, which is asynchronous for them: a blocking write
 * in a thread of the pool could never be given up, and the process could not exit before its
 * reader reads. Files and devices go through that pool, so that a slow disk holds up no request.
 */
import { fstatSync, write } from 'node:fs'

export interface LineStream {
  /** One line, ended. */
  write(line: string): void
  /** Resolves when everything was handed over, or after `deadlineMs`. */
  flush(deadlineMs: number): Promise<void>
}

/** Takes all bytes, then calls back once. Never called again before that. */
export interface Sink {
  write(bytes: Uint8Array, done: (error: Error | null | undefined) => void): void
}

export interface LineStreamOptions {
  readonly sink: Sink
  readonly onDropped: (lines: number) => void
  readonly delayMs?: number
  readonly limitBytes?: number
}

/** Long enough that a busy gate writes hundreds of lines at once, too short for anybody to wait. */
const DELAY_MS = 10
/** Some 10 000 lines: a second of a busy gate. */
const LIMIT_BYTES = 4_194_304
const STDOUT = 1

export function createLineStream(options: LineStreamOptions): LineStream {
  const { sink, onDropped, delayMs = DELAY_MS, limitBytes = LIMIT_BYTES } = options
  let waiting: string[] = []
  /** Of the lines that wait and of those being written. */
  let bytes = 0
  let isWriting = false
  let timer: NodeJS.Timeout | undefined
  let idleListeners: (() => void)[] = []

  const send = () => {
    clearTimeout(timer)
    timer = undefined
    if (isWriting || waiting.length === 0) return
    const lines = waiting.length
    const chunk = Buffer.from(waiting.join(''))
    waiting = []
    isWriting = true
    sink.write(chunk, error => {
      isWriting = false
      bytes -= chunk.length
      if (error) onDropped(lines)
      if (waiting.length > 0) send()
      else for (const listener of idleListeners.splice(0)) listener()
    })
  }

  return {
    write(line) {
      const size = Buffer.byteLength(line)
      if (bytes + size > limitBytes) {
        onDropped(1)
        return
      }
      bytes += size
      waiting.push(line)
      if (!isWriting) timer ??= setTimeout(send, delayMs)
    },
    flush(deadlineMs) {
      send()
      if (!isWriting) return Promise.resolve()
      return new Promise(resolve => {
        const deadline = setTimeout(resolve, deadlineMs)
        idleListeners = [...idleListeners, () => (clearTimeout(deadline), resolve())]
      })
    }
  }
}

/** Standard output, whatever it is connected to. */
export function openStdout(): Sink {
  const status = fstatSync(STDOUT)
  if (!status.isFIFO() && !status.isSocket()) return createFileSink(STDOUT)
  // A reader that left is told to each write; unheard, the event would end the process.
  process.stdout.on('error', () => undefined)
  return { write: (bytes, done) => process.stdout.write(bytes, done) }
}

/** A file or device. A device that has no room now is asked again. */
export function createFileSink(fd: number): Sink {
  const sink: Sink = {
    write(bytes, done) {
      write(fd, bytes, (error, written) => {
        if (error?.code === 'EAGAIN') setTimeout(() => sink.write(bytes, done), DELAY_MS)
        else if (error || written === bytes.length) done(error)
        else sink.write(bytes.subarray(written), done)
      })
    }
  }
  return sink
}
