import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { EmbeddedInUse } from '../../src/embedded/folder-lock.ts'
import { openEmbeddedPostgres } from '../../src/embedded/postgres.ts'
import { type Database, openDatabase } from '../../src/store/database.ts'
import { migrate, schemaState } from '../../src/store/migrate.ts'
import { createTokenStore } from '../../src/store/tokens.ts'
import { createRecorder } from '../redis/fixtures.ts'
import {
  createOne,
  createTokens,
  faultOf,
  LEASE_MS,
  made,
  newToken,
  OPERATOR,
  sqlOn,
  testStores
} from '../store/store-claims.ts'

t.setTimeout(90_000)

/** Opened on a folder, with the schema; closed by the caller. */
async function open(folder: string) {
  const postgres = await openEmbeddedPostgres(folder)
  const { connection } = postgres
  const database = openDatabase({ connection, isEmbedded: true, observer: createRecorder() })
  await migrate(database, { leaseMs: LEASE_MS })
  const close = async () => {
    await database[Symbol.asyncDispose]()
    await postgres[Symbol.asyncDispose]()
  }
  return { postgres, database, store: createTokenStore(database), close }
}

const base = t.testdir()
const shared = join(base, '.tollgate')
/** Used by one test after the other: to make one takes seconds. */
const other = join(base, 'other')
const { database, postgres, close } = await open(shared)
t.teardown(close)

t.test('it is kept, and was not there before', async t => {
  t.equal(postgres.isKept, true)
  t.equal(postgres.isNew, true)
  t.equal(await schemaState(database), 'current')
  t.equal(await migrate(database, { leaseMs: LEASE_MS }), 0)
})

testStores(t, database)

t.test('any number of statements at once share the one connection', async t => {
  const store = createTokenStore(database)
  const rows = await createTokens(store, 10)
  const { userId } = newToken()
  const results = await Promise.all([
    ...rows.map(({ id }) => store.revoke(id, undefined, OPERATOR)),
    ...rows.map(() => store.list({ userId, includeInactive: true })),
    ...rows.map(() => store.create(newToken({ userId }), OPERATOR))
  ])
  const seqs = results.flatMap(result => ('change' in Object(result) ? [result] : []))
  t.equal(seqs.length, 10)
  t.equal((await store.list({ userId, includeInactive: false })).length, 10)
})

t.test('a large statement and a large answer pass', async t => {
  const store = createTokenStore(database)
  const repositories = Array.from({ length: 20_000 }, (_, i) => `repository ${i}`)
  const row = await createOne(store, { repositories })
  t.same(row.repositories, repositories)
  const [listed] = await store.list({ userId: row.userId, includeInactive: false })
  t.same(listed, row)
})

t.test('a statement that is refused leaves the connection as good as before', async t => {
  const sql = sqlOn(database)
  const before = await sql('SELECT 1 AS n')
  for (const text of ['SELECT 1 / 0', 'SELECT', 'SELEKT 1', 'BEGIN; SELECT 1 / 0']) {
    if (text !== 'SELECT') await faultOf(sql(text))
    t.same(await sql('SELECT 1 AS n'), before, text)
  }
  const prepared = { name: 'divide', text: 'SELECT 6 / $1::int AS n' } as const
  t.same(await database.query('api', prepared, [2]), [{ n: 3 }])
  await faultOf(database.query('api', prepared, [0]))
  t.same(await database.query('api', prepared, [3]), [{ n: 2 }], 'prepared statements too')
})

t.test('a connection that ends in a transaction leaves nothing behind', async t => {
  const store = createTokenStore(database)
  const { userId } = await createOne(store)
  const list = async () => (await store.list({ userId, includeInactive: false })).length
  const ended = database.session(async run => {
    await run('BEGIN')
    await run('DELETE FROM tg_token')
    await run('SET search_path = nowhere')
    await run('CREATE TEMP TABLE mine ()')
    throw new RangeError('ended')
  })
  await t.rejects(ended, RangeError)
  t.equal(await list(), 1)
  await database.session(run =>
    run(`SET search_path = nowhere; SELECT set_config('a.b', 'c', false)`)
  )
  await faultOf(database.session(run => run('BEGIN; DELETE FROM tg_nowhere')))
  t.equal(await list(), 1, 'nor do its settings')
  t.equal((await sqlOn(database)(`SELECT to_regclass('mine') AS mine`))[0]?.['mine'], null)
})

t.test('two connections never mix, also where the driver believes in two', async t => {
  const second = openDatabase({
    connection: postgres.connection,
    isEmbedded: true,
    observer: createRecorder()
  })
  const sql = sqlOn(second)
  t.same(await sql('SELECT 1 AS n'), [{ n: 1 }])
  await second[Symbol.asyncDispose]()
  const [row] = await database
    .session(run => run('SELECT 2 AS n'))
    .catch(() => database.session(run => run('SELECT 2 AS n')))
  t.same(row, { n: 2 })
})

