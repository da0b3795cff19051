/** What went wrong with Redis, in the words of the metric `store_errors_total`. */

export type RedisReason =
  | 'timeout'
  | 'refused'
  | 'reset'
  | 'readonly'
  | 'full'
  | 'loading'
  | 'other'

/** Nobody can be asked now. */
export class RedisDown extends Error {
  readonly reason: RedisReason

  constructor(reason: RedisReason) {
    super(`redis is not available: ${reason}`)
    this.name = 'RedisDown'
    this.reason = reason
  }
}

/** First word of the server's errors, messages of the driver, codes of the system: first match. */
const PATTERNS: readonly (readonly [RegExp, RedisReason])[] = [
  [/^READONLY\b/, 'readonly'],
  [/^OOM\b/, 'full'],
  [/^LOADING\b/, 'loading'],
  [/ECONNREFUSED/, 'refused'],
  [/timed? ?out|ETIMEDOUT|Socket timeout/i, 'timeout'],
  [/ECONNRESET|EPIPE|Connection is closed|Stream isn't writeable|aborted/i, 'reset']
]

export function reasonOf(cause: unknown): RedisReason {
  if (cause instanceof RedisDown) return cause.reason
  if (!(cause instanceof Error)) return 'other'
  // The driver wraps what the last node of a cluster said.
  if ('lastNodeError' in cause) return reasonOf(cause.lastNodeError)
  const code = 'code' in cause && typeof cause.code === 'string' ? cause.code : ''
  const text = `${cause.message} ${code}`
  return PATTERNS.find(([pattern]) => pattern.test(text))?.[1] ?? 'other'
}

/** The server says that another one has the key, or that it cannot write: look who can. */
export function isMisdirected(cause: unknown): boolean {
  return cause instanceof Error && /^(?:MOVED|ASK|CLUSTERDOWN|READONLY)\b/.test(cause.message)
}
