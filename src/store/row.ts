/** Rows of the token table as the rules know them. */
import type { TokenRow } from '../core/principal.ts'
import { digestFromBytes } from '../core/token.ts'
import type { Row } from './database.ts'

/** Columns of `t`, a row of tg_token. Times as ms since the epoch. */
export const TOKEN_COLUMNS = `t.id, t.digest, t.preview, t.user_id, t.org_id, t.name, t.scopes,
  t.repositories, t.require_signature, (extract(epoch FROM t.created_at) * 1000)::float8 AS created_ms,
  (extract(epoch FROM t.expires_at) * 1000)::float8 AS expires_ms,
  (extract(epoch FROM t.revoked_at) * 1000)::float8 AS revoked_ms`

/** Throws TypeError where a column is not what the schema says. */
export function toTokenRow(row: Row): TokenRow {
  const digest = row['digest']
  if (!(digest instanceof Uint8Array)) throw new TypeError('digest is no bytea')
  return {
    id: toText(row['id']),
    digest: digestFromBytes(digest),
    preview: toText(row['preview']),
    userId: toText(row['user_id']),
    orgId: row['org_id'] === null ? null : toText(row['org_id']),
    name: toText(row['name']),
    scopes: toTexts(row['scopes']),
    repositories: row['repositories'] === null ? null : toTexts(row['repositories']),
    requireSignature: row['require_signature'] === true,
    createdAtMs: Math.floor(toNumber(row['created_ms'])),
    lastUsedAtMs: toMs(row['used_ms']),
    expiresAtMs: toMs(row['expires_ms']),
    revokedAtMs: toMs(row['revoked_ms'])
  }
}

export function toText(value: unknown): string {
  if (typeof value !== 'string') throw new TypeError('no text')
  return value
}

export function toTexts(value: unknown): readonly string[] {
  if (!Array.isArray(value)) throw new TypeError('no list')
  return value.map(toText)
}

/** Also of a bigint, which the driver gives as text. */
export function toNumber(value: unknown): number {
  const number = Number(value)
  if (value === null || !Number.isFinite(number)) throw new TypeError('no number')
  return number
}

/** Whole ms: the database counts microseconds. */
function toMs(value: unknown): number | null {
  return value === null || value === undefined ? null : Math.floor(toNumber(value))
}
