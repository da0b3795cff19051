/**
 * User JWTs: signed with our secret (HS256), or with a key of the issuer's set (RS256, ES256, EdDSA).
 *
 * Size and shape before anything is parsed; the algorithm from the configuration, never from the
 * token alone; addresses and keys in a token's header are not looked at. What is wrong with a token
 * is "invalid"; what keeps us from knowing is a Fault.
 * Source: RFC 7515, RFC 7519, RFC 8725.
 */
import { compactVerify, errors } from 'jose'
import type { Observer } from '../core/observer.ts'
import type { Clock, Log, UserVerifier } from '../core/ports.ts'
import type { User } from '../core/principal.ts'
import { parseStrictJson } from '../core/strict-json.ts'
import { type ClaimRules, readUser } from './claims.ts'
import { createKeySet, type KeyHint, type KeySource } from './key-set.ts'

export interface UserVerifierOptions extends ClaimRules {
  /** The HS256 key, 32 bytes or more; or the address of the issuer's public keys. */
  readonly keys: { readonly secret: string } | { readonly jwksUrl: string }
  readonly clock: Clock
  readonly observer: Observer
  readonly log: Log
}

interface Verifying {
  readonly source: KeySource
  readonly rules: ClaimRules
  readonly clock: Clock
}

/** Asks nobody until a token of the issuer's has to be verified. */
export function createUserVerifier(options: UserVerifierOptions): UserVerifier {
  const { keys, clock, observer, log } = options
  const source =
    'secret' in keys
      ? secretSource(keys.secret)
      : createKeySet({ url: keys.jwksUrl, clock, observer, log })
  return { verify: jwt => verify(jwt, { source, rules: options, clock }) }
}

function secretSource(secret: string): KeySource {
  const key = new TextEncoder().encode(secret)
  return { algorithms: ['HS256'], find: () => Promise.resolve([key]) }
}

const MAX_LENGTH = 8_192
const SHAPE = /^[\w-]+\.[\w-]+\.[\w-]+$/

async function verify(jwt: string, { source, rules, clock }: Verifying): Promise<User | 'invalid'> {
  if (jwt.length > MAX_LENGTH || !SHAPE.test(jwt)) return 'invalid'
  const parts = jwt.split('.')
  if (!parts.every(isCanonical)) return 'invalid'
  const hint = readHeader(parts[0] ?? '')
  if (!hint || !source.algorithms.includes(hint.alg)) return 'invalid'
  for (const key of await source.find(hint)) {
    const payload = await openSigned(jwt, hint.alg, key)
    if (payload) return readPayload(payload, rules, clock)
  }
  return 'invalid'
}

/** Spare bits of the last character would give one token several texts. */
function isCanonical(part: string): boolean {
  return Buffer.from(part, 'base64url').toString('base64url') === part
}

/** They change what the signature means, and none of ours needs them. RFC 7515 4.1.11, RFC 7797. */
const REFUSED_HEADERS = ['crit', 'b64', 'zip', 'enc']

function readHeader(part: string): KeyHint | undefined {
  const header = readObject(Buffer.from(part, 'base64url'))
  if (!header || REFUSED_HEADERS.some(name => header.has(name))) return undefined
  const alg = header.get('alg')
  const kid = header.get('kid')
  if (typeof alg !== 'string' || !(kid === undefined || typeof kid === 'string')) return undefined
  return { alg, kid }
}

/** The payload if the signature is this key's; undefined: it is not. */
async function openSigned(
  jwt: string,
  alg: string,
  key: CryptoKey | Uint8Array
): Promise<Uint8Array | undefined> {
  try {
    return (await compactVerify(jwt, key, { algorithms: [alg] })).payload
  } catch (error) {
    if (error instanceof errors.JOSEError) return undefined
    throw error
  }
}

function readPayload(payload: Uint8Array, rules: ClaimRules, clock: Clock): User | 'invalid' {
  const claims = readObject(payload)
  return claims ? readUser(claims, rules, clock) : 'invalid'
}

/** The members of a JSON object; undefined: it is none, or one that could be read in two ways. */
function readObject(bytes: Uint8Array): ReadonlyMap<string, unknown> | undefined {
  const parsed = parseStrictJson(bytes)
  const value = 'problem' in parsed ? undefined : parsed.value
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
  return new Map(Object.entries(value))
}
