/**
 * The demo user, its JWT and its `ci_` token: what makes the first minute with the gate work, where
 * no secret for user JWTs is configured. The user belongs to no organisation, so its tokens are
 * bound to none.
 */
import { SignJWT } from 'jose'
import type { Actor, Clock, TokenStore } from '../core/ports.ts'
import type { RouteTable } from '../core/rule.ts'
import { digestToken, makeToken, previewToken } from '../core/token.ts'

const USER_ID = 'demo-user'
const JWT_LIFE_SECONDS = 86_400

interface DemoUserOptions {
  /** The generated secret, by which the gate verifies user JWTs. */
  readonly secret: string
  readonly clock: Clock
  /** As the gate checks them; undefined: not at all. */
  readonly issuer: string | undefined
  readonly audience: string | undefined
  /** Name of the claim that holds the user's id. */
  readonly userClaim: string
}

export interface DemoUser {
  /** A new JWT, good for a day. */
  signJwt(): Promise<string>
}

export function createDemoUser(options: DemoUserOptions): DemoUser {
  const { secret, clock, issuer, audience, userClaim } = options
  const key = new TextEncoder().encode(secret)
  return {
    signJwt: () => {
      const issuedAt = Math.floor(clock.nowMs() / 1000)
      const jwt = new SignJWT({ [userClaim]: USER_ID })
        .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
        .setIssuedAt(issuedAt)
        .setExpirationTime(issuedAt + JWT_LIFE_SECONDS)
      if (issuer !== undefined) jwt.setIssuer(issuer)
      if (audience !== undefined) jwt.setAudience(audience)
      return jwt.sign(key)
    }
  }
}

const TOKEN_NAME = 'Demo token of the start banner'
/** One that is left behind by a killed process ends by itself. */
const TOKEN_LIFE_DAYS = 30
const ACTOR: Actor = { kind: 'replica', id: 'demo', ip: undefined, requestId: undefined }

export interface DemoToken {
  readonly id: string
  /** Its text, shown in the banner alone. */
  readonly token: string
  readonly scopes: readonly string[]
}

/**
 * A new token with the default scopes, or with all where none is default; undefined: the route file
 * declares none. Earlier starts' demo tokens are revoked: their texts are known to nobody who still
 * looks. Throws Faults of the store.
 */
export async function createDemoToken({
  store,
  table,
  randomBytes
}: {
  readonly store: TokenStore
  readonly table: RouteTable
  readonly randomBytes: (n: number) => Uint8Array
}): Promise<DemoToken | undefined> {
  const rows = await store.list({ userId: USER_ID, includeInactive: false })
  for (const { id, name } of rows) {
    if (name === TOKEN_NAME) await store.revoke(id, USER_ID, ACTOR)
  }
  const all = [...table.scopes.values()]
  const defaults = all.filter(scope => scope.isDefault)
  const scopes = (defaults.length > 0 ? defaults : all).map(scope => scope.name)
  if (scopes.length === 0) return undefined
  const token = makeToken(randomBytes)
  const { id } = await store.create(
    {
      digest: digestToken(token),
      preview: previewToken(token),
      userId: USER_ID,
      orgId: null,
      name: TOKEN_NAME,
      scopes,
      repositories: null,
      expires: { inDays: TOKEN_LIFE_DAYS },
      requireSignature: false
    },
    ACTOR
  )
  return { id, token, scopes }
}
