import { randomUUID } from 'node:crypto'
import t, { type Test } from 'tap'
import { Client } from 'pg'
import type { Actor } from '../../src/core/ports.ts'
import { digestBytes } from '../../src/core/token.ts'
import { startPostgres } from '../support/postgres.ts'
import { openNew } from './open.ts'
import { createOne, createTokens, faultOf, made, newToken, OPERATOR } from './store-claims.ts'

const server = await startPostgres(t)

const USER: Actor = { kind: 'user', id: 'u1', ip: '192.0.2.7', requestId: 'req-1' }
const BY_USER = { actor_kind: 'user', actor_id: 'u1', ip: '192.0.2.7', request_id: 'req-1' }
const BY_HAND = { actor_kind: 'sql', actor_id: 'tollgate', ip: null, request_id: null }

async function open(t: Test) {
  const opened = await openNew(t, server)
  const trail = () =>
    opened.sql(`SELECT event, actor_kind, actor_id, org_id, token_id, host(ip) AS ip, request_id,
      replica, detail FROM tg_audit ORDER BY id`)
  return { ...opened, trail, last: async () => (await trail()).at(-1) }
}

t.test('each change of a token is in the trail, with who made it and from where', async t => {
  const { store, trail } = await open(t)
  const row = await store.create(
    newToken({ orgId: 'o1', repositories: ['r1'], expires: { inDays: 3 } }),
    USER
  )
  const fresh = { digest: newToken().digest, preview: 'p', graceSeconds: 60 }
  const rotated = made(await store.rotate(row.id, row.userId, fresh, USER)).row
  await store.revoke(rotated.id, row.userId, USER)
  await store.revoke(rotated.id, row.userId, USER)
  await store.revokeMany({ userId: row.userId }, OPERATOR)
  const rights = {
    name: 'ci',
    scopes: ['scans:read'],
    repositories: ['r1'],
    requireSignature: false,
    userId: row.userId,
    orgId: 'o1'
  }
  const about = (token_id: string) => ({ token_id, org_id: 'o1', replica: null })
  const [created, made2, changed, revoked, many, ...more] = await trail()
  t.match(created, { event: 'token.created', ...BY_USER, ...about(row.id), detail: rights })
  t.match(made2, {
    event: 'token.rotated',
    ...BY_USER,
    ...about(rotated.id),
    detail: { ...rights, rotatedFrom: row.id }
  })
  t.match(changed, {
    event: 'token.changed',
    ...BY_USER,
    ...about(row.id),
    detail: { before: rights, after: rights }
  })
  t.match(revoked, { event: 'token.revoked', ...BY_USER, ...about(rotated.id) })
  t.match(many, {
    event: 'token.revoked',
    actor_kind: 'operator',
    actor_id: 'op',
    ip: null,
    request_id: null,
    ...about(row.id)
  })
  t.same(more, [], 'a repetition changes nothing')
})

t.test('the trail says what a token was allowed before and after', async t => {
  const { store, sql, last } = await open(t)
  const row = await createOne(store)
  await sql(`UPDATE tg_token SET scopes = '{}', repositories = '{r1}' WHERE id = $1`, [row.id])
  t.match(await last(), {
    event: 'token.changed',
    detail: {
      before: { scopes: ['scans:read'], repositories: null, expiresAt: null },
      after: { scopes: [], repositories: ['r1'], expiresAt: null }
    }
  })
  const before = await last()
  await sql('UPDATE tg_token SET name = name')
  t.same(await last(), before)
})

