/**
 * The request target: one canonical reading, or a denial. Nothing is repaired, decoded and encoded
 * again, or rebuilt: the bytes that are matched are the bytes that are signed and sent.
 *
 * What two servers could read in two ways is refused: dot segments, empty segments, raw or encoded
 * slashes and backslashes, escapes of characters that need none, bytes that a URL library would
 * change, text that Unicode normalisation would change.
 * Source: RFC 9112 section 3.2.1 (origin form), RFC 3986 sections 2 and 3.3, UAX #15 (NFKC).
 */
import { type Denial, deny } from './decision.ts'

declare const canonical: unique symbol

/** Path and query as received, proven to have one reading. */
export interface Target {
  readonly [canonical]: true
  /** The bytes to match, sign and send: path and, after `?`, the query. */
  readonly raw: string
  /** Without the query; a last slash, if any, is still there. */
  readonly path: string
  /** Without `?`; undefined where there is no `?`. */
  readonly query: string | undefined
  /** Raw segments, without the empty one after a last slash; `/` has none. */
  readonly segments: readonly string[]
}

/**
 * Segments of these characters, none empty, `.` or `..`, one last slash allowed. `%` is among them
 * and looked at again. No character has two places to go, so a hostile text is read once as well.
 */
const PATH = /^\/(?:(?!\.\.?(?:\/|$))[A-Za-z0-9\-._~!$&'()*+,:=@%]+(?:\/|$))*$/
/** Visible ASCII without `#`, and whole escapes. */
const QUERY = /^(?:[\x21\x22\x24\x26-\x7e]|%[0-9A-Fa-f]{2})*$/

/** A target in origin form, as on the request line. */
export function readTarget(raw: string): Target | Denial {
  const mark = raw.indexOf('?')
  const path = mark < 0 ? raw : raw.slice(0, mark)
  const query = mark < 0 ? undefined : raw.slice(mark + 1)
  const fields = { raw, path, query, segments: split(path) }
  return isCanonical(fields) ? fields : deny('MALFORMED_REQUEST', { reason: 'target' })
}

function isCanonical(fields: Omit<Target, typeof canonical>): fields is Target {
  const { path, query } = fields
  if (!PATH.test(path) || (path.includes('%') && !hasGoodEscapes(path))) return false
  return query === undefined || QUERY.test(query)
}

function split(path: string): readonly string[] {
  if (path === '/') return []
  return (path.endsWith('/') ? path.slice(1, -1) : path.slice(1)).split('/')
}

/** What may be written as an escape: it is no unreserved character, and no server's separator. */
const ESCAPABLE = /^[ !"$&'()*+,:<=>@[\]^`{|}]$/
const ESCAPES = /(?:%[0-9A-Fa-f]{2})+/g
/** Controls, format characters and line separators: invisible, and dropped by some. */
const UNSAFE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u

function hasGoodEscapes(path: string): boolean {
  // Whatever is left of a `%` after whole escapes were taken out is no escape.
  if (path.replaceAll(ESCAPES, '').includes('%')) return false
  let decoded: string
  try {
    decoded = decodeURIComponent(path)
  } catch {
    return false
  }
  if (decoded.normalize('NFKC') !== decoded || UNSAFE.test(decoded)) return false
  return [...path.matchAll(ESCAPES)].every(([run]) =>
    Array.from(decodeURIComponent(run)).every(char => char > '\u007f' || ESCAPABLE.test(char))
  )
}

/** Percent-decoded once; the segment is one of a canonical target. */
export function decodeSegment(raw: string): string {
  return raw.includes('%') ? decodeURIComponent(raw) : raw
}
