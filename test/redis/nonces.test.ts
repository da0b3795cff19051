import t, { type Test } from 'tap'
import { COMMAND_DEADLINE_MS } from '../../src/redis/connections.ts'
import { NONCE_MARKS, nonceKey } from '../../src/core/nonce.ts'
import type { NonceStore } from '../../src/core/ports.ts'
import { type FaultProxy, startFaultProxy } from '../support/fault-proxy.ts'
import { type RedisServer, startRedis, startRedisPair, until } from '../support/redis.ts'
import {
  createHistory,
  NOW,
  openClient,
  openReplica,
  type Replica,
  replicaOf,
  restartSlowly
} from './fixtures.ts'
import { faultOf, outcome, testNonceStore, TOKEN, TTL_MS } from './nonce-claims.ts'

t.jobs = 3

testNonceStore(t, async (t, { isNew }) => {
  const server = await startRedis(t)
  const opened = await openReplica(t, server, { history: createHistory(!isNew) })
  // Only the marks are left when the nonces are over.
  const pass = () => until(async () => (await server.command('DBSIZE')) === NONCE_MARKS.length)
  return { ...opened, pass }
})

t.test('of each of 500 pairs of claims on two replicas one is new', async t => {
  const server = await startRedis(t)
  const history = createHistory(false)
  const replicas = await Promise.all([1, 2].map(() => openReplica(t, server, { history })))
  const claimBoth = (nonce: string) =>
    Promise.all(replicas.map(({ store }) => store.claim(TOKEN, nonce, NOW, TTL_MS)))
  // A hundred at once: on a busy machine a thousand could miss the deadline of a command.
  for (let batch = 0; batch < 5; batch++) {
    const pairs = Array.from({ length: 100 }, (_, i) => claimBoth(`nonce-${batch}-${i}`))
    for (const pair of await Promise.all(pairs)) t.strictSame(pair.toSorted(), ['new', 'used'])
  }
})

t.test('64 claims at once are sent in a few round trips', async t => {
  const server = await startRedis(t)
  // Counted on the wire: chunks that the proxy received from the gate, each one write of it.
  const proxy = await startFaultProxy(t, server.port)
  const { store } = await openReplica(t, proxy)
  await store.claim(TOKEN, 'first', NOW, TTL_MS)
  const before = proxy.seen.chunksUp
  const claims = Array.from({ length: 64 }, (_, i) => store.claim(TOKEN, `n${i}`, NOW, TTL_MS))
  t.ok((await Promise.all(claims)).every(each => each === 'new'))
  const trips = proxy.seen.chunksUp - before
  t.ok(trips <= 8, `${trips} round trips, a look of the client included`)
})

t.test('a nonce takes at most 150 bytes', async t => {
  const server = await startRedis(t)
  const { store } = await openReplica(t, server)
  await store.claim(TOKEN, 'first', NOW, TTL_MS)
  // What connections take is not the nonces'.
  const bytes = async () =>
    Number(await server.info('used_memory')) - Number(await server.info('mem_clients_normal'))
  const before = await bytes()
  const keysBefore = Number(await server.command('DBSIZE'))
  for (let i = 0; i < 10_000; i += 500) {
    const some = Array.from({ length: 500 }, (_, j) => i + j)
    await Promise.all(some.map(n => store.claim(TOKEN, `nonce-${n}`, NOW, TTL_MS)))
  }
  t.equal(Number(await server.command('DBSIZE')) - keysBefore, 10_000)
  const each = ((await bytes()) - before) / 10_000
  t.ok(each > 50 && each <= 150, `${each} bytes`)
})

t.test('a nonce stamped ahead is kept until its request is too old', async t => {
  const server = await startRedis(t)
  const { store } = await openReplica(t, server)
  const ahead = NOW + 299_000
  await store.claim(TOKEN, 'nonce', ahead, ahead + 360_000 - NOW)
  const { key } = nonceKey(TOKEN, 'nonce')
  const leftMs = Number(await server.command('PTTL', key))
  // Fresh until 300 s after its stamp, which is 599 s from now.
  t.ok(leftMs > 600_000 && leftMs <= 659_000, `${leftMs} ms`)
})

