import t, { type Test } from 'tap'
import { migrate, SchemaChanged, schemaState, SchemaTooNew } from '../../src/store/migrate.ts'
import { prepareSchema, type SchemaWord } from '../../src/store/prepare.ts'
import { createLog } from '../redis/fixtures.ts'
import { openTestDatabase, startPostgres } from '../support/postgres.ts'
import { openNew, openReplica, until } from './open.ts'
import { faultOf } from './store-claims.ts'

const server = await startPostgres(t)

const OPTIONS = { leaseMs: 1000 } as const
/** What a migration locks, here by hand. */
const LOCK = 'SELECT pg_advisory_lock(8390044758044271717)'

t.test('of eight migrations at once on an empty database one makes the schema', async t => {
  const { url, sql } = await openNew(t, server, true)
  const databases = Array.from({ length: 8 }, () => openReplica(t, url).database)
  const applied = await Promise.all(databases.map(database => migrate(database, OPTIONS)))
  t.equal(applied.join('').replaceAll('0', ''), '1')
  t.same(await sql('SELECT version, file FROM tg_migration'), [
    { version: 1, file: '0001_tokens.sql' }
  ])
  t.same(await sql('SELECT lease_ms, wait_ms, seq FROM tg_epoch'), [
    { lease_ms: 1000, wait_ms: 1000, seq: '0' }
  ])
})

t.test('migrations at once do so under any isolation the database prefers', async t => {
  const { url, sql } = await openNew(t, server, true)
  const [row] = await sql('SELECT current_database() AS name')
  await sql(
    `ALTER DATABASE ${String(row?.['name'])} SET default_transaction_isolation = 'repeatable read'`
  )
  const databases = Array.from({ length: 4 }, () => openReplica(t, url).database)
  const applied = await Promise.all(databases.map(database => migrate(database, OPTIONS)))
  t.equal(applied.join('').replaceAll('0', ''), '1')
})

t.test('a repeated migration does nothing, whatever lease it would begin with', async t => {
  const { database, sql } = await openNew(t, server, true)
  t.equal(await schemaState(database), 'old')
  t.equal(await migrate(database, OPTIONS), 1)
  t.equal(await schemaState(database), 'current')
  t.equal(await migrate(database, { leaseMs: 5000 }), 0)
  t.same(await sql('SELECT lease_ms FROM tg_epoch'), [{ lease_ms: 1000 }])
})

t.test('a schema newer than the program is refused', async t => {
  const { database, sql } = await openNew(t, server)
  await sql(`INSERT INTO tg_migration (version, file, checksum) VALUES (9, '0009_x.sql', 'x')`)
  await t.rejects(migrate(database, OPTIONS), SchemaTooNew)
  await t.rejects(schemaState(database), {
    name: 'SchemaTooNew',
    message: 'the database schema has version 9, and this program knows 1 at most: use a newer one'
  })
})

t.test('a schema made from other files is refused', async t => {
  const { database, sql } = await openNew(t, server)
  await sql(`UPDATE tg_migration SET checksum = 'another'`)
  await t.rejects(schemaState(database), SchemaChanged)
  await t.rejects(migrate(database, OPTIONS), {
    name: 'SchemaChanged',
    message: /^0001_tokens\.sql is not what was applied/
  })
})

t.test('a migration that fails leaves nothing behind', async t => {
  const { database, sql } = await openNew(t, server, true)
  await sql('CREATE TABLE tg_audit ()')
  t.equal((await faultOf(migrate(database, OPTIONS))).code, 'TOKEN_STORE_UNAVAILABLE')
  const left = await sql(`SELECT relname FROM pg_class WHERE relname LIKE 'tg%'`)
  t.same(left, [{ relname: 'tg_audit' }])
  await sql('DROP TABLE tg_audit')
  t.equal(await migrate(database, OPTIONS), 1)
})

