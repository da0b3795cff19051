/**
 * The log: one JSON object a line on standard output. Lines are made of named fields, never of a
 * request or an error object: serialisers are allow-lists, redaction is only the second net.
 *
 * pino's own destination is not used: with a full disk behind standard output its flush at exit
 * repeats the failing write for ever, and the process does not end.
 */
import { type DestinationStream, type LoggerOptions, pino } from 'pino'
import type { Log, LogFields } from '../core/ports.ts'
import {
  accessFields,
  type AccessLine,
  type AccessMode,
  createUnsignedUse,
  isRefused
} from './access.ts'
import { createLineStream, type LineStream, openStdout } from './line-stream.ts'
import { redact, reduceFields } from './scrub.ts'

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent'

export interface GateLog extends Log {
  /**
   * The line of a request that ended. Also counts unsigned use of `ci_` tokens, which is told once
   * an hour and token even where access lines are off.
   */
  access(line: AccessLine): void
  /** What is collected goes out, within 200 ms: the last thing before the process ends. */
  flush(): Promise<void>
}

export interface LogOptions {
  readonly level: LogLevel
  readonly accessLog?: AccessMode
  /** Lines that found no room or no reader. */
  readonly onDropped?: (lines: number) => void
  /** Standard output where it is not given. */
  readonly stream?: LineStream
  readonly nowMs?: () => number
}

/** An outage makes one line, not one a request. */
const ERROR_PERIOD_MS = 10_000
const FLUSH_MS = 200
/** Codes and messages are few; a caller that invents new ones must not fill the memory. */
const MOST_ERRORS = 1000

/** Names that no caller has a reason to use. */
const NEVER_LOGGED = [
  'authorization',
  'body',
  'cookie',
  'digest',
  'headers',
  'jwt',
  'nonce',
  'password',
  'query',
  'rawHeaders',
  'rawTarget',
  'secret',
  'signature',
  'target',
  'token'
]

export function createLog(options: LogOptions): GateLog {
  const { level, accessLog = 'all', onDropped = () => undefined, nowMs = Date.now } = options
  const stream = options.stream ?? createLineStream({ sink: openStdout(), onDropped })
  const base: LoggerOptions = { level, base: null }
  const events = pino({ ...base, redact: NEVER_LOGGED }, asDestination(stream))
  const requests = pino(base, asDestination(stream))
  const errors = createErrorLimit(nowMs)
  const unsigned = createUnsignedUse(nowMs)

  return {
    info: (message, fields = {}) => events.info(reduceFields(fields), redact(message)),
    warn: (message, fields = {}) => events.warn(reduceFields(fields), redact(message)),
    error(message, fields = {}) {
      const suppressed = errors.pass(codeOf(fields) ?? message)
      if (suppressed === undefined) return
      const count = suppressed > 0 ? { suppressed } : {}
      events.error({ ...reduceFields(fields), ...count }, redact(message))
    },
    access(line) {
      const isWritten = accessLog === 'all' || (accessLog === 'refused' && isRefused(line))
      if (isWritten) {
        const isFault = isRefused(line) && line.status >= 500
        requests[isFault ? 'warn' : 'info'](accessFields(line), 'request')
      }
      if (line.auth !== 'cli-token' || line.signed !== false || line.tokenId === undefined) return
      const count = unsigned.note(line.tokenId)
      if (count !== undefined) events.warn({ tokenId: line.tokenId, count }, 'unsigned use')
    },
    flush: () => stream.flush(FLUSH_MS)
  }
}

function asDestination(stream: LineStream): DestinationStream {
  return { write: line => stream.write(line) }
}

function codeOf({ code }: LogFields): string | undefined {
  return typeof code === 'string' ? code : undefined
}

/** One error of a kind and period. */
function createErrorLimit(nowMs: () => number) {
  const seen = new Map<string, { writtenAtMs: number; suppressed: number }>()
  return {
    /** How many were left out since the last one that was written; undefined: leave this out too. */
    pass(kind: string): number | undefined {
      const known = seen.get(kind)
      if (known && nowMs() - known.writtenAtMs < ERROR_PERIOD_MS) {
        known.suppressed += 1
        return undefined
      }
      if (seen.size >= MOST_ERRORS) seen.clear()
      seen.set(kind, { writtenAtMs: nowMs(), suppressed: 0 })
      return known?.suppressed ?? 0
    }
  }
}
