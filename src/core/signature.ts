/**
 * Request signatures: proof that the request was made, a moment ago, by a holder of the token.
 *
 *   signature = hex(HMAC-SHA-256(token, "{timestamp}:{nonce}:{METHOD}:{path}:{bodyHash}"))
 *   bodyHash  = hex(SHA-256(body)); no body counts as zero bytes
 *
 * Pure: no clock, no store. The types keep the order of price: shape, age, then the HMAC. gate.ts
 * chooses the path and the body bytes to try, forwards the bytes that matched, and asks last
 * whether the nonce is new, so that only a holder of the token can use one up.
 * Source: the scheme is fixed by its clients; HMAC is RFC 2104.
 */
import { createHmac, hash, timingSafeEqual } from 'node:crypto'

export interface Stamp {
  /** Milliseconds since the Unix epoch by the client's clock, 13 digits; text, as it was signed. */
  readonly timestamp: string
  /** 1 to 128 characters, new for each request. */
  readonly nonce: string
}
/** `signature`: 64 hex digits, either case. */
export type SignatureHeaders = Stamp & { readonly signature: string }

declare const checked: unique symbol
export type WellFormed = SignatureHeaders & { readonly [checked]: unknown }
export type Fresh = SignatureHeaders & { readonly [checked]: 'age' }

export interface SignedParts {
  readonly method: string
  /** As on the request line: never decoded, never re-encoded. */
  readonly path: string
  readonly body: string | Uint8Array
}

const SIGNATURE = /^[0-9a-f]{64}$/i
const TIMESTAMP = /^[0-9]{13}$/
/** No colon: nonce "n", GET "/a:POST:/b" and nonce "n:GET:/a", POST "/b" would sign the same text. */
const NONCE = /^[\w.~+/=-]{1,128}$/

/** The first header whose shape is wrong, or undefined. */
export function malformedHeader(given: SignatureHeaders): keyof SignatureHeaders | undefined {
  if (!SIGNATURE.test(given.signature)) return 'signature'
  if (!TIMESTAMP.test(given.timestamp)) return 'timestamp'
  return NONCE.test(given.nonce) ? undefined : 'nonce'
}

export function isWellFormed(given: SignatureHeaders): given is WellFormed {
  return malformedHeader(given) === undefined
}

/** `nowMs` is the corrected clock; a difference of just `windowMs` passes, either way. */
export function isFresh(given: WellFormed, nowMs: number, windowMs: number): given is Fresh {
  return Math.abs(nowMs - Number(given.timestamp)) <= windowMs
}

/** Compares in constant time. False: another token, another text or another body was signed. */
export function isGenuine(given: Fresh, parts: SignedParts, token: string): boolean {
  const expected = Buffer.from(sign(given, parts, token), 'hex')
  return timingSafeEqual(Buffer.from(given.signature, 'hex'), expected)
}

/** Signs as a client does, for `tollgate sign` and the tests: 64 lower-case hex digits. */
export function sign({ timestamp, nonce }: Stamp, parts: SignedParts, token: string): string {
  const bodyHash = hash('sha256', parts.body, 'hex')
  const text = `${timestamp}:${nonce}:${parts.method}:${parts.path}:${bodyHash}`
  return createHmac('sha256', token).update(text).digest('hex')
}