t.test('nothing but hashes of nonces gets into Redis', async t => {
  const server = await startRedis(t)
  const { store } = await openReplica(t, server)
  await store.claim(TOKEN, 'a-nonce-to-look-for', NOW, TTL_MS)
  const keys = await server.command('KEYS', '*')
  t.notMatch(JSON.stringify(keys), 'a-nonce-to-look-for')
  t.notMatch(JSON.stringify(keys), TOKEN)
  t.equal(Array.isArray(keys) && keys.length, 65, 'a nonce and 64 marks')
})

t.test('a script that Redis no longer has is sent again', async t => {
  const server = await startRedis(t)
  const { store } = await openReplica(t, server)
  t.equal(await store.claim(TOKEN, 'a', NOW, TTL_MS), 'new')
  await server.command('SCRIPT', 'FLUSH')
  t.equal(await store.claim(TOKEN, 'b', NOW, TTL_MS), 'new')
})

/** Claims until the store works as ever; fails if one ends in anything but `new` and faults. */
async function recovered(t: Test, { store }: Replica): Promise<void> {
  let n = 0
  await until(async () => {
    const now = await outcome(store.claim(TOKEN, `recovered-${n++}`, NOW + 10_000, TTL_MS))
    t.match(now, /^(?:new|NONCE_STORE_)/)
    return now === 'new'
  }, 'a store that works again')
}

interface Break {
  readonly name: string
  readonly reason: RegExp
  readonly options?: Parameters<typeof startRedis>[1]
  readonly hit: (server: RedisServer, proxy: FaultProxy) => Promise<unknown>
  readonly mend: (server: RedisServer, proxy: FaultProxy) => Promise<unknown>
}

const BREAKS: readonly Break[] = [
  {
    name: 'killed',
    reason: /reset|refused/,
    hit: server => server.kill(),
    mend: server => server.start()
  },
  {
    name: 'paused',
    reason: /timeout/,
    hit: async server => server.pause(),
    mend: async server => server.resume()
  },
  {
    name: 'full',
    reason: /full/,
    hit: server => server.command('CONFIG', 'SET', 'maxmemory', 1),
    mend: server => server.command('CONFIG', 'SET', 'maxmemory', 0)
  },
  {
    name: 'read-only',
    reason: /readonly/,
    hit: server => server.command('REPLICAOF', '127.0.0.1', 1),
    mend: server => server.command('REPLICAOF', 'NO', 'ONE')
  },
  {
    name: 'without its replicas',
    reason: /other/,
    hit: server => server.command('CONFIG', 'SET', 'min-replicas-to-write', 1),
    mend: server => server.command('CONFIG', 'SET', 'min-replicas-to-write', 0)
  },
  {
    name: 'slower than 250 ms',
    reason: /timeout/,
    hit: async (_, proxy) => proxy.delay(150),
    mend: (_, proxy) => proxy.pass()
  },
  {
    name: 'held in its replies',
    reason: /timeout/,
    hit: async (_, proxy) => proxy.oneWay(),
    mend: (_, proxy) => proxy.pass()
  },
  {
    name: 'out of reach',
    reason: /reset|refused/,
    hit: (_, proxy) => proxy.refuse(),
    mend: (_, proxy) => proxy.pass()
  }
]

for (const { name, reason, hit, mend, options } of BREAKS) {
  t.test(`${name}: 503 in time, never a verdict, and well again afterwards`, async t => {
    const server = await startRedis(t, options)
    const proxy = await startFaultProxy(t, server.port)
    const opened = await openReplica(t, proxy, { deadlineMs: COMMAND_DEADLINE_MS })
    const { store, observer, log } = opened
    await until(async () => /new|used/.test(await outcome(store.claim(TOKEN, 'a', NOW, TTL_MS))))
    await hit(server, proxy)
    const until2s = performance.now() + 2000
    for (let i = 0; performance.now() < until2s; i++) {
      const startedAt = performance.now()
      const fault = await faultOf(store.claim(TOKEN, `during-${i}`, NOW, TTL_MS))
      const tookMs = performance.now() - startedAt
      t.match(fault, { code: 'NONCE_STORE_UNAVAILABLE', status: 503, retryAfterSeconds: 2 })
      t.ok(tookMs < 1000, `answered after ${tookMs} ms`)
      await new Promise(resolve => setTimeout(resolve, 20))
    }
    const reasons = ['timeout', 'refused', 'reset', 'readonly', 'full', 'loading', 'other']
    const counted = reasons.filter(each => observer.total('store_errors_total', each) > 0)
    t.ok(
      counted.some(each => reason.test(each)),
      counted.join()
    )
    await mend(server, proxy)
    await recovered(t, opened)
    t.ok(log.lines.filter(line => line.startsWith('error')).length <= 2, log.lines.join())
  })
}

