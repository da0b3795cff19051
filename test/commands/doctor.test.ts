/** `doctor` against each broken dependency: it names it, says what to do, and ends with the right code. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer as createTcpServer } from 'node:net'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { exportJWK, generateKeyPair } from 'jose'
import t, { type Test } from 'tap'
import { run } from '../../src/commands/run.ts'
import { fakeIo } from '../support/command-io.ts'
import { startFaultProxy } from '../support/fault-proxy.ts'
import { startKeyServer } from '../support/key-server.ts'
import { startPostgres, type TestDatabase } from '../support/postgres.ts'
import { startRedis } from '../support/redis.ts'
import { startProxy } from '../support/proxy.ts'
import { startUpstream } from '../support/upstream.ts'

const [server, redis, upstream] = await Promise.all([
  startPostgres(t),
  startRedis(t),
  startUpstream()
])
t.teardown(() => upstream.close())
await redis.command('CONFIG', 'SET', 'save', '3600 1')
const folder = mkdtempSync(join(tmpdir(), 'tollgate-doctor-'))
t.teardown(() => rmSync(folder, { recursive: true, force: true }))

const ROUTES = `version: 1
scopes: { a:read: { title: A, default: true } }
routes:
  GET /a: a:read
tests:
  - { request: GET /a, as: { scopes: [a:read] }, expect: allow }
`

function routesFile(name: string, text: string): string {
  const path = join(folder, name)
  writeFileSync(path, text)
  return path
}

const good = {
  ROUTES_FILE: routesFile('routes.yaml', ROUTES),
  DATABASE_URL: (await server.createDatabase()).url,
  REDIS_URL: redis.url,
  UPSTREAM_URL: upstream.url,
  UPSTREAM_KEEPALIVE_MS: '0',
  JWT_SECRET: 'x'.repeat(32)
}

interface Told {
  readonly check: string
  readonly result: string
  readonly message: string
}

async function doctor(env: Readonly<Record<string, string>> = {}, ...args: readonly string[]) {
  const io = fakeIo({ ...good, ...env })
  const exitCode = await run(['doctor', '--output', 'json', ...args], io)
  const rows: readonly Told[] = io.stdout() === '' ? [] : JSON.parse(io.stdout())
  return { exitCode, rows, of: (check: string) => rows.filter(row => row.check === check), io }
}

/** One thing is wrong: it is told under its name, and everything else is as before. */
async function isTold(
  t: Test,
  env: Readonly<Record<string, string>>,
  expected: {
    readonly check: string
    readonly result: string
    readonly message: RegExp
    readonly exitCode: number
  }
): Promise<void> {
  const { check, exitCode, ...row } = expected
  const told = await doctor(env)
  t.match(told.of(check), [row])
  t.equal(told.exitCode, exitCode, `${check}: exit code`)
  const others = told.rows.filter(other => other.check !== check && other.result === 'fail')
  t.same(others, [], `${check}: nothing else fails`)
}

t.test('with everything in order each check is ok, and the exit code 0', async t => {
  const { exitCode, rows } = await doctor()
  t.same(
    rows.map(({ check, result }) => `${check} ${result}`),
    [
      'settings ok',
      'routes ok',
      'postgres ok',
      'redis ok',
      'clocks ok',
      'user JWTs ok',
      'upstream ok',
      'upstream idle ok',
      'limits ok'
    ]
  )
  t.equal(exitCode, 0)
  const io = fakeIo(good)
  t.equal(await run(['doctor'], io), 0)
  t.match(io.stdout(), /^CHECK +RESULT +WHAT\nsettings +ok +valid\n/)
})

t.test('nothing configured: what is embedded is skipped; in production each gap fails', async t => {
  const io = fakeIo({ ROUTES_FILE: good.ROUTES_FILE })
  t.equal(await run(['doctor'], io), 0)
  t.match(io.stdout(), /postgres +skip +DATABASE_URL is not set/)
  const strict = fakeIo({ ROUTES_FILE: good.ROUTES_FILE, NODE_ENV: 'production' })
  t.equal(await run(['doctor'], strict), 1)
  t.match(strict.stdout(), /settings +fail +REDIS_URL must be set in production/)
})

