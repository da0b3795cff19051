import { randomUUID } from 'node:crypto'
import t, { type Test } from 'tap'
import { Client } from 'pg'
import type { Invalidation } from '../../src/core/ports.ts'
import { createEpochStore, forgetReplicas } from '../../src/store/epochs.ts'
import { openTestDatabase, startPostgres } from '../support/postgres.ts'
import { openNew } from './open.ts'
import { createOne, createTokens, DAY_MS, faultOf, made, OPERATOR } from './store-claims.ts'

const server = await startPostgres(t)
const ME = randomUUID()

async function open(t: Test) {
  const opened = await openNew(t, server)
  const { epochs } = opened
  const poll = (afterSeq = 0) => epochs.poll(ME, afterSeq, 2000)
  /** What some work announces. */
  const during = async (work: () => Promise<unknown>): Promise<readonly Invalidation[]> => {
    const { seq } = await poll()
    await work()
    const { events, seq: last } = await poll(seq)
    t.equal(events.at(-1)?.seq ?? seq, last, 'the epoch is that of the last event')
    return events
  }
  return { ...opened, poll, during }
}

t.test('events come in order, those after a number alone', async t => {
  const { store, poll } = await open(t)
  const rows = await createTokens(store, 5)
  t.same((await poll()).events, [], 'a new token is no event')
  for (const { id } of rows) await store.revoke(id, undefined, OPERATOR)
  const seqs = (events: readonly Invalidation[]) => events.map(({ seq }) => seq)
  const { events, seq } = await poll()
  t.same(seqs(events), [1, 2, 3, 4, 5])
  t.same(
    events.map(({ ids }) => ids),
    rows.map(({ id }) => [id])
  )
  t.equal(seq, 5)
  t.same(seqs((await poll(3)).events), [4, 5])
  t.same((await poll(5)).events, [])
  t.same((await poll(99)).events, [], 'also where the database was set back')
})

t.test('more than a thousand events are cut at 1001', async t => {
  const { sql, poll } = await open(t)
  await sql(`INSERT INTO tg_invalidation (seq, kind, ids)
    SELECT n, 'revoke', ARRAY[gen_random_uuid()] FROM generate_series(1, 3000) n`)
  await sql('UPDATE tg_epoch SET seq = 3000')
  const { events, seq } = await poll()
  t.equal(events.length, 1001)
  t.equal(events[0]?.seq, 1)
  t.equal(events.at(-1)?.seq, 1001)
  t.equal(seq, 3000)
  t.equal((await poll(2000)).events.length, 1000)
})

t.test('a thousand tokens are named in an event, and beyond that nobody is', async t => {
  const { sql, store, poll } = await open(t)
  const fill = (user: string, count: number) =>
    sql(
      `INSERT INTO tg_token (digest, preview, user_id, name, scopes)
        SELECT sha256(($1 || n)::bytea), 'p', $1, 'n', '{}' FROM generate_series(1, $2::int) n`,
      [user, count]
    )
  await fill('a', 1000)
  await fill('b', 1001)
  const a = await store.revokeMany({ userId: 'a' }, OPERATOR)
  t.equal(a.change?.kind, 'revoke')
  t.equal(a.change?.ids.length, 1000)
  const b = await store.revokeMany({ userId: 'b' }, OPERATOR)
  t.equal(b.ids.length, 1001, 'whoever asked is told all the same')
  t.match(b.change, { kind: 'all', ids: [], seq: 2 })
  const { events } = await poll()
  t.equal(events[0]?.ids.length, 1000)
  t.same(events[1], { seq: 2, kind: 'all', ids: [] })
  t.equal(b.change && (await store.confirm(b.change)), true)
})

