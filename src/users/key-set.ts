/**
 * The issuer's public keys, from a JWKS address. Fetched when a key is asked for that is not known,
 * at most once per cool-down; known keys go on while the address is out of reach, and are looked at
 * again after ten minutes, so that a key that was taken out stops being accepted.
 * Source: RFC 7517; RFC 8725 section 3.10 (what a token's header says must cause no requests at will).
 */
import { createLocalJWKSet, errors, type JSONWebKeySet, type LocalJWKSet } from 'jose'
import { Fault } from '../core/decision.ts'
import type { Observer } from '../core/observer.ts'
import type { Clock, Log } from '../core/ports.ts'

/** What a token's header says about its key; the algorithm is one of those accepted. */
export interface KeyHint {
  readonly alg: string
  readonly kid: string | undefined
}

export interface KeySource {
  /** The only ones its keys are good for. */
  readonly algorithms: readonly string[]
  /** The keys of the right kind; several where the token names none. Throws KEY_SET_UNAVAILABLE. */
  find(hint: KeyHint): Promise<readonly (CryptoKey | Uint8Array)[]>
}

interface KeySetOptions {
  readonly url: string
  readonly clock: Clock
  readonly observer: Observer
  readonly log: Log
}

const FETCH_TIMEOUT_MS = 5_000
const COOL_DOWN_MS = 30_000
/** Before the first success nobody can sign in, so that is tried again sooner. */
const FIRST_COOL_DOWN_MS = 2_000
const MAX_AGE_MS = 600_000

export function createKeySet({ url, clock, observer, log }: KeySetOptions): KeySource {
  let keys: LocalJWKSet | undefined
  let triedAtMs = -Infinity
  let fetchedAtMs = -Infinity
  /** Why the last try failed; undefined: it did not. */
  let failure: { readonly cause: unknown } | undefined
  let pending: Promise<void> | undefined

  /** A wall clock that is set back must not stop the fetching: its jump counts as time passed. */
  const sinceMs = (atMs: number) => Math.abs(clock.wallMs() - atMs)

  async function tryFetch(): Promise<void> {
    try {
      keys = await fetchKeys(url)
      fetchedAtMs = clock.wallMs()
      if (failure) log.info('key set reachable again')
      failure = undefined
      observer.count('key_set_fetches_total', { result: 'ok' })
    } catch (cause) {
      if (!failure) log.warn('key set out of reach', { cause })
      failure = { cause }
      observer.count('key_set_fetches_total', { result: 'error' })
    }
    pending = undefined
  }

  /** Never rejects. One fetch at a time; none within the cool-down. */
  function refresh(): Promise<void> {
    if (pending) return pending
    if (sinceMs(triedAtMs) < (keys ? COOL_DOWN_MS : FIRST_COOL_DOWN_MS)) {
      observer.count('key_set_fetches_total', { result: 'cooldown' })
      return Promise.resolve()
    }
    triedAtMs = clock.wallMs()
    pending = tryFetch()
    return pending
  }

  async function find(hint: KeyHint): Promise<readonly CryptoKey[]> {
    const known = keys ? await keysFor(keys, hint) : []
    if (known.length > 0) {
      if (sinceMs(fetchedAtMs) > MAX_AGE_MS) void refresh()
      return known
    }
    await refresh()
    const found = keys ? await keysFor(keys, hint) : []
    if (found.length === 0 && failure) throw new Fault('KEY_SET_UNAVAILABLE', failure)
    return found
  }

  return { algorithms: ['RS256', 'ES256', 'EdDSA'], find }
}

/** Throws whatever went wrong: a status but 200, a redirect, no JSON, no key set, no answer. */
async function fetchKeys(url: string): Promise<LocalJWKSet> {
  const signal = AbortSignal.timeout(FETCH_TIMEOUT_MS)
  const headers = { accept: 'application/json' }
  const answer = await fetch(url, { signal, headers, redirect: 'error' })
  if (answer.status !== 200) {
    await answer.body?.cancel()
    throw new Error(`the key set's address answered ${answer.status}`)
  }
  const body: unknown = await answer.json()
  if (!isKeySet(body)) throw new Error('the answer is no key set')
  return createLocalJWKSet(body)
}

/** Its members are looked at by jose, when they are used. */
function isKeySet(body: unknown): body is JSONWebKeySet {
  return typeof body === 'object' && body !== null && 'keys' in body && Array.isArray(body.keys)
}

async function keysFor(keys: LocalJWKSet, { alg, kid }: KeyHint): Promise<readonly CryptoKey[]> {
  try {
    return [await keys(kid === undefined ? { alg } : { alg, kid })]
  } catch (error) {
    if (error instanceof errors.JWKSNoMatchingKey) return []
    if (error instanceof errors.JWKSMultipleMatchingKeys) {
      const several: CryptoKey[] = []
      for await (const key of error) several.push(key)
      return several
    }
    // The issuer's key itself is broken: that is not the caller's doing.
    throw new Fault('KEY_SET_UNAVAILABLE', { cause: error })
  }
}
