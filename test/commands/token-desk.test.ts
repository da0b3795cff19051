import { randomUUID } from 'node:crypto'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { chdir } from 'node:process'
import t from 'tap'
import { run } from '../../src/commands/run.ts'
import { digestBytes, digestToken } from '../../src/core/token.ts'
import { openEmbeddedPostgres } from '../../src/embedded/postgres.ts'
import { openDatabase } from '../../src/store/database.ts'
import { createEpochStore } from '../../src/store/epochs.ts'
import { createRecorder } from '../redis/fixtures.ts'
import { fakeIo } from '../support/command-io.ts'
import { startPostgres } from '../support/postgres.ts'

const ROUTES_FILE = join(import.meta.dirname, '../../config/routes.yaml')
const CREATE = ['create', '--user', 'u1', '--name', 'ci'] as const

t.setTimeout(90_000)
const server = await startPostgres(t)

async function tokens(argv: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const io = fakeIo({ ROUTES_FILE, ...env })
  const startedAt = performance.now()
  const exitCode = await run(['tokens', ...argv], io)
  const tookMs = performance.now() - startedAt
  return { exitCode, stdout: io.stdout(), stderr: io.stderr(), tookMs }
}

async function openShared() {
  const created = await server.createDatabase()
  const on = (argv: readonly string[], env = {}) =>
    tokens(argv, { DATABASE_URL: created.url, ...env })
  const sql = (text: string, values?: readonly unknown[]) => created.sql(text, values)
  const create = async () => {
    const { stdout } = await on([...CREATE, '--output', 'json'])
    const made: unknown = JSON.parse(stdout)
    return typeof made === 'object' && made !== null && 'id' in made ? String(made.id) : ''
  }
  return { url: created.url, on, sql, create }
}

t.test('a token is created, listed and revoked on the database of the settings', async t => {
  const { on, sql } = await openShared()
  const created = await on(CREATE)
  t.equal(created.exitCode, 0, created.stderr)
  const [row] = await sql('SELECT id, digest, user_id, scopes FROM tg_token')
  t.match(row, { user_id: 'u1' })
  t.same(row?.['digest'], digestBytes(digestToken(created.stdout.trimEnd())))
  const id = String(row?.['id'])
  t.match(await on(['list', '--user', 'u1']), { exitCode: 0, stdout: id, stderr: '' })
  const revoked = await on(['revoke', id])
  t.match(revoked, { exitCode: 0, stderr: '' })
  t.match(
    revoked.stdout,
    /^Token \S+ is revoked since .* 0 of 0 replicas acknowledged in \d+ ms\.\n$/
  )
  t.notMatch((await on(['list'])).stdout, id)
  t.match((await on(['list', '--include', 'inactive'])).stdout, id)
  const trail = await sql('SELECT event, actor_kind, actor_id FROM tg_audit ORDER BY id')
  t.match(trail, [
    { event: 'token.created', actor_kind: 'operator', actor_id: /^.+@.+$/ },
    { event: 'token.revoked', actor_kind: 'operator', actor_id: /^.+@.+$/ }
  ])
})

t.test('a revocation waits for the lease of a replica that is not heard', async t => {
  const { on, sql, create } = await openShared()
  const id = await create()
  await sql(`INSERT INTO tg_replica (id, ack_key) VALUES ($1, sha256('x'))`, [randomUUID()])
  const { exitCode, stdout, tookMs } = await on(['revoke', id])
  t.equal(exitCode, 0)
  t.match(stdout, /0 of 1 replicas acknowledged in 1\d\d\d ms; the leases of the others have ended/)
  t.ok(tookMs >= 1000, `${tookMs} ms`)
  t.match(await on(['revoke', id]), { exitCode: 0 }, 'and again, whoever has revoked it')
  const many = await on(['revoke', '--all-of-user', 'u1'])
  t.match(many, { exitCode: 0, stdout: 'No active token is like that.\n' })
})

t.test('without Redis at its address a revocation is slow, and done', async t => {
  const { on, sql, create } = await openShared()
  const id = await create()
  await sql(`INSERT INTO tg_replica (id, ack_key) VALUES ($1, sha256('x'))`, [randomUUID()])
  const { exitCode, stdout } = await on(['revoke', id], { REDIS_URL: 'redis://127.0.0.1:1' })
  t.equal(exitCode, 0)
  t.match(stdout, /0 of 1 replicas acknowledged/)
})

t.test('a revocation that is undone before its end is not confirmed', async t => {
  const { on, sql, create } = await openShared()
  const id = await create()
  await sql(`INSERT INTO tg_replica (id, ack_key) VALUES ($1, sha256('x'))`, [randomUUID()])
  const undone = on(['revoke', id])
  const isRevoked = 'SELECT id FROM tg_token WHERE revoked_at IS NOT NULL'
  while ((await sql(isRevoked)).length === 0);
  await sql('UPDATE tg_token SET revoked_at = NULL')
  await sql(`CREATE FUNCTION undo() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN UPDATE tg_token SET revoked_at = NULL; RETURN NULL; END $$;
    CREATE TRIGGER undo AFTER INSERT ON tg_invalidation FOR EACH ROW
      WHEN (NEW.kind = 'revoke') EXECUTE FUNCTION undo()`)
  for (const { exitCode, stdout, stderr } of [await undone, await on(['revoke', id])]) {
    t.equal(exitCode, 3)
    t.equal(stdout, '')
    t.match(stderr, /^The change is not confirmed everywhere\. Repeat the request\./)
  }
})