/** Prepares and notes what is said meanwhile. */
function prepare(url: string, isMigrating: boolean, t: Test) {
  const states: SchemaWord[] = []
  const log = createLog()
  const end = new AbortController()
  const prepared = prepareSchema(openReplica(t, url).database, {
    isMigrating,
    ...OPTIONS,
    log,
    signal: end.signal,
    onState: state => void states.push(state)
  })
  return { states, log, end, prepared }
}

t.test('a start makes the schema, and then it can be used', async t => {
  const { url, epochs } = await openNew(t, server, true)
  const { states, log, prepared } = prepare(url, true, t)
  await prepared
  t.same(states, ['ok'])
  t.same(log.lines, [])
  t.equal((await epochs.poll(crypto.randomUUID(), 0, 2000)).seq, 0)
})

t.test('a start waits for a database that comes later', async t => {
  const url = (await openNew(t, server, true)).url.replace(/\/[^/]*$/, '/later')
  const { states, log, prepared } = prepare(url, true, t)
  await until(() => states.length >= 3)
  t.same([...new Set(states)], ['down'])
  t.same(log.lines, ['error the database cannot be reached'], 'told once')
  const { sql } = await openNew(t, server, true)
  await sql('CREATE DATABASE later TEMPLATE template0')
  await prepared
  t.equal(states.at(-1), 'ok')
})

t.test('a start that may not migrate waits for somebody who does', async t => {
  const { url, database } = await openNew(t, server, true)
  const { states, log, prepared } = prepare(url, false, t)
  await until(() => states.length >= 3)
  t.same([...new Set(states)], ['old'])
  t.same(log.lines, ['warn the schema is old: run `tollgate migrate`'], 'told once')
  await migrate(database, OPTIONS)
  await prepared
  t.equal(states.at(-1), 'ok')
})

t.test('a start waits for somebody else’s migration', async t => {
  const { url, database } = await openNew(t, server, true)
  await database.session(async run => {
    await run(LOCK)
    const { states, prepared } = prepare(url, true, t)
    await isWaiting(url)
    t.same(states, [])
    await run('SELECT pg_advisory_unlock_all()')
    await prepared
    t.same(states, ['ok'])
  })
})

t.test('a start refuses a schema that it does not know', async t => {
  for (const isMigrating of [true, false]) {
    const { url, sql } = await openNew(t, server)
    await sql(`INSERT INTO tg_migration (version, file, checksum) VALUES (9, '0009_x.sql', 'x')`)
    await t.rejects(prepare(url, isMigrating, t).prepared, SchemaTooNew)
    await sql(`DELETE FROM tg_migration WHERE version = 9`)
    await sql(`UPDATE tg_migration SET checksum = 'another'`)
    await t.rejects(prepare(url, isMigrating, t).prepared, SchemaChanged)
  }
})

t.test('a start that is called off ends, whatever it waits for', async t => {
  const { url, database } = await openNew(t, server, true)
  const old = prepare(url, false, t)
  await until(() => old.states.length > 0)
  const down = prepare(url.replace(/\/[^/]*$/, '/nowhere'), true, t)
  await until(() => down.states.length > 0)
  await database.session(async run => {
    await run(LOCK)
    const locked = prepare(url, true, t)
    await isWaiting(url)
    for (const { end, prepared } of [old, down, locked]) {
      end.abort()
      const startedAt = performance.now()
      await prepared
      t.ok(performance.now() - startedAt < 500)
    }
    t.same(locked.states, [])
    await run('SELECT pg_advisory_unlock_all()')
  })
  const never = prepare(url, true, t)
  never.end.abort()
  await never.prepared
})

/** Resolves when a connection of this database waits for a lock. */
async function isWaiting(url: string): Promise<void> {
  const database = openTestDatabase(url)
  const text = `SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`
  await until(async () => (await database.session(run => run(text))).length > 0)
  await database[Symbol.asyncDispose]()
}
