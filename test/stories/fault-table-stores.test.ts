/**
 * The fault table, Postgres and Redis: whatever is done to them while clients of every kind are at
 * work, each is answered as the table says, a metric tells what happened, one line of the log and not
 * thousands, and the gate is well again by itself. What leases do in a fleet is in revocation/.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { Client } from 'pg'
import {
  type Clients,
  healed,
  type Kind,
  KINDS,
  onlySaw,
  startClients,
  text
} from '../support/clients.ts'
import { effort } from '../support/effort.ts'
import { startFaultProxy } from '../support/fault-proxy.ts'
import { startFleet } from '../support/fleet.ts'
import { createToken, eventually, userJwt, call } from '../support/gate.ts'
import { metricsOf } from '../support/prometheus.ts'
import { until } from '../support/redis.ts'

/** That of the tests' template: half of it is what a look-up may take, on a busy machine too. */
const LEASE_MS = 1000
const NO_STORE = '503 TOKEN_STORE_UNAVAILABLE'
const NO_NONCE = '503 NONCE_STORE_UNAVAILABLE'
const RECOVERING = '503 NONCE_STORE_RECOVERING'

const fleet = await startFleet(t, { gates: 0 })
const { postgres, redis, database } = fleet
const link = await startFaultProxy(t, postgres.port)
const url = database.url.replace(`:${postgres.port}/`, `:${link.port}/`)
const gate = await fleet.startGate({ DATABASE_URL: url })
const { token } = await createToken(gate)
const clients: Clients = await startClients(t, { gate, token, database })
await healed(clients)

interface Row {
  readonly fault: string
  readonly make: () => unknown
  readonly mend: () => unknown
  /** How long it stays broken. */
  readonly forMs?: number
  /** What each kind may be answered while it is broken; the others 200 alone. */
  readonly allowed: Partial<Record<Kind, readonly string[]>>
  /** What each of these must be answered at least once. */
  readonly seen?: Partial<Record<Kind, string>>
  /** A counter that must have risen: name and labels. */
  readonly metric: readonly [string, Readonly<Record<string, string>>?]
  /** A gauge of a store that must be 0 meanwhile. */
  readonly down?: 'postgres' | 'redis'
  /** In ms. */
  readonly longest?: Partial<Record<Kind, number>>
  /** In the full table alone: much like others. */
  readonly isLong?: true
}

const STORE_DOWN = {
  cached: ['200', NO_STORE],
  miss: ['200', NO_STORE],
  signed: ['200', NO_STORE],
  api: ['200', NO_STORE, '503 REVOCATION_UNCONFIRMED']
}
/** One that was claimed in the moment of the break may still be answered. */
const NONCES_DOWN = { signed: ['200', NO_NONCE, RECOVERING] }

/** Enough to load for two seconds, a little at a time, so that it can say that it does. */
const FILL = `for i = 1, 20000 do redis.call('SET', 'filler:' .. i, 'x') end`
const SLOWLY = ['--key-load-delay', '100', '--loading-process-events-interval-bytes', '1024']

