/**
 * What went wrong with Postgres, in the words of the metrics.
 * Source: https://www.postgresql.org/docs/current/errcodes-appendix.html.
 */

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
  ENOENT: 'refused',
  ENOTFOUND: 'refused',
  EAI_AGAIN: 'refused',
  ECONNRESET: 'reset',
  EPIPE: 'reset',
  ETIMEDOUT: 'timeout'
}

const STATE = /^[0-9A-Z]{5}$/

/** SQLSTATE, errno, or nothing. */
function codeOf(error: unknown): string {
  if (error instanceof AggregateError) return codeOf(error.errors.at(-1))
  return error instanceof Error && 'code' in error ? String(error.code) : ''
}

/** The label `reason` of store_errors_total. */
export function reasonOf(error: unknown): string {
  if (error instanceof StoreTimeout) return 'timeout'
  const code = codeOf(error)
  const byErrno = BY_ERRNO[code]
  if (byErrno !== undefined) return byErrno
  const byState = BY_STATE.find(([pattern]) => STATE.test(code) && pattern.test(code))
  if (byState) return byState[1]
  const message = error instanceof Error ? error.message : ''
  if (/terminated|closed/i.test(message)) return 'reset'
  return /timeout/i.test(message) ? 'timeout' : 'other'
}

/** The server itself said no to a statement, and the connection is as good as before. */
export function isOfServer(error: unknown): boolean {
  const code = codeOf(error)
  return STATE.test(code) && !/^(?:57P|08|53300)/.test(code) && BY_ERRNO[code] === undefined
}
