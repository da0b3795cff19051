/**
 * The names of a request's headers: which of them decide, and which no client may send.
 *
 * Gateways, CGI and WSGI servers fold names: case never counts, and `_` or `.` may become `-`. So a
 * name counts as deciding or reserved in every such spelling.
 * Source: README, what the upstream receives; RFC 9110 section 5.1; RFC 3875 section 4.1.18.
 */

/** The spelling under which header names are compared here. */
export function foldName(name: string): string {
  return readName(name).folded
}

/** One reading of a header's name, for all who ask. */
export interface HeaderName {
  readonly lower: string
  /** As foldName gives it. */
  readonly folded: string
  /** Only the gate may send it. */
  readonly isReserved: boolean
  /** Which of those that a request is decided by this is, or could be taken for. */
  readonly deciding: DecidingName | undefined
  /** It promises the bytes of the body. */
  readonly isBodyDigest: boolean
}

export type DecidingName = (typeof DECIDING)[number]

/** Decided by, so each may stand once, in its own spelling. */
const DECIDING = [
  'host',
  'authorization',
  'content-length',
  'content-type',
  'content-encoding',
  'transfer-encoding',
  'expect',
  'x-org-id',
  'x-cli-signature',
  'x-cli-timestamp',
  'x-cli-nonce',
  'x-cli-signature-version'
] as const

const BODY_DIGESTS: readonly string[] = ['content-digest', 'repr-digest', 'digest', 'content-md5']

/** Clients send the same few names; beyond a bound, so that nobody can fill it, none is kept. */
const MOST_NAMES = 500
const names = new Map<string, HeaderName>()

export function readName(name: string): HeaderName {
  const known = names.get(name)
  if (known) return known
  const lower = name.toLowerCase()
  const folded = lower.replaceAll(/[_.]/g, '-')
  const read = {
    lower,
    folded,
    isReserved: isReservedName(folded),
    deciding: DECIDING.find(deciding => deciding === folded),
    isBodyDigest: BODY_DIGESTS.includes(folded)
  }
  if (names.size < MOST_NAMES && name.length < 64) names.set(name, read)
  return read
}

const NAMES: ReadonlySet<string> = new Set([
  'forwarded',
  'x-real-ip',
  'x-client-ip',
  'true-client-ip',
  'x-original-url',
  'x-original-uri',
  'x-original-method',
  'x-original-host',
  'x-rewrite-url',
  'x-http-method',
  'x-http-method-override',
  'x-method-override',
  'proxy'
])

const RESERVED_X = /^x-(?:ci-|cli-|forwarded-|client-cert|ssl-client-)/

/** `folded`: as foldName gives it. Reserved names are removed from every request, on every route. */
function isReservedName(folded: string): boolean {
  if (NAMES.has(folded)) return true
  if (folded.startsWith('x-')) return RESERVED_X.test(folded)
  return folded.startsWith('client-cert') || folded.startsWith('proxy-')
}

/** Whether a line is of this lower-case name, in its exact spelling but for case. */
export function isNamed(sent: string, name: string): boolean {
  // Most names differ in their length already.
  return sent.length === name.length && sent.toLowerCase() === name
}

/** Of each line of this lower-case name. `rawHeaders`: name and value in turn. */
export function valuesOf(rawHeaders: readonly string[], name: string): readonly string[] {
  const found: string[] = []
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (isNamed(rawHeaders[i] ?? '', name)) found.push(rawHeaders[i + 1] ?? '')
  }
  return found
}