const ROWS: readonly Row[] = [
  {
    fault: 'Postgres away for less than a lease',
    make: () => link.refuse(),
    mend: () => link.pass(),
    forMs: 200,
    isLong: true,
    allowed: { ...STORE_DOWN, cached: ['200'] },
    metric: ['store_errors_total', { store: 'postgres' }]
  },
  {
    fault: 'Postgres killed with SIGKILL for longer than a lease',
    make: () => postgres.kill(),
    mend: () => postgres.start(),
    forMs: 2000,
    allowed: STORE_DOWN,
    seen: { cached: NO_STORE, miss: NO_STORE, signed: NO_STORE, api: NO_STORE },
    metric: ['lease_lapses_total'],
    down: 'postgres'
  },
  {
    fault: 'Postgres slow, but faster than the lease',
    isLong: true,
    make: () => link.delay(30),
    mend: () => link.pass(),
    forMs: 800,
    allowed: {},
    metric: ['lease_renewals_total', { result: 'ok' }]
  },
  {
    fault: 'Postgres slower than half a lease',
    make: () => link.delay(1200),
    mend: () => link.pass(),
    forMs: 2000,
    allowed: STORE_DOWN,
    seen: { cached: NO_STORE },
    metric: ['lease_renewals_total', { result: 'timeout' }],
    down: 'postgres'
  },
  {
    fault: 'Postgres hangs',
    isLong: true,
    make: () => postgres.pause(),
    mend: () => postgres.resume(),
    forMs: 2500,
    allowed: STORE_DOWN,
    seen: { cached: NO_STORE, miss: NO_STORE },
    metric: ['store_errors_total', { store: 'postgres', reason: 'timeout' }],
    down: 'postgres',
    longest: { api: 4000, cached: 2000, jwt: 1000 }
  },
  {
    fault: 'connections to Postgres are reset, again and again',
    isLong: true,
    make: () => link.reset(),
    mend: () => link.pass(),
    forMs: 2000,
    allowed: STORE_DOWN,
    seen: { cached: NO_STORE },
    metric: ['store_errors_total', { store: 'postgres', reason: 'reset' }],
    down: 'postgres'
  },
  {
    fault: 'Redis killed with SIGKILL',
    isLong: true,
    make: () => redis.kill(),
    mend: () => redis.start(),
    forMs: 800,
    allowed: NONCES_DOWN,
    seen: { signed: NO_NONCE },
    metric: ['store_errors_total', { store: 'redis' }],
    down: 'redis',
    longest: { signed: 1500 }
  },
  {
    fault: 'Redis hangs',
    make: () => redis.pause(),
    mend: () => redis.resume(),
    forMs: 2500,
    allowed: NONCES_DOWN,
    seen: { signed: NO_NONCE },
    metric: ['store_errors_total', { store: 'redis', reason: 'timeout' }],
    down: 'redis',
    longest: { signed: 1500 }
  },
  {
    fault: 'Redis answers late (CLIENT PAUSE)',
    isLong: true,
    make: () => redis.command('CLIENT', 'PAUSE', '1200', 'ALL'),
    mend: () => undefined,
    forMs: 1000,
    allowed: NONCES_DOWN,
    seen: { signed: NO_NONCE },
    metric: ['store_errors_total', { store: 'redis', reason: 'timeout' }]
  },
  {
    fault: 'Redis full',
    make: () => redis.command('CONFIG', 'SET', 'maxmemory', '1'),
    mend: () => redis.command('CONFIG', 'SET', 'maxmemory', '0'),
    forMs: 500,
    allowed: NONCES_DOWN,
    seen: { signed: NO_NONCE },
    metric: ['store_errors_total', { store: 'redis', reason: 'full' }]
  },
  {
    fault: 'Redis read-only',
    isLong: true,
    make: () => redis.command('REPLICAOF', '127.0.0.1', '1'),
    mend: () => redis.command('REPLICAOF', 'NO', 'ONE'),
    forMs: 1500,
    allowed: NONCES_DOWN,
    seen: { signed: NO_NONCE },
    metric: ['store_errors_total', { store: 'redis', reason: 'readonly' }],
    down: 'redis'
  },
  {
    fault: 'Redis loads its data',
    isLong: true,
    make: async () => {
      await redis.command('EVAL', FILL, 0)
      await redis.command('SAVE')
      await redis.kill()
      await redis.start({ isReady: false, args: SLOWLY })
    },
    mend: () => until(async () => (await redis.info('loading')) === '0'),
    forMs: 1200,
    allowed: NONCES_DOWN,
    seen: { signed: NO_NONCE },
    metric: ['store_errors_total', { store: 'redis', reason: 'loading' }],
    down: 'redis'
  },
  {
    fault: 'Redis flushed',
    make: () => redis.command('FLUSHALL'),
    mend: () => undefined,
    forMs: 300,
    allowed: NONCES_DOWN,
    seen: { signed: RECOVERING },
    metric: ['nonce_epoch_changes_total', { cause: 'missing' }]
  }
]

