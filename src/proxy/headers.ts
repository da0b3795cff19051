/**
 * Which headers go on, in both directions.
 *
 * To the upstream: hop-by-hop headers and what Connection names go first, so that a client cannot
 * have the gate's own headers taken out; then every name that only the gate may send, in every
 * spelling; what the gate adds comes last. Nothing is joined, sorted or re-encoded.
 * Source: RFC 9110 section 7.6.1 (hop-by-hop), README, what the upstream receives.
 */
import type { Dispatcher } from 'undici'
import type { Permit } from '../core/decision.ts'
import { isNamed, readName } from '../core/header-name.ts'
import { identityHeaders, passesAuthorization } from '../core/identity.ts'
import type { Client } from './client-address.ts'

const HOP_BY_HOP = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'proxy-authorization',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'http2-settings'
])

/** Decided about already, or written anew below. */
const REPLACED = new Set(['host', 'content-length', 'expect', 'x-request-id'])

/** Of one span; beside one of ours, those of its parent would be a second answer. */
const TRACE_CONTEXT = new Set(['traceparent', 'tracestate'])

export interface Sent {
  readonly permit: Permit
  readonly client: Client
  readonly requestId: string
  /** Undefined: there is no body, or its length is not known. */
  readonly contentLength: number | undefined
  /** What names our own span; undefined: what the client sent goes on as it came. */
  readonly traceHeaders?: readonly string[] | undefined
}

/** Name and value in turn. */
export function requestHeaders(sent: Sent): string[] {
  const { permit, client, requestId, contentLength, traceHeaders } = sent
  const { head, principal } = permit
  const { rawHeaders, nominated } = head
  const headers = ['host', head.host]
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? ''
    const value = rawHeaders[i + 1] ?? ''
    const { folded, lower, isReserved } = readName(name)
    if (HOP_BY_HOP.has(folded) || REPLACED.has(folded)) continue
    if (isReserved || (nominated.length > 0 && nominated.includes(lower))) continue
    if (traceHeaders !== undefined && TRACE_CONTEXT.has(folded)) continue
    if (folded === 'authorization' && !passesAuthorization(principal, value)) continue
    headers.push(name, value)
  }
  if (contentLength !== undefined) headers.push('content-length', String(contentLength))
  headers.push('x-forwarded-for', client.forwardedFor, 'x-forwarded-proto', client.proto)
  headers.push('x-forwarded-host', client.host ?? head.host, 'x-request-id', requestId)
  if (traceHeaders !== undefined) headers.push(...traceHeaders)
  headers.push(...identityHeaders(permit))
  return headers
}

const PERSISTENCE = /^(?:keep-alive|close)$/i
const WOULD_DENY = 'x-tollgate-would-deny'

/** Of undici: a flat list of names and values, in bytes. */
export type RawHeaders = Dispatcher.DispatchController['rawHeaders']

/**
 * Of an answer: name and value in turn, as the upstream sent them, without what concerned its own
 * connection.
 */
export function responseHeaders(given: RawHeaders): string[] {
  const raw = Array.isArray(given) ? given : []
  const headers: string[] = []
  let nominated: string[] | undefined
  for (let i = 0; i < raw.length; i += 2) {
    const { name, lower, isDropped } = readAnswerName(raw[i])
    if (lower === 'connection') {
      const value = text(raw[i + 1])
      // The one is hop-by-hop anyway, and no header may be called the other (RFC 9110 section 18.4).
      if (!PERSISTENCE.test(value)) nominated = [...(nominated ?? []), ...splitList(value)]
    } else if (!isDropped) headers.push(name, text(raw[i + 1]))
  }
  return nominated === undefined ? headers : without(headers, nominated)
}

interface AnswerName {
  /** As sent. */
  readonly name: string
  readonly lower: string
  readonly isDropped: boolean
}

interface KnownName extends AnswerName {
  readonly bytes: Uint8Array
}

/** By their length: upstreams send the same few names, and to compare bytes costs less than a text. */
const knownNames: (KnownName[] | undefined)[] = []
const MOST_NAMES_A_LENGTH = 16
const MOST_NAME_BYTES = 64

function readAnswerName(given: Buffer | string | undefined): AnswerName {
  if (typeof given === 'string' || given === undefined || given.length > MOST_NAME_BYTES) {
    return toAnswerName(text(given))
  }
  const known = (knownNames[given.length] ??= [])
  for (const one of known) if (isSame(one.bytes, given)) return one
  const read = toAnswerName(text(given))
  // undici's bytes are part of all that it has read.
  if (known.length < MOST_NAMES_A_LENGTH) known.push({ ...read, bytes: Uint8Array.from(given) })
  return read
}

function toAnswerName(name: string): AnswerName {
  const lower = name.toLowerCase()
  return { name, lower, isDropped: HOP_BY_HOP.has(lower) || lower === WOULD_DENY }
}

/** Both are of one length, and short: `Buffer.equals` is four times as dear for so few bytes. */
function isSame(a: Uint8Array, b: Uint8Array): boolean {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}

/**
 * Whether the body is what the remaining headers say. Of the codings of a transfer only chunked is
 * taken off; any other would stay on a body that nothing says it of any more.
 */
export function isPassable(given: RawHeaders): boolean {
  const raw = Array.isArray(given) ? given : []
  for (let i = 0; i < raw.length; i += 2) {
    if (raw[i]?.length !== CODING.length || text(raw[i]).toLowerCase() !== CODING) continue
    if (
      text(raw[i + 1])
        .trim()
        .toLowerCase() !== 'chunked'
    )
      return false
  }
  return true
}

const CODING = 'transfer-encoding'

/** Header bytes are kept as they are: each is one character. */
function text(bytes: Buffer | string | undefined): string {
  return typeof bytes === 'string' ? bytes : (bytes?.toString('latin1') ?? '')
}

function splitList(value: string): string[] {
  return value
    .toLowerCase()
    .split(',')
    .map(name => name.trim())
}

function without(headers: readonly string[], names: readonly string[]): string[] {
  return headers.filter((_, i) => !names.includes((headers[i - (i % 2)] ?? '').toLowerCase()))
}

/** First value of a header by its lower-case name. */
export function valueOf(headers: readonly string[], name: string): string | undefined {
  for (let i = 0; i < headers.length; i += 2) {
    if (isNamed(headers[i] ?? '', name)) return headers[i + 1]
  }
  return undefined
}
