/**
 * The vocabulary of a decision: Permit, Denial, Fault.
 *
 * A denial is a verdict about the request and is returned; a fault is our own failure to reach a
 * verdict and is thrown. No fault is ever 401: clients delete their login at a 401. Every status,
 * code and public text stands once, in the two tables below.
 * Source: RFC 9110 section 15 (statuses), RFC 6750 section 3 (WWW-Authenticate).
 */
import type { Head } from './head.ts'
import type { Principal } from './principal.ts'
import type { Rule, RouteTable } from './rule.ts'
import type { Target } from './target.ts'

/** status, public message, then whether the connection is closed after the answer. */
const DENIALS = {
  MALFORMED_REQUEST: [400, 'Malformed request', true],
  INVALID_REQUEST: [400, 'Invalid request', false],
  NO_TOKEN: [401, 'No token provided', false],
  INVALID_TOKEN: [401, 'Invalid token', false],
  INVALID_CLI_TOKEN: [401, 'Invalid or expired CLI token', false],
  INVALID_SIGNATURE: [401, 'Request signature verification failed', false],
  INSUFFICIENT_SCOPE: [403, 'Insufficient permissions', false],
  REPOSITORY_DENIED: [403, 'Repository access denied', false],
  ORGANIZATION_DENIED: [403, 'Access denied', false],
  ROUTE_DENIED: [403, 'Access denied', false],
  JWT_REQUIRED: [403, 'Access denied', false],
  TOKEN_NOT_FOUND: [404, 'Token not found', false],
  REQUEST_TIMEOUT: [408, 'Request timed out', true],
  BODY_TOO_LARGE: [413, 'Request body too large', true],
  UNSUPPORTED_MEDIA_TYPE: [415, 'Unsupported media type', false],
  UNSUPPORTED_CONTENT_ENCODING: [415, 'Unsupported content encoding', false],
  EXPECTATION_FAILED: [417, 'Unsupported expectation', true],
  HEADERS_TOO_LARGE: [431, 'Request header fields too large', true]
} as const satisfies Record<string, readonly [number, string, boolean]>

export type DenialCode = keyof typeof DENIALS

export interface Denial {
  readonly kind: 'denial'
  readonly status: number
  readonly code: DenialCode
  /** The documented members, `message` first; `code` and `requestId` are added when it is sent. */
  readonly body: Readonly<Record<string, unknown>> & { readonly message: string }
  /** Parameters of the Bearer challenge besides the realm; sent on 401 and on a missing scope. */
  readonly challenge: string | undefined
  /** Value of a `Link` header that helps the caller, or none. */
  readonly link: string | undefined
  /** The rest of the connection cannot be trusted or read: it is closed after the answer. */
  readonly closes: boolean
  /** For the log alone: which of several causes with one public answer it was. */
  readonly reason: string | undefined
  /** For the log alone: the rule it was decided by, and who had been identified by then. */
  readonly rule: Rule | undefined
  readonly principal: Principal | undefined
}

export interface DenialDetails {
  readonly message?: string
  /** Further members of the body, in order. */
  readonly body?: Readonly<Record<string, unknown>>
  readonly challenge?: string
  readonly link?: string | undefined
  readonly reason?: string
}

export function deny(code: DenialCode, details: DenialDetails = {}): Denial {
  const [status, message, closes] = DENIALS[code]
  const body = { message: details.message ?? message, ...details.body }
  const { challenge, link, reason } = details
  const unknown = { rule: undefined, principal: undefined }
  return { kind: 'denial', status, code, body, challenge, link, closes, reason, ...unknown }
}

