/**
 * What went wrong with Postgres, in the words of the metrics.
 * Source: https://www.postgresql.org/docs/current/errcodes-appendix.html.
 */
import { DatabaseError } from 'pg'

/** Not answered in time. */
export class StoreTimeout extends Error {
  override readonly name = 'StoreTimeout'

  constructor() {
    super('the database did not answer in time')
  }
}

const BY_STATE: readonly (readonly [RegExp, string])[] = [
  [/^25006$/, 'readonly'],
  [/^53300$/, 'too_many'],
  [/^53[12]00$/, 'full'],
  [/^57P03$/, 'loading'],
  [/^(?:57014|55P03)$/, 'timeout'],
  [/^(?:57P0[12]|08)/, 'reset']
]

const BY_ERRNO: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'refused',
  EHOSTUNREACH: 'refused',
  ENETUNREACH: 'refused',
  ENOENT: 'refused',
  ENOTFOUND: 'refused',
  EAI_AGAIN: 'refused',
  ECONNRESET: 'reset',
  EPIPE: 'reset',
  ETIMEDOUT: 'timeout'
}

/** SQLSTATE, errno, or nothing. */
function codeOf(error: unknown): string {
  if (error instanceof AggregateError) return codeOf(error.errors.at(-1))
  return error instanceof Error && 'code' in error ? String(error.code) : ''
}

/** The label `reason` of store_errors_total. */
export function reasonOf(error: unknown): string {
  if (error instanceof StoreTimeout) return 'timeout'
  const code = codeOf(error)
  if (error instanceof DatabaseError) {
    return BY_STATE.find(([pattern]) => pattern.test(code))?.[1] ?? 'other'
  }
  const byErrno = BY_ERRNO[code]
  if (byErrno !== undefined) return byErrno
  // What the driver finds out by itself has no code.
  const message = error instanceof Error ? error.message : ''
  if (/timeout/i.test(message)) return 'timeout'
  return /terminated|closed|not queryable/i.test(message) ? 'reset' : 'other'
}

/** The server itself said no to a statement, and the connection is as good as before. */
export function isOfServer(error: unknown): boolean {
  return error instanceof DatabaseError && !/^(?:57P|08|53300)/.test(codeOf(error))
}

/** There was no connection, so nothing was sent. */
export function neverReached(error: unknown): boolean {
  return ['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'ENOENT'].includes(codeOf(error))
}
