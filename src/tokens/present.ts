/**
 * Token rows as the token API shows them: member names and their order are documented, instants are
 * ISO 8601 in UTC. Neither token nor digest is ever among them.
 */
import type { BarrierReceipt } from '../core/ports.ts'
import type { TokenRow } from '../core/principal.ts'

type Json = Readonly<Record<string, unknown>>

/** The answer of create and rotate: the only place where the token's text ever stands. */
export function presentNew(token: string, row: TokenRow): Json {
  const info = {
    id: row.id,
    ...presentRights(row),
    createdAt: isoTime(row.createdAtMs),
    expiresAt: isoTimeOrNull(row.expiresAtMs),
    requireSignature: row.requireSignature
  }
  return { token, ...info, tokenInfo: info }
}

/** An entry of the list; `revokedAt` only where inactive ones were asked for. */
export function presentListed(row: TokenRow, includeInactive: boolean): Json {
  return {
    id: row.id,
    ...presentRights(row),
    preview: row.preview,
    requireSignature: row.requireSignature,
    createdAt: isoTime(row.createdAtMs),
    lastUsedAt: isoTimeOrNull(row.lastUsedAtMs),
    expiresAt: isoTimeOrNull(row.expiresAtMs),
    ...(includeInactive ? { revokedAt: isoTimeOrNull(row.revokedAtMs) } : {})
  }
}

/** How many replicas there were and how many said that they obey; `waitedMs` in whole ms. */
export function presentReceipt({ replicas, acknowledged, waitedMs }: BarrierReceipt): Json {
  return { replicas, acknowledged, waitedMs: Math.round(waitedMs) }
}

export function isoTime(ms: number): string {
  return new Date(ms).toISOString()
}

function isoTimeOrNull(ms: number | null): string | null {
  return ms === null ? null : isoTime(ms)
}

function presentRights({ name, scopes, repositories }: TokenRow): Json {
  return { name, scopes, allRepositories: repositories === null, repositories: repositories ?? [] }
}