t.test('settings and route file', async t => {
  const settings = await doctor({ PORT: 'x', LEASE_MS: '1' })
  t.match(settings.of('settings'), [
    { result: 'fail', message: /PORT must be/ },
    { result: 'fail', message: /LEASE_MS must be/ }
  ])
  t.match(settings.of('postgres'), [{ result: 'skip', message: /settings are not valid/ }])
  t.equal(settings.exitCode, 1)
  const routes = (text: string) => ({ ROUTES_FILE: routesFile('other.yaml', text) })
  await isTold(t, routes(ROUTES.replace('GET /a: a:read', 'GET /a: b')), {
    check: 'routes',
    result: 'fail',
    message: /other\.yaml:4:\d+ /,
    exitCode: 1
  })
  await isTold(t, routes(ROUTES.replace('expect: allow', 'expect: 401')), {
    check: 'routes',
    result: 'fail',
    message: /expected 401, got allow/,
    exitCode: 1
  })
  await isTold(
    t,
    routes(ROUTES.replace('GET /a: a:read', 'GET /a: { scope: a:read, mode: report }')),
    {
      check: 'routes',
      result: 'warn',
      message: /1 rule is in report mode/,
      exitCode: 0
    }
  )
  mkdirSync(join(folder, 'crowded/other'), { recursive: true })
  await isTold(
    t,
    { ROUTES_FILE: routesFile('crowded/routes.yaml', ROUTES) },
    {
      check: 'routes',
      result: 'warn',
      message: /not in a directory of its own/,
      exitCode: 0
    }
  )
  await isTold(
    t,
    { ROUTES_FILE: join(folder, 'missing.yaml') },
    {
      check: 'routes',
      result: 'fail',
      message: /missing\.yaml/,
      exitCode: 1
    }
  )
})

async function spoilt(sql: string): Promise<{ DATABASE_URL: string }> {
  const created: TestDatabase = await server.createDatabase()
  await created.sql(sql)
  return { DATABASE_URL: created.url }
}

t.test('Postgres', async t => {
  const row = (message: RegExp, exitCode = 1, result = 'fail') => ({
    check: 'postgres',
    result,
    message,
    exitCode
  })
  const secret = 'hunter2hunter2'
  const dead = good.DATABASE_URL.replace('tollgate@', `tollgate:${secret}@`).replace(
    /:\d+\//,
    ':1/'
  )
  const told = await doctor({ DATABASE_URL: dead })
  t.match(told.of('postgres'), [{ result: 'fail', message: /ECONNREFUSED/ }])
  t.equal(told.exitCode, 3)
  t.notMatch(told.io.stdout() + told.io.stderr(), secret)
  t.match(told.of('clocks'), [{ result: 'ok' }], 'Redis is compared with')

  const empty = await server.createDatabase({ isEmpty: true })
  await isTold(t, { DATABASE_URL: empty.url }, row(/run `tollgate migrate`/))
  await isTold(
    t,
    await spoilt(`INSERT INTO tg_migration (version, file, checksum) VALUES (7777, 'x', 'x')`),
    row(/newer than this program/)
  )
  await isTold(
    t,
    await spoilt(`UPDATE tg_migration SET checksum = 'x'`),
    row(/do not belong together/)
  )
  await isTold(
    t,
    await spoilt('UPDATE tg_epoch SET lease_ms = 500'),
    row(/lease_ms is 500 and wait_ms 1000.*1510 ms.*SET wait_ms = lease_ms/)
  )
  const limited = await server.createDatabase()
  await limited.sql(`CREATE ROLE poor LOGIN`)
  await limited.sql('GRANT SELECT ON ALL TABLES IN SCHEMA public TO poor')
  const poor = limited.url.replace('tollgate@', 'poor@')
  await isTold(t, { DATABASE_URL: poor }, row(/lacks .*INSERT on tg_audit.*: GRANT them/))
  await limited.sql(
    `ALTER ROLE tollgate IN DATABASE ${new URL(limited.url).pathname.slice(1)} SET synchronous_commit = off`
  )
  await isTold(t, { DATABASE_URL: limited.url }, row(/synchronous_commit is off/))
  await limited.sql(`INSERT INTO tg_replica (id, ack_key)
    SELECT gen_random_uuid(), '\\x00' FROM generate_series(1, 60)`)
  t.match((await doctor({ DATABASE_URL: limited.url })).of('postgres'), [
    { result: 'fail' },
    { result: 'warn', message: /connections are left, 120 may be needed/ }
  ])
  const link = await startFaultProxy(t, server.port)
  link.delay(15)
  const slow = good.DATABASE_URL.replace(String(server.port), String(link.port))
  await isTold(t, { DATABASE_URL: slow }, row(/a round trip takes \d+ ms/, 0, 'warn'))
  link.hold()
  const startedMs = performance.now()
  t.match(await doctor({ DATABASE_URL: slow }), { exitCode: 3 })
  t.ok(performance.now() - startedMs < 4000, 'three seconds, and not for ever')
})