t.test('a token that is not there ends with 1', async t => {
  const { on } = await openShared()
  t.match(await on(['revoke', randomUUID()]), {
    exitCode: 1,
    stdout: '',
    stderr: 'Token not found\n'
  })
})

t.test('a shared database is never migrated in passing', async t => {
  const { url, sql } = await server.createDatabase({ isEmpty: true })
  for (const argv of [CREATE, ['list'], ['revoke', randomUUID()]]) {
    t.match(await tokens(argv, { DATABASE_URL: url }), {
      exitCode: 2,
      stdout: '',
      stderr: 'The database schema is old: run `tollgate migrate` first.\n'
    })
  }
  t.same(await sql(`SELECT relname FROM pg_class WHERE relname LIKE 'tg%'`), [])
})

t.test('a schema that this program does not know ends with 2', async t => {
  const { on, sql } = await openShared()
  await sql(`UPDATE tg_migration SET checksum = 'x'`)
  t.match(await on(['list']), { exitCode: 2, stderr: /^0001_tokens\.sql is not what was applied/ })
  await sql(`INSERT INTO tg_migration (version, file, checksum) VALUES (7, 'x', 'x')`)
  t.match(await on(['list']), { exitCode: 2, stderr: /^the database schema has version 7, / })
})

t.test('a database that cannot be reached ends with 3', async t => {
  const url = 'postgres://tollgate:hunter2-hunter2@127.0.0.1:1/x'
  const { exitCode, stderr } = await tokens(['list'], { DATABASE_URL: url })
  t.equal(exitCode, 3)
  t.match(stderr, /^The token store cannot be reached\. Try again shortly\. \(.*ECONNREFUSED/)
  t.notMatch(stderr, 'hunter2')
})

t.test('wrong settings and a broken route file end with 2', async t => {
  const { on } = await openShared()
  t.match(await on(['list'], { REDIS_URL: 'redis://127.0.0.1:99999' }), { exitCode: 2 })
  t.match(await on(['list'], { LEASE_MS: 'x' }), { exitCode: 2, stderr: /LEASE_MS/ })
  const folder = t.testdir({ 'routes.yaml': 'version: 99' })
  const broken = { ROUTES_FILE: join(folder, 'routes.yaml') }
  t.match(await on(CREATE, broken), { exitCode: 2, stdout: '', stderr: /routes\.yaml/ })
  t.match(await on(['list'], broken), { exitCode: 0 }, 'only creating needs it')
  t.match(await on(CREATE, { ROUTES_FILE: join(folder, 'none.yaml') }), { exitCode: 2, stdout: '' })
})

// The tests of the embedded database share one: to make it takes seconds.
const embedded = t.testdir({ kept: {}, fresh: {} })
t.afterEach(() => chdir(join(import.meta.dirname, '../..')))

t.test('without a database of the settings it is the embedded one', async t => {
  chdir(join(embedded, 'kept'))
  const created = await tokens([...CREATE, '--output', 'json'])
  t.equal(created.exitCode, 0, created.stderr)
  const listed = await tokens(['list', '--output', 'json'])
  t.match(JSON.parse(listed.stdout), { tokens: [{ userId: 'u1', name: 'ci' }] })
  t.notOk(existsSync('.tollgate/postgres.lock'), 'it is free again')

  const gate = await openEmbeddedPostgres('.tollgate')
  const refused = await tokens(['list'])
  await gate[Symbol.asyncDispose]()
  t.match(refused, { exitCode: 3, stdout: '' })
  t.match(
    refused.stderr,
    `the embedded database in .tollgate/ is in use by process ${process.pid}: `
  )
})

t.test('whoever died with the embedded database is not waited for', async t => {
  chdir(join(embedded, 'kept'))
  const created = await tokens([...CREATE, '--output', 'json'])
  const { id } = JSON.parse(created.stdout)
  const gate = await openEmbeddedPostgres('.tollgate')
  const { connection } = gate
  const database = openDatabase({ connection, isEmbedded: true, observer: createRecorder() })
  await createEpochStore(database).join(randomUUID(), new Uint8Array(32))
  await database[Symbol.asyncDispose]()
  await gate[Symbol.asyncDispose]()
  const revoked = await tokens(['revoke', String(id)])
  t.match(revoked, { exitCode: 0, stdout: /0 of 0 replicas acknowledged/ })
})

t.test('the embedded database is for trying out, and needs a folder', async t => {
  chdir(join(embedded, 'fresh'))
  t.match(await tokens(['list'], { NODE_ENV: 'production' }), {
    exitCode: 2,
    stdout: '',
    stderr: 'DATABASE_URL must be set in production.\n'
  })
  t.notOk(existsSync('.tollgate'))
  chdir(join(embedded, 'kept'))
  const allowed = { NODE_ENV: 'production', TOLLGATE_ALLOW_EMBEDDED: 'true' }
  t.match(await tokens(['list'], allowed), { exitCode: 0 })
  chdir(join(embedded, 'fresh'))
  writeFileSync('.tollgate', '')
  t.match(await tokens(CREATE), {
    exitCode: 3,
    stdout: '',
    stderr: 'The folder .tollgate/ cannot be written.\n'
  })
})
