/**
 * Calls through the gate, and in whose name. The JWT is in a variable of this module and, if the box
 * is ticked, in this tab's sessionStorage; never in a URL, a cookie or localStorage.
 */
/** @import { Answer, NewToken, User } from './types.d.ts' */

const KEPT = 'tollgate.jwt'

let jwt = ''
/** How far the gate's clock is ahead of the browser's. */
let aheadMs = 0
/** Asked when the gate does not take the JWT any more. */
let ended = () => {}

/** @param {() => void} handler */
export function onSessionEnd(handler) {
  ended = handler
}

/** By the gate's clock, as far as it has told. */
export const now = () => Date.now() + aheadMs

export const isKept = () => sessionStorage.getItem(KEPT) !== null
export const keptJwt = () => sessionStorage.getItem(KEPT) ?? ''

/**
 * @param {string} value
 * @param {boolean} isKeptInTab
 */
export function signInWith(value, isKeptInTab) {
  jwt = value
  if (isKeptInTab) sessionStorage.setItem(KEPT, value)
  else sessionStorage.removeItem(KEPT)
}

export function signOut() {
  jwt = ''
  sessionStorage.removeItem(KEPT)
}

/** `crypto.randomUUID` is there on HTTPS and localhost alone. */
function newRequestId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  return Array.from(bytes, byte => byte.toString(16).padStart(2, '0')).join('')
}

/**
 * Never rejects: no answer in time, or none at all, is an answer with status 0.
 * @template T
 * @param {string} path
 * @param {object} [options]
 * @param {string} [options.method]
 * @param {unknown} [options.body]
 * @param {number} [options.timeoutMs]
 * @param {string} [options.as] another JWT than that of this session; empty: nobody's
 * @param {boolean} [options.isOurs] false: the upstream answers, whose 401 says nothing of the session
 * @returns {Promise<Answer<T>>}
 */
export async function call(
  path,
  { method = 'GET', body, timeoutMs = 10_000, as, isOurs = true } = {}
) {
  const bearer = as ?? jwt
  const requestId = newRequestId()
  /** @type {Answer<T>} */
  let answer = { status: 0, body: {}, requestId, retryAfter: 0 }
  try {
    const response = await fetch(path, {
      method,
      cache: 'no-store',
      credentials: 'omit',
      redirect: 'error',
      signal: AbortSignal.timeout(timeoutMs),
      headers: {
        'x-request-id': requestId,
        ...(bearer && { authorization: `Bearer ${bearer}` }),
        ...(body !== undefined && { 'content-type': 'application/json' })
      },
      body: body === undefined ? null : JSON.stringify(body)
    })
    const { status } = response
    const date = Date.parse(response.headers.get('date') ?? '')
    if (isOurs && date) aheadMs = date - Date.now()
    const retryAfter = Number(response.headers.get('retry-after')) || 0
    const text = await response.text()
    answer = { status, body: readObject(text), requestId, retryAfter }
  } catch {
    // Cut off, too late, or not connected at all: what became of the request is not known.
  }
  if (answer.status === 401 && isOurs && as === undefined) ended()
  return answer
}

/** @param {string} text */
function readObject(text) {
  try {
    const value = JSON.parse(text)
    if (Array.isArray(value)) return { list: value }
    return typeof value === 'object' && value !== null ? value : {}
  } catch {
    return {}
  }
}

/**
 * What a JWT says of its user, only to be shown: the gate decides. Undefined: it is no JWT.
 * @param {string} text
 * @returns {User | undefined}
 */
export function readJwt(text) {
  try {
    const part = (text.split('.')[1] ?? '').replaceAll('-', '+').replaceAll('_', '/')
    const bytes = Uint8Array.from(atob(part), char => char.charCodeAt(0))
    const {
      exp,
      iat: _iat,
      nbf: _nbf,
      jti: _jti,
      ...claims
    } = JSON.parse(new TextDecoder().decode(bytes))
    const name = [claims.email, claims.name, claims.sub].find(value => typeof value === 'string')
    const endsMs = typeof exp === 'number' ? exp * 1000 : Infinity
    return { name: name ?? 'somebody', identity: JSON.stringify(claims), endsMs }
  } catch {
    return undefined
  }
}

/**
 * The answer holds a token: it was not cut off.
 * @param {{ readonly token?: string | undefined, readonly id?: string | undefined }} body
 * @returns {body is NewToken}
 */
export function isNew(body) {
  return typeof body.token === 'string' && typeof body.id === 'string'
}