t.test(
  'a claim whose reply was lost is not sent again: it would look like a repetition',
  async t => {
    const server = await startRedis(t)
    const proxy = await startFaultProxy(t, server.port)
    const { store } = await openReplica(t, proxy)
    await store.claim(TOKEN, 'before', NOW, TTL_MS)
    for (let i = 0; i < 5; i++) {
      await until(
        async () => (await outcome(store.claim(TOKEN, `new-${i}`, NOW, TTL_MS))) === 'used'
      )
      proxy.oneWay()
      const claim = outcome(store.claim(TOKEN, `lost-${i}`, NOW, TTL_MS))
      const { key } = nonceKey(TOKEN, `lost-${i}`)
      await until(async () => (await server.command('EXISTS', key)) === 1)
      proxy.reset()
      await proxy.pass()
      t.equal(await claim, 'NONCE_STORE_UNAVAILABLE')
    }
  }
)

t.test('after a second of silence the next claim fails at once', async t => {
  const server = await startRedis(t)
  const { store, redis } = await openReplica(t, server)
  await store.claim(TOKEN, 'before', NOW, TTL_MS)
  server.pause()
  await until(() => !redis.servers.isUp())
  const startedAt = performance.now()
  await faultOf(store.claim(TOKEN, 'after', NOW, TTL_MS))
  t.ok(performance.now() - startedAt < 50)
})

t.test('a server that still loads its data is no verdict', async t => {
  const server = await startRedis(t, { appendonly: true })
  const opened = await openReplica(t, server)
  await opened.store.claim(TOKEN, 'before', NOW, TTL_MS)
  await restartSlowly(server)
  await until(async () => {
    t.equal(await outcome(opened.store.claim(TOKEN, 'x', NOW, TTL_MS)), 'NONCE_STORE_UNAVAILABLE')
    return opened.observer.total('store_errors_total', 'loading') > 0
  })
  await recovered(t, opened)
})

t.test('more than 2 000 claims at a time are refused, and counted', async t => {
  const server = await startRedis(t)
  const { store, observer } = await openReplica(t, server)
  await store.claim(TOKEN, 'first', NOW, TTL_MS)
  server.pause()
  const claims = Array.from({ length: 2001 }, (_, i) =>
    outcome(store.claim(TOKEN, `nonce-${i}`, NOW, TTL_MS))
  )
  t.equal(await claims.at(-1), 'OVERLOADED')
  t.equal(observer.total('shed_total', 'nonces'), 1)
  const others = new Set(await Promise.all(claims.slice(0, -1)))
  t.strictSame([...others], ['NONCE_STORE_UNAVAILABLE'])
  const fault = await faultOf(tooMany(store))
  t.match(fault.retryAfterSeconds, /^[123]$/)
  server.resume()
})

async function tooMany(store: NonceStore): Promise<'new' | 'used'> {
  const claims = Array.from({ length: 2100 }, () => store.claim(TOKEN, 'n', NOW, TTL_MS))
  const settled = await Promise.allSettled(claims)
  const last = settled.at(-1)
  if (last?.status !== 'rejected') throw new Error('not refused')
  throw last.reason
}

t.test('nobody at the address: 503 from the first claim on', async t => {
  const proxy = await startFaultProxy(t, 1)
  await proxy.refuse()
  const client = openClient(t, `redis://127.0.0.1:${proxy.port}`)
  const { store } = replicaOf(client)
  const fault = await faultOf(store.claim(TOKEN, 'nonce', NOW, TTL_MS))
  t.match(fault, { code: 'NONCE_STORE_UNAVAILABLE' })
})

t.test('a replica is never asked', async t => {
  const { primary, replica } = await startRedisPair(t)
  const { store } = await openReplica(t, primary)
  t.equal(await store.claim(TOKEN, 'nonce', NOW, TTL_MS), 'new')
  const client = openClient(t, replica.url)
  const other = replicaOf(client).store
  const fault = await faultOf(other.claim(TOKEN, 'nonce', NOW, TTL_MS))
  t.equal(fault.code, 'NONCE_STORE_UNAVAILABLE')
})
