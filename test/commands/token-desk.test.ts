import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { run } from '../../src/commands/run.ts'
import { isWellFormedToken } from '../../src/core/token.ts'
import { fakeIo } from '../support/command-io.ts'
import { freePort, runTollgate, startGate } from '../support/gate.ts'
import { openTestDatabase, startPostgres } from '../support/postgres.ts'
import { startRedis } from '../support/redis.ts'
import { createEpochStore } from '../../src/store/epochs.ts'

const ROUTES_FILE = join(import.meta.dirname, '../../config/routes.yaml')
const UUID = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/
const CREATE = ['tokens', 'create', '--user', 'user-1', '--name', 'ci'] as const

const postgres = await startPostgres(t)

async function call(argv: readonly string[], env: Readonly<Record<string, string>>) {
  const io = fakeIo({ ROUTES_FILE, ...env })
  const exitCode = await run(argv, io)
  return { exitCode, stdout: io.stdout(), stderr: io.stderr() }
}

/** The command line as a process of its own, in a folder of its own. */
async function callIn(cwd: string, argv: readonly string[], env = {}) {
  const { child, output } = runTollgate({ args: argv, cwd, env: { ROUTES_FILE, ...env } })
  const [exitCode] = await once(child, 'close')
  return { exitCode, output: output() }
}

/** A replica of which nothing is heard. */
async function addSilentReplica(t: Test, url: string): Promise<void> {
  const database = openTestDatabase(url)
  t.teardown(() => database[Symbol.asyncDispose]())
  await createEpochStore(database).join(crypto.randomUUID(), new Uint8Array(32))
}

t.test('operators make, see and revoke tokens straight on the database', async t => {
  const { url, sql } = await postgres.createDatabase()
  const env = { DATABASE_URL: url }
  const made = await call([...CREATE, '--scopes', 'scans:read', '--org', 'org-1'], env)
  t.equal(made.exitCode, 0)
  t.ok(isWellFormedToken(made.stdout.trimEnd()))
  const [id = ''] = UUID.exec(made.stderr) ?? []
  const listed = await call(['tokens', 'list'], env)
  t.match(listed.stdout, new RegExp(`${id} +user-1 +org-1 +ci .*scans:read`))
  const revoked = await call(['tokens', 'revoke', id], env)
  t.match(revoked, { exitCode: 0, stdout: /0 of 0 replicas acknowledged in \d+ ms/, stderr: '' })
  t.notMatch((await call(['tokens', 'list'], env)).stdout, id)
  t.match(await call(['tokens', 'revoke', crypto.randomUUID()], env), {
    exitCode: 1,
    stderr: 'Token not found\n'
  })
  t.match(await sql('SELECT event, actor_kind, actor_id FROM tg_audit ORDER BY id'), [
    { event: 'token.created', actor_kind: 'operator', actor_id: /.@./ },
    { event: 'token.revoked', actor_kind: 'operator', actor_id: /.@./ }
  ])
})

t.test('a revocation waits for the lease of a replica that is not heard of', async t => {
  const { url } = await postgres.createDatabase()
  const env = { DATABASE_URL: url }
  await call([...CREATE, '--scopes', 'scans:read'], env)
  await addSilentReplica(t, url)
  const startedMs = performance.now()
  const revoked = await call(['tokens', 'revoke', '--all-of-user', 'user-1'], env)
  const tookMs = performance.now() - startedMs
  t.match(revoked, {
    exitCode: 0,
    stdout: /0 of 1 replicas acknowledged in \d+ ms; the leases of the others have ended\./
  })
  t.ok(tookMs >= 1000, `a lease of 1 s and its margin: ${tookMs} ms`)
})

t.test('with Redis a running gate acknowledges, and nobody waits', async t => {
  const { url } = await postgres.createDatabase()
  const redis = await startRedis(t)
  const env = { DATABASE_URL: url, REDIS_URL: redis.url }
  const gate = await startGate({
    cwd: t.testdir(),
    env: { ROUTES_FILE, ...env, UPSTREAM_URL: `http://127.0.0.1:${await freePort()}` }
  })
  t.teardown(() => gate.stop('SIGKILL'))
  await call([...CREATE, '--scopes', 'scans:read'], env)
  const revoked = await call(['tokens', 'revoke', '--all-of-user', 'user-1'], env)
  t.match(revoked, { exitCode: 0, stdout: /1 of 1 replicas acknowledged in \d+ ms\.\n$/ })
  const waitedMs = Number(/in (\d+) ms/.exec(revoked.stdout)?.[1])
  t.ok(waitedMs < 1000, `${waitedMs} ms`)
})

t.test('a database that cannot be used is told in a sentence', async t => {
  const { url, sql } = await postgres.createDatabase()
  const { url: emptyUrl } = await postgres.createDatabase({ isEmpty: true })
  const list = (env: Readonly<Record<string, string>>) => call(['tokens', 'list'], env)
  t.match(await list({ DATABASE_URL: emptyUrl }), {
    exitCode: 2,
    stdout: '',
    stderr: 'The database schema is old: run `tollgate migrate` first.\n'
  })
  await sql(`INSERT INTO tg_migration (version, file, checksum) VALUES (9, '0009_x.sql', 'x')`)
  t.match(await list({ DATABASE_URL: url }), { exitCode: 2, stderr: /use a newer one\n$/ })
  const DATABASE_URL = `postgres://tollgate:a-password-of-tests@127.0.0.1:${await freePort()}/x`
  const down = await list({ DATABASE_URL })
  t.match(down, { exitCode: 3, stderr: /cannot be reached.*ECONNREFUSED/ })
  t.notMatch(down.stderr, 'a-password-of-tests')
  t.match(await list({ NODE_ENV: 'production' }), {
    exitCode: 2,
    stderr: 'DATABASE_URL must be set in production.\n'
  })
})

t.test('scopes come from the route file, and its errors are told', async t => {
  const { url } = await postgres.createDatabase()
  const env = { DATABASE_URL: url }
  const mistyped = await call([...CREATE, '--scopes', 'scans:raed'], env)
  t.match(mistyped, { exitCode: 2, stderr: /Did you mean "scans:read"\?/ })
  const broken = join(t.testdir({ 'routes.yaml': 'version: 1\nroutes: 7\n' }), 'routes.yaml')
  const refused = await call([...CREATE], { ...env, ROUTES_FILE: broken })
  t.match(refused, { exitCode: 2, stdout: '', stderr: /routes\.yaml/ })
})

t.test('without DATABASE_URL it is the embedded database, unless a gate has it', async t => {
  const cwd = t.testdir()
  const made = await callIn(cwd, [...CREATE, '--scopes', 'scans:read'])
  t.equal(made.exitCode, 0, made.output)
  t.ok(existsSync(join(cwd, '.tollgate')))
  const gate = await startGate({ cwd, env: { ROUTES_FILE } })
  t.teardown(() => gate.stop('SIGKILL'))
  const refused = await callIn(cwd, ['tokens', 'list'])
  t.equal(refused.exitCode, 3)
  t.match(refused.output, `in .tollgate/ is in use by process ${gate.pid}: stop that one`)
  // Its row in the list of replicas stays behind.
  await gate.stop('SIGKILL')
  const revoked = await callIn(cwd, ['tokens', 'revoke', '--all-of-user', 'user-1'])
  t.equal(revoked.exitCode, 0)
  t.match(revoked.output, /0 of 0 replicas acknowledged/, 'nobody waits for the dead')
  const listed = await callIn(cwd, ['tokens', 'list', '--user', 'user-1'])
  t.notMatch(listed.output, 'scans:read')
})
