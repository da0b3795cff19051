import { createHash, randomUUID } from 'node:crypto'
import t from 'tap'
import type { TokenDigest } from '../../src/core/token.ts'
import { digestFromBytes } from '../../src/core/token.ts'
import type { Database } from '../../src/store/database.ts'
import { createEpochStore } from '../../src/store/epochs.ts'
import { createTokenStore } from '../../src/store/tokens.ts'
import { effort } from '../support/effort.ts'
import { startGate } from '../support/gate.ts'
import { startPostgres } from '../support/postgres.ts'
import { openNew } from './open.ts'
import { OPERATOR } from './store-claims.ts'

const COUNT = effort(100_000, 1_000_000)

/** As the database fills them. */
function digestOf(n: number): TokenDigest {
  return digestFromBytes(createHash('sha256').update(String(n)).digest())
}

type Sql = Awaited<ReturnType<typeof openNew>>['sql']

/** Triggers and indexes come after the rows: that is several times as fast. */
async function fill(sql: Sql): Promise<void> {
  const indexes = await sql(`SELECT indexdef FROM pg_indexes
    WHERE tablename = 'tg_token' AND indexname <> 'tg_token_pkey' ORDER BY indexname`)
  const definitions = indexes.map(({ indexdef }) => String(indexdef))
  await sql(`ALTER TABLE tg_token DISABLE TRIGGER USER;
    ALTER TABLE tg_token DROP CONSTRAINT tg_token_digest_key;
    DROP INDEX tg_token_user, tg_token_org`)
  await sql(
    `INSERT INTO tg_token (id, digest, preview, user_id, org_id, name, scopes)
      SELECT lpad(to_hex(n), 32, '0')::uuid, sha256(n::text::bytea), 'p', 'u' || n % ($1::int / 10),
        'o' || n % ($1::int / 100), 'n', '{scans:read}'
      FROM generate_series(1, $1::int) n`,
    [COUNT]
  )
  await sql(`SET maintenance_work_mem = '200MB'; ${definitions.join('; ')};
    ALTER TABLE tg_token ENABLE TRIGGER USER; ANALYZE tg_token`)
}

/** How often the table was read; a connection tells when it ends. */
async function scans(sql: Sql): Promise<number> {
  const [row] = await sql(`SELECT seq_scan + coalesce(idx_scan, 0) AS count
    FROM pg_stat_user_tables WHERE relname = 'tg_token'`)
  return Number(row?.['count'])
}

t.setTimeout(90_000)

t.test('among a great many tokens each statement finds its own by an index', async t => {
  const server = await startPostgres(t)
  const { sql, database, store, epochs, url } = await openNew(t, server)
  await fill(sql)

  // A start reads no row, so it takes as long among many tokens as among none.
  const before = await scans(sql)
  const gate = await startGate({ env: { DATABASE_URL: url } })
  t.equal(await gate.stop(), 0)
  t.equal(await scans(sql), before)

  const asked: { readonly text: string; readonly values: readonly unknown[] }[] = []
  const spy: Database = {
    ...database,
    query: (op, statement, values, deadlineMs) => {
      asked.push({ text: statement.text, values })
      return database.query(op, statement, values, deadlineMs)
    }
  }
  const id = randomUUID()
  await createEpochStore(spy).lookUp(id, [digestOf(1)], 2000)
  await createEpochStore(spy).lookUp(
    id,
    Array.from({ length: 500 }, (_, i) => digestOf(i)),
    2000
  )
  const [row] = await createTokenStore(spy).list({ userId: 'u7', includeInactive: true })
  await createTokenStore(spy).list({ orgId: 'o7', includeInactive: true })
  for (const { text, values } of asked) {
    const plan = await database.session(run => run(`EXPLAIN ${text}`, values))
    const lines = plan.map(line => String(line['QUERY PLAN'])).join('\n')
    t.match(lines, /Index (?:Only )?Scan (?:using|on) tg_token_/)
    t.notMatch(lines, /Seq Scan on tg_token /)
  }
  t.match(asked[0]?.text, 'digest', 'the look-up is among them')

  // The statement is prepared: after five times the server may plan it for any values.
  const tookMs: number[] = []
  for (let i = 0; i < 100; i++) {
    const n = 1 + ((i * 7919) % COUNT)
    const startedAt = performance.now()
    const { rows } = await epochs.lookUp(id, [digestOf(n), digestOf(-n)], 2000)
    tookMs.push(performance.now() - startedAt)
    t.equal(rows[0]?.digest, digestOf(n))
    t.equal(rows.length, 1)
  }
  const medianMs = tookMs.toSorted((a, b) => a - b)[50]
  t.ok(medianMs !== undefined && medianMs < 20, `${medianMs} ms`)

  const startedAt = performance.now()
  t.not(await store.revoke(row?.id ?? '', 'u7', OPERATOR), 'not-found')
  t.equal((await store.revokeMany({ userId: 'u7' }, OPERATOR)).ids.length, 9)
  t.equal((await store.revokeMany({ orgId: 'o8' }, OPERATOR)).ids.length, 100)
  t.ok(performance.now() - startedAt < 1000)
})
