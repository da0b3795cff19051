/** What went wrong between the gate and an upstream, as a Fault with its cause. */
import { Fault, type FaultCode } from '../core/decision.ts'

/** `hasStarted`: bytes of the request may have been written. */
export function upstreamFault(cause: Error, hasStarted: boolean): Fault {
  return cause instanceof Fault ? cause : new Fault(codeOf(cause, hasStarted), { cause })
}

/** Whether a connection broke or was refused: what a fresh one may not meet again. */
export function isConnectionLost(cause: Error): boolean {
  return ['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET'].includes(errorCode(cause))
}

export function isRefused(cause: Error): boolean {
  return errorCode(cause) === 'ECONNREFUSED'
}

/** Every address of a name was tried: the last error speaks for all. */
function errorCode(cause: Error): string {
  if (cause instanceof AggregateError && cause.errors.at(-1) instanceof Error) {
    return errorCode(cause.errors.at(-1))
  }
  return 'code' in cause ? String(cause.code) : ''
}

const TLS = /^(?:ERR_TLS|ERR_SSL|CERT_|UNABLE_TO_|DEPTH_ZERO|SELF_SIGNED|HOSTNAME_MISMATCH|EPROTO)/
/** Of undici: an answer that is no HTTP/1.1, that nobody asked for, or whose head is too large. */
const NOT_HTTP = /^(?:HPE_|UND_ERR_HEADERS_OVERFLOW|UND_ERR_RES_|ERR_HTTP_|ERR_INVALID_CHAR)/
const NOT_ASKED = /^bad (?:response|upgrade)/

function codeOf(cause: Error, hasStarted: boolean): FaultCode {
  const code = errorCode(cause)
  if (TLS.test(code)) return 'UPSTREAM_TLS'
  if (code === 'UND_ERR_HEADERS_TIMEOUT') return 'UPSTREAM_TIMEOUT'
  const isUnreadable = NOT_HTTP.test(code) || cause.name === 'HTTPParserError'
  if (isUnreadable || NOT_ASKED.test(cause.message)) return 'UPSTREAM_INVALID'
  return hasStarted ? 'UPSTREAM_RESET' : 'UPSTREAM_UNREACHABLE'
}