t.test('Redis', async t => {
  const row = (message: RegExp, exitCode = 1, result = 'fail') => ({
    check: 'redis',
    result,
    message,
    exitCode
  })
  await isTold(t, { REDIS_URL: 'redis://127.0.0.1:1' }, row(/ECONNREFUSED/, 3))
  await isTold(t, { REDIS_URL: 'redis://:wrong@127.0.0.1:1/x' }, row(/expected redis/))
  const set = async (name: string, value: string, back: string, check: () => Promise<void>) => {
    await redis.command('CONFIG', 'SET', name, value)
    await check()
    await redis.command('CONFIG', 'SET', name, back)
  }
  await set('maxmemory-policy', 'allkeys-lru', 'noeviction', () =>
    isTold(t, {}, row(/maxmemory-policy is allkeys-lru.*set noeviction/))
  )
  await set('maxmemory', '1', '0', () => isTold(t, {}, row(/does not take a nonce: OOM/)))
  await set('save', '', '3600 1', () => isTold(t, {}, row(/nothing is persisted/, 0, 'warn')))
  await redis.command('REPLICAOF', '127.0.0.1', '1')
  await isTold(t, {}, row(/it is a slave/))
  await redis.command('REPLICAOF', 'NO', 'ONE')
  redis.pause()
  await isTold(t, {}, row(/.+/, 3))
  redis.resume()
})

t.test('user JWTs', async t => {
  const keys = await startKeyServer()
  t.teardown(() => keys.close())
  const env = { JWT_JWKS_URL: keys.url }
  const ask = async () => {
    const io = fakeIo(
      Object.fromEntries(
        Object.entries({ ...good, ...env }).filter(([name]) => name !== 'JWT_SECRET')
      )
    )
    const exitCode = await run(['doctor', '--output', 'json'], io)
    const rows: readonly Told[] = JSON.parse(io.stdout())
    return { exitCode, rows: rows.filter(({ check }) => check === 'user JWTs') }
  }
  t.match(await ask(), { exitCode: 1, rows: [{ message: /0 of 0 keys/ }] })
  keys.answer([{ kty: 'oct', k: 'AAAA' }])
  t.match(await ask(), { exitCode: 1, rows: [{ message: /0 of 1 keys .*nobody can sign in/ }] })
  const { publicKey } = await generateKeyPair('EdDSA', { extractable: true })
  keys.answer([await exportJWK(publicKey)])
  t.match(await ask(), { exitCode: 0, rows: [{ result: 'ok', message: /1 of 1 keys/ }] })
  keys.answer(response => void response.writeHead(500).end())
  t.match(await ask(), { exitCode: 3, rows: [{ message: /it answered 500/ }] })
  t.match(await doctor({ JWT_SECRET: 'short' }), { exitCode: 1 })
})