t.test('the order of numbers is the order of commits, without holes', async t => {
  const { url, store, epochs } = await open(t)
  const rows = await createTokens(store, 120)
  const revokers = [1, 2, 3, 4].map(() => openTestDatabase(url))
  const pollers = [1, 2].map(() => openTestDatabase(url))
  const isOver = { value: false }
  const watch = async (database: (typeof pollers)[number]) => {
    const own = createEpochStore(database)
    let last = 0
    let polls = 0
    while (!isOver.value || last < rows.length) {
      const { events, seq } = await own.poll(ME, last, 2000)
      // Every number up to the one of the epoch is there, none later: nothing can come in between.
      const expected = Array.from({ length: seq - last }, (_, i) => last + i + 1)
      const given = events.map(event => event.seq)
      if (given.join() !== expected.join()) throw new Error(`${given.join()} up to ${seq}`)
      last = seq
      polls += 1
    }
    return polls
  }
  const watching = Promise.all(pollers.map(watch))
  // Every second one is rolled back, and its number comes again.
  const clumsy = async (id: string) => {
    const client = new Client({ connectionString: url })
    await client.connect()
    await client.query('BEGIN')
    await client.query('UPDATE tg_token SET revoked_at = now() WHERE id = $1', [id])
    await client.query('ROLLBACK')
    await client.end()
  }
  const queue = [...rows]
  const work = async (database: (typeof revokers)[number]) => {
    for (let row = queue.pop(); row; row = queue.pop()) {
      if (queue.length % 2 === 0) await clumsy(row.id)
      await database.query(
        'api',
        { name: 'by-hand', text: 'UPDATE tg_token SET revoked_at = now() WHERE id = $1' },
        [row.id]
      )
    }
  }
  await Promise.all(revokers.map(work))
  isOver.value = true
  for (const polls of await watching) t.ok(polls > 3, `${polls} polls`)
  t.equal((await epochs.poll(ME, 0, 2000)).seq, 120)
  for (const each of [...revokers, ...pollers]) await each[Symbol.asyncDispose]()
})

t.test('changes by hand announce themselves', async t => {
  const { sql, store, during } = await open(t)
  const [a, b, c] = await createTokens(store, 3)
  const ids = [a?.id ?? '', b?.id ?? '', c?.id ?? ''] as const
  const kinds = (events: readonly Invalidation[]) =>
    events.map(event => [event.kind, event.ids.toSorted()])
  const change = (id: string, set: string) =>
    during(() => sql(`UPDATE tg_token SET ${set} WHERE id = $1`, [id]))
  for (const set of [
    `scopes = '{}'`,
    `repositories = '{r1}'`,
    `repositories = NULL`,
    'require_signature = true',
    `expires_at = now()`,
    `org_id = 'o1'`,
    `user_id = 'u2'`,
    `digest = sha256('x')`,
    `name = 'other'`
  ]) {
    t.same(kinds(await change(ids[0], set)), [['change', [ids[0]]]], set)
  }
  t.same(kinds(await change(ids[0], 'revoked_at = now()')), [['revoke', [ids[0]]]])
  t.same(kinds(await change(ids[0], 'revoked_at = NULL')), [['change', [ids[0]]]])
  const both = await during(() =>
    sql('UPDATE tg_token SET revoked_at = CASE WHEN id = $1 THEN now() END, org_id = $2', [
      ids[0],
      'o2'
    ])
  )
  t.same(kinds(both), [
    ['revoke', [ids[0]]],
    ['change', [ids[1], ids[2]].toSorted()]
  ])
  const merged = await during(() =>
    sql(
      `MERGE INTO tg_token t USING (SELECT $1::uuid AS id) s ON t.id = s.id
        WHEN MATCHED THEN UPDATE SET name = 'merged'`,
      [ids[1]]
    )
  )
  t.same(kinds(merged), [['change', [ids[1]]]])
  const id = randomUUID()
  const renamed = await change(ids[1], `id = '${id}'`)
  t.same(kinds(renamed), [['change', [ids[1], id].toSorted()]])
  t.same(kinds(await during(() => sql('DELETE FROM tg_token WHERE id = $1', [ids[2]]))), [
    ['revoke', [ids[2]]]
  ])
  t.same(kinds(await during(() => sql('DELETE FROM tg_token'))), [
    ['revoke', [ids[0], id].toSorted()]
  ])
  t.same(kinds(await during(() => sql('TRUNCATE tg_token'))), [['all', []]])
})

