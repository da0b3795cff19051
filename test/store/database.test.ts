import { inspect } from 'node:util'
import t, { type Test } from 'tap'
import { Client } from 'pg'
import { openDatabase } from '../../src/store/database.ts'
import { createTokenStore } from '../../src/store/tokens.ts'
import { createRecorder } from '../redis/fixtures.ts'
import { startFaultProxy } from '../support/fault-proxy.ts'
import { startPostgres } from '../support/postgres.ts'
import { openNew, until } from './open.ts'
import { createOne, faultOf, made, OPERATOR } from './store-claims.ts'

// The server is broken and waited for again and again.
t.setTimeout(90_000)
const server = await startPostgres(t)

const PID = { name: 'pid', text: 'SELECT pg_backend_pid() AS pid' } as const
const SLEEP = { name: 'sleep', text: 'SELECT pg_sleep($1::float8)' } as const
const WRONG = { name: 'wrong', text: 'SELECT 1 / $1::int' } as const

/** With a recorder, and by another way than the usual one if need be. */
async function open(t: Test, { port = 0 } = {}) {
  const { url, sql } = await openNew(t, server)
  const observer = createRecorder()
  const connectionString = port === 0 ? url : url.replace(`:${server.port}/`, `:${port}/`)
  const database = openDatabase({ connection: { connectionString }, observer })
  t.teardown(() => database[Symbol.asyncDispose]())
  const pid = async (op: 'lookup' | 'api' = 'api') =>
    (await database.query(op, PID, []))[0]?.['pid']
  return { url, sql, observer, database, pid, store: createTokenStore(database) }
}

async function timed<T>(work: () => Promise<T>): Promise<{ value: T; tookMs: number }> {
  const startedAt = performance.now()
  const value = await work()
  return { value, tookMs: performance.now() - startedAt }
}

/** Holds a row of the token table until it is told to let go. */
async function lockRow(t: Test, url: string, id: string): Promise<() => Promise<void>> {
  const client = new Client({ connectionString: url })
  client.on('error', () => undefined)
  await client.connect()
  await client.query('BEGIN')
  await client.query('SELECT FROM tg_token WHERE id = $1 FOR UPDATE', [id])
  const release = () => client.end().catch(() => undefined)
  t.teardown(release)
  return release
}

const WAITING = `SELECT pid FROM pg_stat_activity
  WHERE datname = current_database() AND wait_event_type = 'Lock'`

t.test(
  'a statement slower than its deadline is a Fault, and takes its connection along',
  async t => {
    const { database, pid, observer } = await open(t)
    const before = await pid('lookup')
    t.equal(await pid('lookup'), before, 'a connection is used again')
    const { value: fault, tookMs } = await timed(() =>
      faultOf(database.query('lookup', SLEEP, [5], 200))
    )
    t.match(fault, {
      code: 'TOKEN_STORE_UNAVAILABLE',
      status: 503,
      cause: { name: 'StoreTimeout' }
    })
    t.ok(tookMs > 190 && tookMs < 1800, `${tookMs} ms`)
    t.not(await pid('lookup'), before)
    t.equal(observer.total('store_errors_total', 'timeout'), 1)
    t.same(observer.values('store_up'), [1, 1, 0, 1])
  }
)

t.test('without a deadline of its own a statement has two seconds', async t => {
  const { database } = await open(t)
  const { tookMs } = await timed(() => faultOf(database.query('api', SLEEP, [5])))
  t.ok(tookMs > 1900 && tookMs < 4800, `${tookMs} ms`)
})

t.test('a statement that the server refuses costs no connection', async t => {
  const { database, pid, observer } = await open(t)
  const before = await pid()
  const fault = await faultOf(database.query('api', WRONG, [0]))
  t.match(fault, { code: 'TOKEN_STORE_UNAVAILABLE', cause: { code: '22012' } })
  t.equal(await pid(), before)
  t.equal(observer.total('store_errors_total', 'other'), 1)
  t.notOk(observer.values('store_up').includes(0), 'it answers')
})

t.test('the deadline covers the wait for a connection', async t => {
  const { database, pid } = await open(t)
  const busy = [1, 2, 3, 4].map(() => database.query('lookup', SLEEP, [1.5]))
  const { value, tookMs } = await timed(() => faultOf(database.query('lookup', PID, [], 100)))
  t.match(value, { cause: { name: 'StoreTimeout' } })
  t.ok(tookMs < 1300, `${tookMs} ms`)
  await Promise.all(busy)
  const pids = await Promise.all([1, 2, 3, 4].map(() => pid('lookup')))
  t.equal(new Set(pids).size, 4, 'whoever waited has kept none')
})

t.test('the poll waits for nobody', async t => {
  const { database } = await open(t)
  await database.query('poll', PID, [])
  const busy = [1, 2, 3, 4, 5, 6].flatMap(() => [
    database.query('lookup', SLEEP, [1.5]),
    database.query('api', SLEEP, [1.5]),
    database.query('last_used', SLEEP, [1.5])
  ])
  const { tookMs } = await timed(() => database.query('poll', PID, [], 1300))
  t.ok(tookMs < 1300, `${tookMs} ms`)
  await Promise.allSettled(busy)
})