function errorLines(output: string): number {
  return output.split('\n').filter(line => line.includes('"level":50')).length
}

async function play(t: Test, row: Row): Promise<void> {
  const { fault, make, mend, forMs = 0, allowed, seen: expected = {}, metric, down } = row
  const [name, labels] = metric
  const before = await metricsOf(gate)
  const printedBefore = gate.output().length
  clients.take()
  await make()
  await sleep(forMs)
  if (down) {
    await eventually(`store_up of ${down} is 0`, async () => {
      return (await metricsOf(gate)).value('store_up', { store: down }) === 0
    })
  }
  for (const [kind, limitMs] of Object.entries(row.longest ?? {})) {
    const found = KINDS.find(known => known === kind)
    if (found) t.ok(clients.longestMs(found) < limitMs, `${kind}: ${clients.longestMs(found)} ms`)
  }
  const seen = clients.take()
  await mend()
  const tookMs = await healed(clients)
  onlySaw(t, seen, allowed)
  for (const kind of KINDS) {
    const word = expected[kind]
    if (word !== undefined) t.ok((seen[kind][word] ?? 0) > 0, `${kind} saw ${word}`)
  }
  if (expected.signed !== undefined && expected.cached === undefined) {
    t.ok((seen.signed['200'] ?? 0) <= 3, `signed: ${text(seen.signed)}`)
  }
  const after = await metricsOf(gate)
  const rise = after.sum(name, labels) - before.sum(name, labels)
  t.ok(rise > 0, `${name} ${JSON.stringify(labels ?? {})} rose by ${rise}`)
  if (down) t.equal(after.value('store_up', { store: down }), 1)
  const lines = errorLines(gate.output().slice(printedBefore))
  t.ok(lines <= 6, `${lines} error lines`)
  const summary = KINDS.map(kind => `${kind}: ${text(seen[kind])}`).join('; ')
  t.comment(`${fault}: ${summary}; ${name} +${rise}; healed in ${tookMs} ms`)
}

const isFull = effort(0, 1) === 1
for (const row of ROWS) if (isFull || !row.isLong) t.test(row.fault, t => play(t, row))

t.test('Postgres takes no more connections: what is connected goes on', async t => {
  await clients.stop()
  const others: Client[] = []
  t.teardown(() => Promise.all(others.map(client => client.end().catch(() => undefined))))
  const open = async () => {
    const client = new Client({ connectionString: database.url })
    client.on('error', () => undefined)
    await client.connect()
    others.push(client)
  }
  const fill = async () => {
    for (;;) {
      try {
        await open()
      } catch {
        return
      }
    }
  }
  await fill()
  // All of the gate's connections but the one that polls.
  const [first] = others
  await first?.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE application_name = 'tollgate' AND query NOT LIKE '%tg_invalidation%'`)
  await fill()
  const before = await metricsOf(gate)
  const bearer = await userJwt()
  const path = `${gate.url}/api/scans/dashboard`
  const seen = new Set<number>()
  for (let i = 0; i < 30; i++) {
    seen.add((await call(path, { bearer: token })).status)
    await sleep(LEASE_MS / 10)
  }
  t.same(seen, new Set([200]), 'three leases long')
  const list = await call(`${gate.url}/api/auth/cli-tokens`, { bearer })
  t.match(list, { status: 503, json: { code: 'TOKEN_STORE_UNAVAILABLE' } })
  const labels = { store: 'postgres', reason: 'too_many' }
  t.ok(
    (await metricsOf(gate)).value('store_errors_total', labels) >
      before.value('store_errors_total', labels)
  )
  await Promise.all(others.splice(0).map(client => client.end()))
  const startedMs = performance.now()
  await eventually('the token API is back', async () => {
    return (await call(`${gate.url}/api/auth/cli-tokens`, { bearer })).status === 200
  })
  t.comment(`healed in ${Math.round(performance.now() - startedMs)} ms`)
})