t.test(
  'upstream: out of reach, idle connections closed early, reachable past the gate',
  async t => {
    await isTold(
      t,
      { UPSTREAM_URL: 'http://127.0.0.1:1' },
      {
        check: 'upstream',
        result: 'fail',
        message: /default: connect ECONNREFUSED/,
        exitCode: 3
      }
    )
    const hasty = createTcpServer(socket => {
      socket.on('error', () => undefined)
      socket.once('data', () => {
        socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')
        setTimeout(() => socket.end(), 300)
      })
    })
    t.teardown(() => hasty.close())
    await once(hasty.listen(0, '127.0.0.1'), 'listening')
    const address = hasty.address()
    const port = typeof address === 'object' ? address?.port : 0
    await isTold(
      t,
      { UPSTREAM_URL: `http://127.0.0.1:${port}`, UPSTREAM_KEEPALIVE_MS: '3000' },
      {
        check: 'upstream idle',
        result: 'warn',
        message: /closes idle connections after \d\.\d s.*Set UPSTREAM_KEEPALIVE_MS below/,
        exitCode: 0
      }
    )
    const exposed = await doctor({ POD_IP: '127.0.0.1' })
    t.match(exposed.of('upstream'), [
      { result: 'ok' },
      { result: 'warn', message: /answers on POD_IP 127\.0\.0\.1, past the gate/ }
    ])
    const refused = await doctor({ POD_IP: '127.0.0.1', UPSTREAM_EXPOSURE: 'refuse' })
    t.equal(refused.exitCode, 1)
  }
)

t.test('--gate looks as a client does', async t => {
  const proxy = await startProxy(t, {
    routes: ROUTES,
    own: { handle: () => Promise.reject(new Error('nobody comes here')) }
  })
  const told = await doctor({}, '--gate', proxy.url)
  t.match(told.of('gate'), [{ result: 'ok', message: /401 without and with an unknown token/ }])
  t.equal(told.exitCode, 0)
  const open = await startUpstream({
    respond: ({ target }, response) =>
      void response.end(target === '/metrics' ? '# HELP tollgate_requests_total x' : '{}')
  })
  t.teardown(() => open.close())
  const none = await doctor({}, '--gate', open.url)
  t.match(none.of('gate'), [
    { result: 'fail', message: /200 without a token, and not 401/ },
    { result: 'fail', message: /200 with a well-formed unknown token/ },
    { result: 'fail', message: /\/metrics of the admin port answers here/ }
  ])
  t.equal(none.exitCode, 1)
  t.match(await doctor({}, '--gate', 'http://127.0.0.1:1'), { exitCode: 3 })
})

t.test('--closed is fine where nobody accepts, and alone needs no settings', async t => {
  const open = createTcpServer().listen(0, '127.0.0.1')
  t.teardown(() => open.close())
  await once(open, 'listening')
  const address = open.address()
  const port = typeof address === 'object' ? address?.port : 0
  const production = { NODE_ENV: 'production', ROUTES_FILE: join(folder, 'none.yaml') }
  for (const [at, exitCode, result] of [
    ['127.0.0.1:1', 0, 'ok'],
    [`127.0.0.1:${port}`, 1, 'fail']
  ] as const) {
    const io = fakeIo(production)
    t.equal(await run(['doctor', '--closed', at], io), exitCode)
    t.match(io.stdout(), new RegExp(`closed +${result} +127`))
    t.match(io.stdout(), /routes +skip/)
  }
  for (const wrong of [
    ['--closed', 'x'],
    ['--closed', 'a:99999'],
    ['--gate', 'x'],
    ['--output', 'xml']
  ]) {
    t.equal(await run(['doctor', ...wrong], fakeIo()), 2, wrong.join(' '))
  }
})
