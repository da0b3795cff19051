/**
 * A signed request against what was received: which headers are there, and which reading of target
 * and body the client signed. Pure; gate.ts reads the body and claims the nonce.
 *
 * Published clients differ in two places where their guide is silent: some sign the path without the
 * query, some hash JSON formatted otherwise than they send it. Both are tried after the strict form,
 * and can be switched off. The bytes whose hash matched are the bytes that go on, so nobody behind
 * the gate can read another body than the one that was signed.
 */
import { type Denial, deny } from './decision.ts'
import { dropsBody, hasBody, type Head } from './head.ts'
import {
  type Fresh,
  isGenuine,
  isWellFormed,
  malformedHeader,
  type SignatureHeaders,
  type WellFormed
} from './signature.ts'
import { parseStrictJson } from './strict-json.ts'
import type { Target } from './target.ts'

export interface SignatureSettings {
  /** Accepted difference of the clocks, in ms. */
  readonly windowMs: number
  /** Larger signed bodies are refused, in bytes. */
  readonly bodyLimitBytes: number
  readonly query: 'either' | 'required'
  readonly body: 'raw-or-canonical' | 'raw'
}

const SHAPE_ERRORS = {
  signature: 'Invalid signature format',
  timestamp: 'Invalid timestamp format',
  nonce: 'Invalid nonce format'
} as const satisfies Record<keyof SignatureHeaders, string>

/** 401 INVALID_SIGNATURE with its documented reason; `result` is the metric's label. */
export function denySignature(error: string, result: string): Denial {
  return deny('INVALID_SIGNATURE', { body: { error }, reason: result })
}

/** One of the three headers, even an empty one, makes a request a signed one. */
export function isSigned(head: Head): boolean {
  return head.signature !== undefined || head.timestamp !== undefined || head.nonce !== undefined
}

/** The three headers in their right shape, or the refusal. Only for a request that is signed. */
export function readSignature(head: Head): WellFormed | Denial {
  const { signature, timestamp, nonce } = head
  if (signature === undefined || timestamp === undefined || nonce === undefined) {
    return denySignature('Incomplete signature headers', 'malformed')
  }
  const given = { signature, timestamp, nonce }
  if (isWellFormed(given)) return given
  return denySignature(SHAPE_ERRORS[malformedHeader(given) ?? 'signature'], 'malformed')
}

/** Only version 1 exists; a client that says another one means rules that are not ours. */
export function denyVersion(head: Head): Denial | undefined {
  if (head.signatureVersion === undefined || head.signatureVersion === '1') return undefined
  return denySignature('Unsupported signature version', 'malformed')
}

/** What must not be in a signed request, by its head alone; undefined: its body may be read. */
export function denySignedBody(head: Head): Denial | undefined {
  if (hasBody(head) && dropsBody(head)) {
    return deny('MALFORMED_REQUEST', { reason: 'signed-get-with-body' })
  }
  const encoding = head.contentEncoding?.toLowerCase()
  if (encoding === undefined || encoding === 'identity') return undefined
  return deny('UNSUPPORTED_CONTENT_ENCODING')
}

export interface SignedForm {
  readonly target: 'full' | 'path'
  readonly body: 'none' | 'raw' | 'canonical'
  /** The bytes that were signed, which are the bytes to send. */
  readonly bytes: Uint8Array
}

/** Strict form first. `body`: as received, zero bytes where there is none. Undefined: no match. */
export function matchSignature(
  given: Fresh,
  request: { readonly head: Head; readonly target: Target; readonly body: Uint8Array },
  token: string,
  settings: SignatureSettings
): SignedForm | undefined {
  const { head, target, body } = request
  const raw = matchTarget(given, request, token, settings)
  if (raw) return { target: raw, body: body.length === 0 ? 'none' : 'raw', bytes: body }
  const bytes = settings.body === 'raw' ? undefined : canonicalBody(head, body)
  if (!bytes) return undefined
  const canonical = matchTarget(given, { head, target, body: bytes }, token, settings)
  return canonical && { target: canonical, body: 'canonical', bytes }
}

function matchTarget(
  given: Fresh,
  { head, target, body }: { head: Head; target: Target; body: Uint8Array },
  token: string,
  settings: SignatureSettings
): 'full' | 'path' | undefined {
  const { method } = head
  if (isGenuine(given, { method, path: target.raw, body }, token)) return 'full'
  if (target.query === undefined || settings.query === 'required') return undefined
  return isGenuine(given, { method, path: target.path, body }, token) ? 'path' : undefined
}

const JSON_TYPE =
  /^(?:application\/json|[a-z0-9!#$&^_.-]+\/[a-z0-9!#$&^_.-]+\+json)[\t ]*(?:;[\t ]*charset=(?:utf-8|"utf-8")[\t ]*)?$/i

/** The body as `JSON.stringify` writes it, where a client may have hashed that; else undefined. */
function canonicalBody(head: Head, body: Uint8Array): Buffer | undefined {
  if (body.length === 0 || head.hasBodyDigest) return undefined
  if (head.contentType === undefined || !JSON_TYPE.test(head.contentType)) return undefined
  const parsed = parseStrictJson(body)
  return 'problem' in parsed ? undefined : Buffer.from(JSON.stringify(parsed.value))
}