t.test('changes by hand are in the trail with the database’s user', async t => {
  const { store, sql, trail, last } = await open(t)
  const [a, b] = await createTokens(store, 2)
  await sql(`UPDATE tg_token SET revoked_at = now() WHERE id = $1`, [a?.id])
  t.match(await last(), { event: 'token.revoked', ...BY_HAND, token_id: a?.id })
  await sql(`DELETE FROM tg_token WHERE id = $1`, [a?.id])
  t.match(await last(), {
    event: 'token.deleted',
    ...BY_HAND,
    token_id: a?.id,
    detail: { name: 'ci', userId: a?.userId }
  })
  await sql(
    `INSERT INTO tg_token (digest, preview, user_id, name, scopes)
      VALUES (sha256('x'), 'p', 'u9', 'by hand', '{}')`
  )
  t.match(await last(), { event: 'token.created', ...BY_HAND, detail: { name: 'by hand' } })
  await sql(`UPDATE tg_token SET name = 'all'`)
  const both = (await trail()).slice(-2)
  t.same(new Set(both.map(({ event }) => event)), new Set(['token.changed']))
  t.ok(both.some(({ token_id: id }) => id === b?.id))
  await sql('TRUNCATE tg_token')
  t.match(await last(), {
    event: 'token.deleted',
    ...BY_HAND,
    token_id: null,
    detail: { all: true }
  })
})

t.test('who made a change is forgotten with its transaction', async t => {
  const { url, store, last } = await open(t)
  const row = await createOne(store)
  const client = new Client({ connectionString: url })
  await client.connect()
  const revoke = (id: string) =>
    client.query(`SELECT * FROM tg_revoke('{user,u1,192.0.2.7,req-1}', $1, NULL)`, [id])
  await revoke(row.id)
  t.match(await last(), BY_USER)
  await client.query(`UPDATE tg_token SET name = 'by hand'`)
  t.match(await last(), { event: 'token.changed', ...BY_HAND })
  const fresh = digestBytes(newToken().digest)
  const other = await createOne(store)
  const rotate = `SELECT * FROM tg_rotate('{user,u1,NULL,NULL}', $1, $2, $3, 'p', 60)`
  await client.query('BEGIN')
  await client.query(rotate, [other.id, other.userId, fresh])
  await client.query(
    `INSERT INTO tg_token (digest, preview, user_id, name, scopes)
      VALUES (sha256('y'), 'p', 'u9', 'n', '{}')`
  )
  await client.query('COMMIT')
  t.match(await last(), { event: 'token.created', actor_kind: 'user' }, 'only one was rotated')
  await client.end()
})

t.test('a change and its line are there together or not at all', async t => {
  const { url, sql, store, trail } = await open(t)
  const row = await createOne(store)
  const client = new Client({ connectionString: url })
  await client.connect()
  await client.query('BEGIN')
  await client.query(`UPDATE tg_token SET revoked_at = now()`)
  t.equal((await trail()).length, 1)
  await client.query('ROLLBACK')
  t.equal((await trail()).length, 1)
  await client.end()
  await sql('ALTER TABLE tg_audit ADD CHECK (event <> $$token.revoked$$)')
  t.equal((await faultOf(store.revoke(row.id, undefined, USER))).code, 'TOKEN_STORE_UNAVAILABLE')
  const [kept] = await store.list({ includeInactive: true })
  t.equal(kept?.revokedAtMs, null)
  t.equal((await trail()).length, 1)
})

t.test('the trail is append-only', async t => {
  const { sql, store, trail } = await open(t)
  await createTokens(store, 2)
  for (const text of [
    `UPDATE tg_audit SET actor_id = 'nobody'`,
    'UPDATE tg_audit SET at = at WHERE false',
    'DELETE FROM tg_audit',
    'TRUNCATE tg_audit'
  ]) {
    await t.rejects(sql(text), { code: '42501', message: 'the audit trail is append-only' })
  }
  await t.rejects(sql(`INSERT INTO tg_audit (id, event, actor_kind) VALUES (1, 'x', 'x')`))
  t.equal((await trail()).length, 2)
})