t.test('a session is one connection, and one that fails is closed', async t => {
  const { database, pid } = await open(t)
  const before = await pid()
  await database.session(async run => {
    await run('CREATE TEMP TABLE mine (n int); INSERT INTO mine VALUES (1), (2)')
    t.same(await run('SELECT n FROM mine WHERE n > $1', [1]), [{ n: 2 }])
    t.same(await run('SELECT 1 AS a; SELECT 2 AS b'), [{ b: 2 }], 'the last one counts')
    t.same(await run(''), [])
  })
  t.equal(await pid(), before)
  const refused = database.session(run => run('BEGIN; SELECT 1 / 0'))
  t.match(await faultOf(refused), { code: 'TOKEN_STORE_UNAVAILABLE', cause: { code: '22012' } })
  t.not(await pid(), before, 'with its open transaction')
  const left = database.session(async run => {
    await run('BEGIN')
    throw new RangeError('mine')
  })
  await t.rejects(left, RangeError)
  const slow = database.session(run => run('SELECT pg_sleep(5)', [], 100))
  t.match(await faultOf(slow), { cause: { name: 'StoreTimeout' } })
  const off = AbortSignal.abort(new Error('off'))
  t.match(await faultOf(database.session(run => run('SELECT 1'), off)), {
    cause: { message: 'off' }
  })
  const end = new AbortController()
  const ended = faultOf(database.session(run => run('SELECT pg_sleep(5)', [], 9000), end.signal))
  end.abort()
  t.match(await ended, { cause: { name: 'AbortError' } })
  await pid()
})

t.test('Postgres killed is a Fault at once, and after its start all is well again', async t => {
  const { database, pid, observer } = await open(t)
  await pid()
  const inFlight = faultOf(database.query('api', SLEEP, [5]))
  await new Promise(resolve => setTimeout(resolve, 100))
  await server.kill()
  const { tookMs } = await timed(() => inFlight)
  t.ok(tookMs < 300, `in flight: ${tookMs} ms`)
  for (const op of ['poll', 'lookup', 'api', 'last_used'] as const) {
    const failed = await timed(() => faultOf(database.query(op, PID, [])))
    t.equal(failed.value.code, 'TOKEN_STORE_UNAVAILABLE')
    t.ok(failed.tookMs < 300, `${op}: ${failed.tookMs} ms`)
  }
  t.ok(observer.total('store_errors_total', 'reset') > 0)
  t.ok(observer.total('store_errors_total', 'refused') > 0)
  await server.start()
  t.type(await pid(), 'number')
  t.equal(observer.values('store_up').at(-1), 1)
})

t.test('Postgres restarted between two statements is not even noticed', async t => {
  const { pid, database } = await open(t)
  for (const op of ['poll', 'lookup', 'api'] as const) await database.query(op, PID, [])
  await server.kill()
  await server.start()
  t.type(await pid(), 'number')
  for (const op of ['poll', 'lookup', 'api'] as const) await database.query(op, PID, [])
})

t.test('Postgres that hangs is a Fault in time, and after that all is well again', async t => {
  const { database, pid, observer } = await open(t)
  await database.query('poll', PID, [])
  server.pause()
  t.teardown(() => server.resume())
  for (const what of ['an open connection', 'a new one']) {
    const { value, tookMs } = await timed(() => faultOf(database.query('poll', PID, [], 300)))
    t.match(value, { code: 'TOKEN_STORE_UNAVAILABLE' })
    t.ok(tookMs < 600, `${what}: ${tookMs} ms`)
  }
  const { tookMs } = await timed(() => faultOf(database.query('api', PID, [])))
  t.ok(tookMs < 2500, `${tookMs} ms`)
  t.equal(observer.total('store_errors_total', 'timeout'), 3)
  server.resume()
  t.type(await pid(), 'number')
})

t.test('a wait for a lock ends after two seconds, on the server too', async t => {
  const { url, sql, store } = await open(t)
  const row = await createOne(store)
  const release = await lockRow(t, url, row.id)
  const gate = await timed(() => faultOf(store.revoke(row.id, undefined, OPERATOR)))
  t.equal(gate.value.status, 503)
  t.ok(gate.tookMs < 2900, `${gate.tookMs} ms`)
  await until(async () => (await sql(WAITING)).length === 0)
  const byHand = await timed(() =>
    sql(`SELECT * FROM tg_revoke('{operator,op,NULL,NULL}', $1, NULL)`, [row.id]).then(
      () => 'done',
      (error: unknown) => inspect(error)
    )
  )
  t.match(byHand.value, '55P03')
  t.ok(byHand.tookMs > 1900 && byHand.tookMs < 2900, `${byHand.tookMs} ms`)
  await release()
  const [kept] = await store.list({ includeInactive: true })
  t.equal(kept?.revokedAtMs, null, 'whoever was refused has changed nothing later')
  made(await store.revoke(row.id, undefined, OPERATOR))
})

