/**
 * Tokens in Postgres. Each method is one statement, so one transaction, whoever pools connections.
 * A change whose COMMIT was not heard of may have happened: REVOCATION_UNCONFIRMED, and repeating it
 * is safe.
 */
import { Fault } from '../core/decision.ts'
import type { Actor, Change, NewToken, TokenStore } from '../core/ports.ts'
import { digestBytes } from '../core/token.ts'
import type { Database, Row, Statement } from './database.ts'
import { isOfServer, neverReached } from './errors.ts'
import { TOKEN_COLUMNS, toNumber, toText, toTexts, toTokenRow } from './row.ts'

const CREATE: Statement = {
  name: 'tg-create',
  text: `SELECT ${TOKEN_COLUMNS} FROM tg_create($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) t`
}
const LIST: Statement = {
  name: 'tg-list',
  text: `SELECT ${TOKEN_COLUMNS}, (extract(epoch FROM u.used_at) * 1000)::float8 AS used_ms
    FROM tg_token t LEFT JOIN tg_last_use u ON u.token_id = t.id
    WHERE ($1::text IS NULL OR t.user_id = $1) AND ($2::text IS NULL OR t.org_id = $2)
      AND ($3 OR (t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > clock_timestamp())))
    ORDER BY t.created_at DESC, t.id`
}
const REVOKE: Statement = {
  name: 'tg-revoke',
  text: 'SELECT * FROM tg_revoke($1, $2, $3)'
}
const REVOKE_MANY: Statement = {
  name: 'tg-revoke-many',
  text: 'SELECT * FROM tg_revoke_many($1, $2, $3, $4)'
}
const ROTATE: Statement = {
  name: 'tg-rotate',
  text: `SELECT r.seq, r.wait_ms, r.history, ${TOKEN_COLUMNS}
    FROM tg_rotate($1, $2, $3, $4, $5, $6) r LEFT JOIN LATERAL (SELECT (r.token).*) t ON true`
}
/** A change that is there: rows revoked (kind revoke), or the feed past its number; same history. */
const CONFIRM: Statement = {
  name: 'tg-confirm',
  text: `SELECT tg_history() = $1 AND NOT pg_is_in_recovery() AND e.seq >= $2 AND ($3 <> 'revoke' OR NOT EXISTS
      (SELECT FROM tg_token t WHERE t.id = ANY ($4) AND t.revoked_at IS NULL)) AS is_there
    FROM tg_epoch e`
}

export function createTokenStore(database: Database): TokenStore {
  const ask = (statement: Statement, values: readonly unknown[]) =>
    database.query('api', statement, values)
  /** Whether a change was made is not known when its answer is lost. */
  const change = async (statement: Statement, values: readonly unknown[]) => {
    try {
      return await ask(statement, values)
    } catch (thrown) {
      const { cause } = thrown instanceof Error ? thrown : { cause: thrown }
      if (isOfServer(cause) || neverReached(cause)) throw thrown
      throw new Fault('REVOCATION_UNCONFIRMED', { cause })
    }
  }
  return {
    async create(token, actor) {
      const [row] = await ask(CREATE, [actorOf(actor), ...valuesOf(token)])
      if (!row) throw new Fault('TOKEN_STORE_UNAVAILABLE')
      return toTokenRow(row)
    },
    async list({ userId, orgId, includeInactive }) {
      const rows = await ask(LIST, [userId ?? null, orgId ?? null, includeInactive])
      return rows.map(toTokenRow)
    },
    async revoke(id, userId, actor) {
      const [row] = await change(REVOKE, [actorOf(actor), id, userId ?? null])
      if (!row) return 'not-found'
      // Somebody undid it before we looked.
      if (row['revoked_ms'] === null) throw new Fault('REVOCATION_UNCONFIRMED')
      const revokedAtMs = Math.floor(toNumber(row['revoked_ms']))
      return { revokedAtMs, change: changeOf('revoke', [id], row) }
    },
    async revokeMany({ userId, orgId, createdBeforeMs }, actor) {
      const values = [actorOf(actor), userId ?? null, orgId ?? null, createdBeforeMs ?? null]
      const [row] = await change(REVOKE_MANY, values)
      const ids = toTexts(row?.['ids'])
      if (!row || ids.length === 0) return { ids, change: undefined }
      return { ids, change: changeOf(ids.length > MOST_IDS ? 'all' : 'revoke', ids, row) }
    },
    async rotate(id, userId, { digest, preview, graceSeconds }, actor) {
      const values = [actorOf(actor), id, userId, digestBytes(digest), preview, graceSeconds]
      const [row] = await change(ROTATE, values)
      if (!row) return 'not-found'
      if (row['id'] === null) return 'inactive'
      return { row: toTokenRow(row), change: changeOf('change', [id], row) }
    },
    async confirm({ history, seq, kind, ids }) {
      const [row] = await ask(CONFIRM, [history, seq, kind, ids])
      return row?.['is_there'] === true
    }
  }
}

/** As the triggers announce it: above this nobody is named. */
const MOST_IDS = 1000

function changeOf(kind: Change['kind'], ids: readonly string[], row: Row): Change {
  const announced = kind === 'all' ? [] : ids
  const [seq, waitMs] = [toNumber(row['seq']), toNumber(row['wait_ms'])]
  return { kind, ids: announced, seq, waitMs, history: toText(row['history']) }
}

function actorOf({ kind, id, ip, requestId }: Actor): readonly (string | null)[] {
  return [kind, id, ip ?? null, requestId ?? null]
}

function valuesOf(token: NewToken): readonly unknown[] {
  const { digest, preview, userId, orgId, name, scopes, repositories, requireSignature } = token
  const { expires } = token
  return [
    digestBytes(digest),
    preview,
    userId,
    orgId,
    name,
    scopes,
    repositories,
    requireSignature,
    expires && 'inDays' in expires ? expires.inDays : null,
    expires && 'atMs' in expires ? expires.atMs : null
  ]
}
