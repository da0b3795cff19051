/**
 * What values a label of a metric can have. A closed list keeps callers from making series.
 */
import type { DenialCode, FaultCode } from '../core/decision.ts'

/**
 * Values of a label: these; or the rules of the route file in its order, up to METRICS_ROUTES; or
 * the names of upstreams; or one value at a time, the newest.
 */
export type Values = readonly string[] | 'routes' | 'upstreams' | 'newest'

/** Codes of answers: compared by the compiler with the tables in core/decision.ts. */
export const CODES = Object.keys({
  OK: true,
  MALFORMED_REQUEST: true,
  INVALID_REQUEST: true,
  NO_TOKEN: true,
  INVALID_TOKEN: true,
  INVALID_CLI_TOKEN: true,
  INVALID_SIGNATURE: true,
  INSUFFICIENT_SCOPE: true,
  REPOSITORY_DENIED: true,
  ORGANIZATION_DENIED: true,
  ROUTE_DENIED: true,
  JWT_REQUIRED: true,
  TOKEN_NOT_FOUND: true,
  REQUEST_TIMEOUT: true,
  BODY_TOO_LARGE: true,
  UNSUPPORTED_MEDIA_TYPE: true,
  UNSUPPORTED_CONTENT_ENCODING: true,
  EXPECTATION_FAILED: true,
  HEADERS_TOO_LARGE: true,
  TOKEN_STORE_UNAVAILABLE: true,
  REVOCATION_UNCONFIRMED: true,
  NONCE_STORE_UNAVAILABLE: true,
  NONCE_STORE_RECOVERING: true,
  CLOCK_UNSYNCHRONISED: true,
  KEY_SET_UNAVAILABLE: true,
  OVERLOADED: true,
  INTERNAL_ERROR: true,
  UPSTREAM_UNREACHABLE: true,
  UPSTREAM_TLS: true,
  UPSTREAM_RESET: true,
  UPSTREAM_INVALID: true,
  UPSTREAM_TIMEOUT: true
} as const satisfies Record<DenialCode | FaultCode | 'OK', true>)

export const UPSTREAM_CODES = CODES.filter(code => code.startsWith('UPSTREAM_'))