t.test('a change whose connection broke is not confirmed, and repeating it is safe', async t => {
  const { url, sql, store } = await open(t)
  const row = await createOne(store)
  const changes = [
    () => store.revoke(row.id, undefined, OPERATOR),
    () => store.revokeMany({ userId: row.userId }, OPERATOR),
    () =>
      store.rotate(
        row.id,
        row.userId,
        { digest: row.digest, preview: 'p', graceSeconds: 1 },
        OPERATOR
      )
  ]
  for (const change of changes) {
    const release = await lockRow(t, url, row.id)
    const failed = faultOf(change())
    await until(async () => (await sql(WAITING)).length === 1)
    await sql(`SELECT pg_terminate_backend(pid) FROM (${WAITING}) w`)
    t.match(await failed, { code: 'REVOCATION_UNCONFIRMED', status: 503 })
    await release()
  }
  const release = await lockRow(t, url, row.id)
  const failed = faultOf(store.revoke(row.id, undefined, OPERATOR))
  await until(async () => (await sql(WAITING)).length === 1)
  await server.kill()
  t.equal((await failed).code, 'REVOCATION_UNCONFIRMED')
  await release()
  t.equal(
    (await faultOf(store.revoke(row.id, undefined, OPERATOR))).code,
    'TOKEN_STORE_UNAVAILABLE',
    'nothing was sent'
  )
  await server.start()
  const [kept] = await store.list({ includeInactive: true })
  t.equal(kept?.revokedAtMs, null)
  made(await store.revoke(row.id, undefined, OPERATOR))
})

t.test('a change whose answer is lost is not confirmed, although it was made', async t => {
  const proxy = await startFaultProxy(t, server.port)
  const { store } = await open(t, { port: proxy.port })
  const row = await createOne(store)
  await store.list({ includeInactive: false })
  proxy.oneWay()
  const { value, tookMs } = await timed(() => faultOf(store.revoke(row.id, undefined, OPERATOR)))
  t.equal(value.code, 'REVOCATION_UNCONFIRMED')
  t.ok(tookMs < 2500, `${tookMs} ms`)
  proxy.reset()
  await proxy.pass()
  const [kept] = await store.list({ includeInactive: true })
  const { revokedAtMs, change } = made(await store.revoke(row.id, undefined, OPERATOR))
  t.equal(revokedAtMs, kept?.revokedAtMs)
  t.equal(change.seq, 1)
})

t.test('a server that only reads refuses a change, and says so', async t => {
  const { url, sql, store } = await open(t)
  const row = await createOne(store)
  const name = new URL(url).pathname.slice(1)
  await sql(`ALTER DATABASE ${name} SET default_transaction_read_only = on`)
  const observer = createRecorder()
  const database = openDatabase({ connection: { connectionString: url }, observer })
  t.teardown(() => database[Symbol.asyncDispose]())
  const fault = await faultOf(createTokenStore(database).revoke(row.id, undefined, OPERATOR))
  t.equal(fault.code, 'TOKEN_STORE_UNAVAILABLE')
  t.equal(observer.total('store_errors_total', 'readonly'), 1)
})

t.test('the password is in no error', async t => {
  const { url } = await open(t)
  const secret = 'hunter2-hunter2'
  const withPassword = url.replace('tollgate@', `tollgate:${secret}@`)
  const proxy = await startFaultProxy(t, server.port)
  await proxy.refuse()
  const broken = [
    withPassword.replace(/\/[^/]*$/, '/nowhere'),
    withPassword.replace('tollgate:', 'nobody:'),
    withPassword.replace(`:${server.port}/`, `:${proxy.port}/`),
    withPassword.replace('127.0.0.1', 'nowhere.invalid'),
    `${withPassword}?sslrootcert=/nowhere`,
    withPassword.replace(`:${server.port}/`, ':99999999/')
  ]
  for (const connectionString of broken) {
    const database = openDatabase({ connection: { connectionString }, observer: createRecorder() })
    const one = await faultOf(database.query('api', PID, []))
    const several = await faultOf(database.session(run => run('SELECT 1')))
    for (const fault of [one, several]) {
      t.equal(fault.code, 'TOKEN_STORE_UNAVAILABLE')
      t.notMatch(inspect(fault, { depth: 9, showHidden: true }), secret)
    }
    await database[Symbol.asyncDispose]()
  }
})

t.test('closing leaves no connection', async t => {
  const { database, sql } = await open(t)
  for (const op of ['poll', 'lookup', 'api'] as const) await database.query(op, PID, [])
  const OURS = `SELECT pid FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'tollgate'`
  t.equal((await sql(OURS)).length, 3)
  const last = database.query('api', SLEEP, [0.3])
  await new Promise(resolve => setTimeout(resolve, 100))
  await Promise.all([database[Symbol.asyncDispose](), database[Symbol.asyncDispose]()])
  t.equal((await last).length, 1, 'what was asked before is answered')
  await until(async () => (await sql(OURS)).length === 0)
  t.equal((await faultOf(database.query('api', PID, []))).code, 'TOKEN_STORE_UNAVAILABLE')
})