t.test('an UPDATE that changes nothing is no event', async t => {
  const { sql, store, during } = await open(t)
  const row = await createOne(store)
  t.same(await during(() => sql('UPDATE tg_token SET name = name, scopes = scopes')), [])
  t.same(await during(() => sql(`UPDATE tg_token SET name = 'x' WHERE false`)), [])
  t.same(await during(() => sql('DELETE FROM tg_token WHERE false')), [])
  await store.revoke(row.id, undefined, OPERATOR)
  t.same(await during(() => store.revoke(row.id, undefined, OPERATOR)), [])
})

t.test('a change without an epoch to announce it in is refused', async t => {
  const { sql, store, poll } = await open(t)
  const row = await createOne(store)
  await sql('DELETE FROM tg_epoch')
  t.equal((await faultOf(store.revoke(row.id, undefined, OPERATOR))).status, 503)
  await t.rejects(sql('DELETE FROM tg_token'))
  await t.rejects(poll(), TypeError)
  const [kept] = await store.list({ includeInactive: false })
  t.equal(kept?.id, row.id)
})

t.test('a feed that is cut says up to where', async t => {
  const { sql, store, epochs, poll } = await open(t)
  for (const { id } of await createTokens(store, 4)) await store.revoke(id, undefined, OPERATOR)
  await epochs.prune(DAY_MS)
  t.match(await poll(), { prunedSeq: 0, events: { length: 4 } }, 'nothing is that old')
  await sql(`UPDATE tg_invalidation SET at = now() - interval '2 days' WHERE seq <= 2`)
  await epochs.prune(DAY_MS)
  t.match(await poll(), { prunedSeq: 2, seq: 4, events: [{ seq: 3 }, { seq: 4 }] })
  await epochs.prune(DAY_MS)
  t.match(await poll(), { prunedSeq: 2 })
  await sql(`UPDATE tg_invalidation SET at = now() - interval '2 days'`)
  await Promise.all([epochs.prune(DAY_MS), epochs.prune(DAY_MS), epochs.prune(DAY_MS)])
  t.match(await poll(), { prunedSeq: 4, seq: 4, events: { length: 0 } })
})

t.test('the lease is what the database says now', async t => {
  const { sql, store, poll } = await open(t)
  await sql('UPDATE tg_epoch SET lease_ms = 500')
  t.equal((await poll()).leaseMs, 500)
  const row = await createOne(store)
  const { change } = made(await store.revoke(row.id, undefined, OPERATOR))
  t.equal(change.waitMs, 1000, 'revokers wait for leases as they were')
  await t.rejects(sql('UPDATE tg_epoch SET lease_ms = 2000'), /check constraint/)
})

t.test('another start of the server is another history', async t => {
  const { store, epochs, poll } = await open(t)
  const row = await createOne(store)
  const { change } = made(await store.revoke(row.id, undefined, OPERATOR))
  t.equal((await poll()).history, change.history)
  t.equal((await epochs.lookUp(ME, [row.digest], 2000)).history, change.history)
  await server.kill()
  await server.start()
  const { history } = await poll().catch(() => poll())
  t.not(history, change.history)
  t.equal(await store.confirm(change).catch(() => store.confirm(change)), false)
})

t.test('whoever knows that nobody is alive empties the list of replicas', async t => {
  const { database, epochs } = await open(t)
  for (const id of [ME, randomUUID()]) await epochs.join(id, new Uint8Array(32))
  await forgetReplicas(database)
  t.same(await epochs.members(10_000), [])
})