/** status, public message, seconds for Retry-After (none: no header). */
const FAULTS = {
  TOKEN_STORE_UNAVAILABLE: [503, 'The token store cannot be reached. Try again shortly.', 1],
  REVOCATION_UNCONFIRMED: [503, 'The change is not confirmed everywhere. Repeat the request.', 2],
  NONCE_STORE_UNAVAILABLE: [503, 'The nonce store cannot be reached. Try again shortly.', 2],
  NONCE_STORE_RECOVERING: [503, 'The nonce store is recovering. Sign again and retry.', 2],
  CLOCK_UNSYNCHRONISED: [503, 'The time cannot be verified. Try again shortly.', 5],
  KEY_SET_UNAVAILABLE: [503, 'The key set cannot be reached. Try again shortly.', 5],
  OVERLOADED: [503, 'Too many requests are being worked on. Try again shortly.', 1],
  INTERNAL_ERROR: [503, 'The request could not be decided. Try again shortly.', 1],
  UPSTREAM_UNREACHABLE: [502, 'The service cannot be reached', undefined],
  UPSTREAM_TLS: [502, 'The service did not prove its identity', undefined],
  UPSTREAM_RESET: [502, 'The service broke off', undefined],
  UPSTREAM_INVALID: [502, 'The service gave an invalid answer', undefined],
  UPSTREAM_TIMEOUT: [504, 'The service did not answer in time', undefined]
} as const satisfies Record<string, readonly [number, string, number | undefined]>

export type FaultCode = keyof typeof FAULTS

/** Our failure, never the caller's: 5xx. `cause` is for the log and is never sent. */
export class Fault extends Error {
  readonly code: FaultCode
  readonly status: number
  /** Public text; `Error.message` is the internal one. */
  readonly publicMessage: string
  readonly retryAfterSeconds: number | undefined

  constructor(code: FaultCode, details: { cause?: unknown; retryAfterSeconds?: number } = {}) {
    const [status, message, retryAfterSeconds] = FAULTS[code]
    // To collect a stack costs more than the request that is refused; only what nobody expects needs one.
    const { stackTraceLimit } = Error
    if (code !== 'INTERNAL_ERROR') Error.stackTraceLimit = 0
    super(code, { cause: details.cause })
    Error.stackTraceLimit = stackTraceLimit
    this.name = 'Fault'
    this.code = code
    this.status = status
    this.publicMessage = message
    this.retryAfterSeconds = details.retryAfterSeconds ?? retryAfterSeconds
  }
}

/** Anything thrown, as a Fault: an exception nobody expected is ours, and is 503. */
export function asFault(thrown: unknown): Fault {
  return thrown instanceof Fault ? thrown : new Fault('INTERNAL_ERROR', { cause: thrown })
}

declare const permitted: unique symbol

/** Why a permit no longer holds at the moment of sending. */
export type Lapse = 'lease' | 'entry' | 'expired'

/** What a permit says; without the brand it permits nothing. */
export interface PermitFields {
  readonly kind: 'permit'
  readonly head: Head
  readonly target: Target
  /** None: let through in report mode, or an OPTIONS request by the file's `options: upstream`. */
  readonly rule: Rule | undefined
  /** The table the request began with. */
  readonly table: RouteTable
  readonly principal: Principal
  readonly signed: boolean
  /** The bytes to send, when the body had to be read to decide; else the body is streamed. */
  readonly heldBody: Uint8Array | undefined
  /** What would have been refused, had the rule not been in report mode. */
  readonly wouldDeny: Denial | undefined
  /** The last look, in the same turn as the first write. Undefined: it holds. */
  lapse(): Lapse | undefined
  /** Decides again from the credential on, after a lapse. A claimed nonce stays claimed. */
  again(): Promise<Decision>
}

/** Proof that this request may go on. gate.ts alone makes one; sending takes one as its argument. */
export type Permit = PermitFields & { readonly [permitted]: true }

/** A request for one of the gate's own paths, by a caller who may use it. */
export interface OwnCall {
  readonly kind: 'own'
  readonly head: Head
  readonly target: Target
  readonly name: OwnRouteName
  /** Values of the path's parameters, percent-decoded once, in order. */
  readonly params: readonly string[]
  readonly principal: Principal
}

export type OwnRouteName =
  | 'tokens.create'
  | 'tokens.list'
  | 'tokens.revoke'
  | 'tokens.rotate'
  | 'page.document'
  | 'page.asset'
  | 'page.catalogue'
  | 'page.demo-session'

export type Decision = Permit | OwnCall | Denial