t.test('a folder is used by one process at a time', async t => {
  await t.rejects(openEmbeddedPostgres(shared), {
    name: 'EmbeddedInUse',
    message: new RegExp(`in use by process ${process.pid}:`)
  })
  const source = (path: string) => JSON.stringify(join(import.meta.dirname, '../..', path))
  const script = `
    import { openEmbeddedPostgres } from ${source('src/embedded/postgres.ts')}
    import { openDatabase } from ${source('src/store/database.ts')}
    import { migrate } from ${source('src/store/migrate.ts')}
    import { createTokenStore } from ${source('src/store/tokens.ts')}
    import { newToken, OPERATOR } from ${source('test/store/store-claims.ts')}
    import { createRecorder } from ${source('test/redis/fixtures.ts')}
    const opened = await openEmbeddedPostgres(process.argv[1]).catch(error => error)
    if (opened instanceof Error) {
      console.log(opened.message)
    } else {
      const { connection } = opened
      const database = openDatabase({ connection, isEmbedded: true, observer: createRecorder() })
      await migrate(database, { leaseMs: 1000 })
      await createTokenStore(database).create(newToken({ name: 'before the kill' }), OPERATOR)
      setInterval(() => {}, 1000)
      console.log('created')
    }`
  const args = ['--input-type=module', '-e', script] as const
  const { stdout } = spawnSync(process.execPath, [...args, shared], { encoding: 'utf8' })
  t.match(stdout, `in use by process ${process.pid}:`)

  const folder = other
  const child = spawn(process.execPath, [...args, folder], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => child.kill('SIGKILL'))
  const [said] = await once(child.stdout, 'data')
  t.match(String(said), 'created')
  const refused = await openEmbeddedPostgres(folder).catch((error: unknown) => error)
  t.ok(refused instanceof EmbeddedInUse)
  t.match(refused, { message: new RegExp(`in use by process ${child.pid}:`) })
  child.kill('SIGKILL')
  await once(child, 'exit')
  // A killed process leaves its lock behind, and what it had committed.
  t.ok(existsSync(join(folder, 'postgres.lock')))
  const next = await open(folder)
  t.equal(next.postgres.isNew, false)
  const rows = await next.store.list({ includeInactive: true })
  t.match(rows, [{ name: 'before the kill' }])
  await next.close()
  t.notOk(existsSync(join(folder, 'postgres.lock')))
})

t.test('what was kept is there when it is opened again', async t => {
  const first = await open(other)
  const [a, b] = await createTokens(first.store, 2, { userId: 'u1' })
  const { revokedAtMs, change } = made(await first.store.revoke(a?.id ?? '', 'u1', OPERATOR))
  await first.close()
  const second = await open(other)
  t.match(second.postgres, { isKept: true, isNew: false })
  const rows = await second.store.list({ userId: 'u1', includeInactive: true })
  t.same(rows, [b, { ...a, revokedAtMs }])
  const again = made(await second.store.revoke(a?.id ?? '', 'u1', OPERATOR))
  t.equal(again.change.seq, change.seq)
  await second.close()
})

t.test('a folder that cannot be written is memory, and says so', async t => {
  const file = join(t.testdir({ file: 'text' }), 'file')
  const opened = await open(join(file, '.tollgate'))
  t.match(opened.postgres, { isKept: false, isNew: true })
  const row = await createOne(opened.store)
  t.equal((await opened.store.list({ includeInactive: true }))[0]?.id, row.id)
  await opened.close()
  t.equal(readFileSync(file, 'utf8'), 'text')
})

t.test('a folder with something else in it is let go of again', async t => {
  const folder = t.testdir({ postgres: 'no folder' })
  await t.rejects(openEmbeddedPostgres(folder))
  t.notOk(existsSync(join(folder, 'postgres.lock')))
})

t.test('a database is nobody’s before it is opened and after it is closed', async t => {
  const { postgres, database, close } = await open(other)
  await close()
  t.equal((await faultOf(oneOf(database))).code, 'TOKEN_STORE_UNAVAILABLE')
  const late = openDatabase({
    connection: postgres.connection,
    isEmbedded: true,
    observer: createRecorder()
  })
  t.equal((await faultOf(oneOf(late))).code, 'TOKEN_STORE_UNAVAILABLE')
  await late[Symbol.asyncDispose]()
})

function oneOf(database: Database): Promise<unknown> {
  return database.session(run => run('SELECT 1'))
}
