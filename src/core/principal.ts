/** Who asks: nobody, a user with a JWT, or a `ci_` token. */
import type { TokenDigest } from './token.ts'

/** A token as the database knows it. Instants in ms since the epoch, by the database's clock. */
export interface TokenRow {
  /** UUID. */
  readonly id: string
  readonly digest: TokenDigest
  readonly preview: string
  readonly userId: string
  /** Null: bound to no organisation. */
  readonly orgId: string | null
  readonly name: string
  /** As granted. */
  readonly scopes: readonly string[]
  /** Null: all, also future ones. */
  readonly repositories: readonly string[] | null
  readonly requireSignature: boolean
  readonly createdAtMs: number
  /** Null: never, or not asked for (look-ups do not). */
  readonly lastUsedAtMs: number | null
  readonly expiresAtMs: number | null
  readonly revokedAtMs: number | null
}

/** A verified user JWT. */
export interface User {
  readonly userId: string
  readonly orgId: string | null
  /** The token's `exp`, in ms. */
  readonly expiresAtMs: number
}

export type Principal =
  | { readonly kind: 'none' }
  | { readonly kind: 'jwt'; readonly user: User }
  | { readonly kind: 'cli-token'; readonly token: TokenRow }

export const NOBODY: Principal = { kind: 'none' }

export function isRevoked({ revokedAtMs }: TokenRow): boolean {
  return revokedAtMs !== null
}

/** From the instant of its expiry on, by the database's clock. */
export function isExpired({ expiresAtMs }: TokenRow, nowMs: number): boolean {
  return expiresAtMs !== null && nowMs >= expiresAtMs
}