t.test('lines leave the trail when they are old, a batch at a time, and not before', async t => {
  const { url, sql, store, trail } = await open(t)
  await createTokens(store, 1)
  await sql(`INSERT INTO tg_audit (at, event, actor_kind)
    SELECT now() - make_interval(days => n), 'old ' || n, 'user' FROM generate_series(20, 49) n`)
  const prune = async (...values: readonly number[]) => {
    const marks = values.map((_, i) => `$${i + 1}`).join()
    const [row] = await sql(`SELECT tg_audit_prune(${marks}) AS pruned`, values)
    return row?.['pruned']
  }
  t.equal(await prune(400), 0)
  t.equal(await prune(45, 2), 2)
  const events = (await trail()).map(({ event }) => event)
  t.ok(events.includes('old 47') && !events.includes('old 48'), 'the oldest ones first')
  t.equal(await prune(45), 3)
  t.equal(await prune(1), 15, 'thirty days are kept whatever is asked')
  const left = await trail()
  t.equal(left.length, 11)
  t.match(left[0], { event: 'token.created' })
  await t.rejects(sql('DELETE FROM tg_audit'), /append-only/)
  const client = new Client({ connectionString: url })
  await client.connect()
  await client.query('BEGIN')
  await client.query('SELECT tg_audit_prune(30)')
  await sql(
    `INSERT INTO tg_audit (at, event, actor_kind) VALUES (now() - interval '1 y', 'x', 'x')`
  )
  t.equal(await prune(30), 0, 'while another one is at it')
  await t.rejects(client.query('DELETE FROM tg_audit'), /append-only/, 'in its transaction too')
  await client.end()
  t.equal(await prune(30), 1)
})

t.test('a role that may only add to the trail can do what the gate does', async t => {
  const { url, sql } = await open(t)
  await sql(`CREATE ROLE gate LOGIN;
    GRANT SELECT, INSERT, UPDATE, DELETE ON tg_token, tg_last_use, tg_replica, tg_invalidation,
      tg_epoch TO gate;
    GRANT SELECT, INSERT ON tg_audit TO gate`)
  t.teardown(() => sql('DROP OWNED BY gate; DROP ROLE gate'))
  const client = new Client({ connectionString: url.replace('tollgate@', 'gate@') })
  await client.connect()
  t.teardown(() => client.end())
  await client.query(
    `SELECT tg_create('{user,u1,NULL,NULL}', $1, 'p', 'u1', NULL, 'n', '{}', NULL, false, NULL, NULL)`,
    [digestBytes(newToken().digest)]
  )
  const { rows } = await client.query(`SELECT id FROM tg_token`)
  await client.query(`SELECT tg_revoke('{user,u1,NULL,NULL}', $1, 'u1')`, [rows[0].id])
  await client.query(`SET tollgate.is_pruning = 'on'`)
  await t.rejects(client.query('DELETE FROM tg_audit'), { code: '42501' })
  await t.rejects(client.query('TRUNCATE tg_audit'), { code: '42501' })
  await client.query('RESET tollgate.is_pruning')
  // A table of its own that goes before the trail in the search path.
  await sql(
    `INSERT INTO tg_audit (at, event, actor_kind) VALUES (now() - interval '1 y', 'x', 'x')`
  )
  await client.query('CREATE TEMP TABLE tg_audit (id bigint, at timestamptz)')
  const pruned = await client.query('SELECT tg_audit_prune(30) AS pruned')
  t.same(pruned.rows, [{ pruned: 1 }])
})

t.test('an address that names its interface is kept without it, none as none', async t => {
  const { store, last } = await open(t)
  for (const [ip, kept] of [
    ['fe80::1%eth0', 'fe80::1'],
    ['::ffff:192.0.2.7', '::ffff:192.0.2.7'],
    ['2001:db8::1', '2001:db8::1'],
    [undefined, null]
  ] as const) {
    await store.create(newToken(), { ...USER, ip })
    t.equal((await last())?.['ip'], kept)
  }
})

t.test('no token and no digest is in the trail', async t => {
  const { sql, store } = await open(t)
  const row = await createOne(store)
  const fresh = newToken().digest
  made(
    await store.rotate(row.id, row.userId, { digest: fresh, preview: 'p', graceSeconds: 1 }, USER)
  )
  await sql(`UPDATE tg_token SET digest = sha256($1) WHERE id = $2`, [randomUUID(), row.id])
  await sql('DELETE FROM tg_token')
  const text = JSON.stringify(await sql('SELECT a::text FROM tg_audit a'))
  for (const digest of [row.digest, fresh]) {
    t.notMatch(text, digest)
    t.notMatch(text, digestBytes(digest).toString('hex'))
  }
  t.notMatch(text, 'digest')
})
