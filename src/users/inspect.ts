/** What `doctor` asks of an issuer's key set: how many of its keys this gate can use. */
import { importJWK, type JWK } from 'jose'

/** By what a key says of itself; the names of RFC 7518 section 6. */
const ALGORITHMS: Readonly<Record<string, string>> = {
  RSA: 'RS256',
  'EC P-256': 'ES256',
  'OKP Ed25519': 'EdDSA'
}

export interface KeySetFacts {
  readonly keys: number
  readonly usable: number
}

/** Throws whatever went wrong: a status but 200, a redirect, no JSON, no key set, no answer. */
export async function inspectKeySet(url: string, signal: AbortSignal): Promise<KeySetFacts> {
  const answer = await fetch(url, { signal, redirect: 'error' })
  if (answer.status !== 200) {
    await answer.body?.cancel()
    throw new Error(`it answered ${answer.status}`)
  }
  const body: unknown = await answer.json()
  const keys: unknown = typeof body === 'object' && body !== null && 'keys' in body && body.keys
  if (!Array.isArray(keys)) throw new Error('the answer is no key set')
  const usable = await Promise.all(keys.map(isUsable))
  return { keys: keys.length, usable: usable.filter(Boolean).length }
}

async function isUsable(key: JWK): Promise<boolean> {
  const { kty, crv, use, alg } = key
  const algorithm = ALGORITHMS[kty === 'RSA' ? kty : `${kty} ${crv}`]
  if (algorithm === undefined || use === 'enc' || (alg !== undefined && alg !== algorithm)) {
    return false
  }
  return importJWK(key, algorithm).then(
    () => true,
    () => false
  )
}
