/**
 * What may be written of a text or an error that came from elsewhere. The second net below named
 * log fields, and the only one for the messages of drivers: those quote addresses and passwords.
 */

/** Longest text of a driver that is written, in characters. */
const DRIVER_TEXT_CHARS = 300
/** Longest of any other; also bounds the work of the patterns. */
const TEXT_CHARS = 4000
const MOST_FRAMES = 12
/** Causes of causes: what a fault wraps, what a driver wraps in turn. */
const MOST_CAUSES = 3
const MOST_ITEMS = 200

const CREDENTIALS: readonly (readonly [RegExp, string])[] = [
  [/\b(Bearer|Basic)\s+[^\s"',;]+/gi, '$1 [redacted]'],
  [/ci_[0-9A-Za-z]{6,}/g, 'ci_[redacted]'],
  [/eyJ[\w-]{6,}(?:\.[\w-]*){1,4}/g, '[redacted]'],
  [/:\/\/[^\s/@]*@/g, '://[redacted]@']
]

/** A text without tokens, JWTs, credentials and passwords in URLs; cut at 4000 characters. */
export function redact(text: string): string {
  const cut = text.slice(0, TEXT_CHARS)
  return CREDENTIALS.reduce((rest, [pattern, by]) => rest.replace(pattern, by), cut)
}

/** A driver's text: redacted, without URLs, cut at 300 characters. */
export function scrub(text: string): string {
  const clean = redact(text).replaceAll(/\b(?!file:)[a-z][a-z0-9+.-]*:\/\/\S*/gi, '[url]')
  return clean.length > DRIVER_TEXT_CHARS ? `${clean.slice(0, DRIVER_TEXT_CHARS)}…` : clean
}

export interface ReducedError {
  readonly name: string
  readonly code?: string
  /** The message, scrubbed, and the first frames. */
  readonly stack: string
  readonly cause?: ReducedError
}

/** Name, code and stack of whatever was thrown: nothing else of an error is ever written. */
export function reduceError(thrown: unknown, depth = 1): ReducedError {
  if (!(thrown instanceof Error)) return { name: typeof thrown, stack: scrub(String(thrown)) }
  const frames = (thrown.stack ?? '').split('\n').filter(line => /^\s+at /.test(line))
  const message = [`${thrown.name}: ${scrub(thrown.message)}`, ...frames.slice(0, MOST_FRAMES)]
  const code = 'code' in thrown ? { code: scrub(String(thrown.code)) } : {}
  const hasCause = thrown.cause !== undefined && depth < MOST_CAUSES
  const cause = hasCause ? { cause: reduceError(thrown.cause, depth + 1) } : {}
  return { name: thrown.name, ...code, stack: message.join('\n'), ...cause }
}

/** Named fields as they may be written: plain values alone, `cause` reduced, no other object. */
export function reduceFields(
  fields: Readonly<Record<string, unknown>>
): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [
      name,
      name === 'cause' && value !== undefined ? reduceError(value) : reduceValue(value)
    ])
  )
}

function reduceValue(value: unknown): unknown {
  if (typeof value === 'string') return redact(value)
  if (typeof value === 'bigint') return String(value)
  if (Array.isArray(value)) return value.slice(0, MOST_ITEMS).map(reduceItem)
  return reduceItem(value)
}

function reduceItem(value: unknown): unknown {
  if (typeof value === 'string') return redact(value)
  const isPlain = value === null || ['number', 'boolean', 'undefined'].includes(typeof value)
  return isPlain ? value : `[${typeof value}]`
}
