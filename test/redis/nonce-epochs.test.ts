/** A nonce store that forgets: an old request must not pass again, a new one soon must. */
import t, { type Test } from 'tap'
import { COMMAND_DEADLINE_MS } from '../../src/redis/connections.ts'
import { Fault } from '../../src/core/decision.ts'
import { NONCE_MARKS, nonceKey } from '../../src/core/nonce.ts'
import type { NonceHistory } from '../../src/core/ports.ts'
import { type FaultProxy, startFaultProxy } from '../support/fault-proxy.ts'
import {
  type RedisServer,
  startRedis,
  startRedisCluster,
  startRedisPair,
  startSentinel,
  until
} from '../support/redis.ts'
import { createClock, createHistory, NOW, openReplica, type Replica } from './fixtures.ts'
import { outcome, RECOVERY_MS, TOKEN, TTL_MS } from './nonce-claims.ts'

t.jobs = 3

const RECOVERING = 'NONCE_STORE_RECOVERING'
const UNAVAILABLE = 'NONCE_STORE_UNAVAILABLE'

const claim = ({ store }: Replica, nonce: string, atMs = NOW) =>
  outcome(store.claim(TOKEN, nonce, atMs, TTL_MS))

/** The outcomes of 200 nonces, which meet nearly all buckets. */
async function claimMany(replica: Replica, name: string, atMs: number): Promise<readonly string[]> {
  const outcomes = Array.from({ length: 200 }, (_, i) => claim(replica, `${name}-${i}`, atMs))
  return [...new Set(await Promise.all(outcomes))]
}

/** Until it is neither down nor recovering: fresh requests pass again, in every bucket. */
async function isWell(t: Test, replica: Replica): Promise<void> {
  let n = 0
  await until(async () => {
    replica.clock.advance(100)
    return (await claim(replica, `well-${n++}`, replica.clock.nowMs())) === 'new'
  }, 'a request that passes')
  replica.clock.advance(RECOVERY_MS)
  t.strictSame(await claimMany(replica, `fresh-${n}`, replica.clock.nowMs()), ['new'])
}

t.test('first start: three replicas at once on empty stores let everybody through', async t => {
  const server = await startRedis(t)
  const history = createHistory(false)
  const replicas = await Promise.all([1, 2, 3].map(() => openReplica(t, server, { history })))
  const claims = replicas.map((replica, i) => claimMany(replica, `of-${i}`, NOW - 299_000))
  for (const outcomes of await Promise.all(claims)) t.strictSame(outcomes, ['new'])
  const [one] = replicas
  t.equal(one?.observer.total('nonce_epoch_changes_total'), 0)
})

t.test('a gate that meets no signed request writes nothing', async t => {
  const server = await startRedis(t)
  const { redis } = await openReplica(t, server)
  await new Promise<void>(resolve => redis.servers.onLook(resolve))
  t.equal(await server.command('DBSIZE'), 0)
})

t.test(
  'flushed: old requests do not pass again, new ones do after 2 s in every bucket',
  async t => {
    const server = await startRedis(t)
    const replica = await openReplica(t, server)
    t.strictSame(await claimMany(replica, 'old', NOW), ['new'])
    await server.command('FLUSHALL')
    t.strictSame(await claimMany(replica, 'old', NOW), [RECOVERING])
    replica.clock.advance(RECOVERY_MS)
    t.strictSame(await claimMany(replica, 'new', NOW + RECOVERY_MS), ['new'])
    t.strictSame(await claimMany(replica, 'old', NOW), ['used'])
    t.equal(replica.observer.total('nonce_epoch_changes_total', 'missing'), 1)
    t.ok(replica.log.lines.includes('warn the nonce store may have forgotten'))
  }
)

t.test('flushed: noticed within a second, before the next client', async t => {
  const server = await startRedis(t)
  const replica = await openReplica(t, server)
  await claim(replica, 'old')
  await server.command('FLUSHALL')
  await until(() => replica.observer.total('nonce_epoch_changes_total', 'missing') === 1)
  replica.clock.advance(RECOVERY_MS)
  t.equal(await claim(replica, 'new', NOW + RECOVERY_MS), 'new')
})

t.test('flushed: who notices second does not begin the wait again', async t => {
  const server = await startRedis(t)
  const [one, two] = await Promise.all([openReplica(t, server), openReplica(t, server)])
  await Promise.all([claim(one, 'a'), claim(two, 'b')])
  await server.command('FLUSHALL')
  t.equal(await claim(one, 'a'), RECOVERING)
  two.clock.advance(RECOVERY_MS)
  t.strictSame(await claimMany(two, 'new', NOW + RECOVERY_MS), ['new'])
  t.equal(two.observer.total('nonce_epoch_changes_total'), 0)
})

t.test('one mark lost: its bucket alone is not believed', async t => {
  const server = await startRedis(t)
  const replica = await openReplica(t, server)
  await claim(replica, 'old')
  const { key, mark } = nonceKey(TOKEN, 'old')
  await server.command('DEL', key, mark)
  t.equal(await claim(replica, 'old'), RECOVERING)
  const other = ['x', 'y', 'z'].find(nonce => nonceKey(TOKEN, nonce).mark !== mark) ?? ''
  t.equal(await claim(replica, other), 'new')
})

t.test('killed and started without its data', async t => {
  const server = await startRedis(t)
  const replica = await openReplica(t, server)
  await claimMany(replica, 'old', NOW)
  await server.kill()
  await until(async () => (await claim(replica, 'old-0')) === UNAVAILABLE)
  await server.start()
  await until(() => replica.redis.servers.isUp())
  t.strictSame(await claimMany(replica, 'old', NOW), [RECOVERING])
  await isWell(t, replica)
})

t.test('started again with its data: it may lack the last, so it is not believed', async t => {
  const server = await startRedis(t, { appendonly: true })
  const replica = await openReplica(t, server)
  await claim(replica, 'old')
  await server.stop()
  await server.start()
  await until(() => !replica.redis.servers.isUp())
  await until(() => replica.redis.servers.isUp())
  t.equal(await claim(replica, 'old'), 'used')
  t.equal(await claim(replica, 'lost, perhaps'), RECOVERING)
  t.equal(replica.observer.total('nonce_epoch_changes_total', 'server'), 1)
  await isWell(t, replica)
})

interface Pair {
  readonly primary: RedisServer
  readonly heir: RedisServer
  /** Between the two. */
  readonly link: FaultProxy
}

async function startPair(t: Test): Promise<Pair> {
  const primary = await startRedis(t)
  const link = await startFaultProxy(t, primary.port)
  const heir = await startRedis(t, { replicaof: link.port })
  await until(async () => (await heir.info('master_link_status')) === 'up')
  return { primary, heir, link }
}

/** The heir gets all but the nonce `old`, and is promoted. */
async function loseTheLastWrite(replica: Replica, { primary, heir, link }: Pair): Promise<void> {
  const offset = Number(await primary.info('master_repl_offset'))
  await until(async () => Number(await heir.info('slave_repl_offset')) >= offset)
  link.oneWay()
  if ((await claim(replica, 'old')) !== 'new') throw new Error('not claimed')
  await primary.kill()
  await heir.command('REPLICAOF', 'NO', 'ONE')
}

t.test('failed over to a replica that missed the last writes', async t => {
  const pair = await startPair(t)
  const proxy = await startFaultProxy(t, pair.primary.port)
  const replica = await openReplica(t, proxy)
  await claim(replica, 'before')
  await loseTheLastWrite(replica, pair)
  t.equal(await pair.heir.command('EXISTS', nonceKey(TOKEN, 'old').key), 0)
  proxy.target(pair.heir.port)
  let last = UNAVAILABLE
  await until(async () => {
    last = await claim(replica, 'old')
    return last !== UNAVAILABLE
  })
  t.equal(last, RECOVERING)
  t.equal(replica.observer.total('nonce_epoch_changes_total', 'server'), 1)
  await isWell(t, replica)
})

t.test(
  'two replicas meet a failover, one a second later: marks settle, nothing passes',
  async t => {
    const pair = await startPair(t)
    const clock = createClock()
    const history = createHistory(false)
    const proxies = await Promise.all([1, 2].map(() => startFaultProxy(t, pair.primary.port)))
    const opened = proxies.map(proxy => openReplica(t, proxy, { clock, history }))
    const replicas = await Promise.all(opened)
    const [one, two] = replicas
    const [oneLink, twoLink] = proxies
    if (!one || !two || !oneLink || !twoLink) throw new Error('not opened')
    await Promise.all(replicas.map((replica, i) => claim(replica, `before-${i}`)))
    await loseTheLastWrite(one, pair)
    // The second one's link still leads to the dead server, and is slow when it is mended.
    const seen = new Set<string>()
    const repeat = async (): Promise<void> => {
      for (const replica of replicas) seen.add(await claim(replica, 'old'))
    }
    oneLink.target(pair.heir.port)
    const switchAt = performance.now() + 1000
    await until(async () => {
      await repeat()
      return performance.now() > switchAt
    })
    twoLink.delay(100)
    twoLink.target(pair.heir.port)
    await until(async () => {
      await repeat()
      return two.redis.servers.isUp()
    })
    await twoLink.pass()
    for (let i = 0; i < 20; i++) await repeat()
    t.ok(seen.has(RECOVERING))
    t.notOk(seen.has('new'), [...seen].join())
    clock.advance(RECOVERY_MS)
    await isWell(t, one)
    t.equal(await claim(one, 'after', clock.nowMs()), 'new')
    t.equal(await claim(two, 'after', clock.nowMs()), 'used')
  }
)

t.test('back on a server that was left: what was claimed elsewhere does not pass', async t => {
  const [left, other] = await Promise.all([startRedis(t), startRedis(t)])
  const proxy = await startFaultProxy(t, left.port)
  const replica = await openReplica(t, proxy)
  await claim(replica, 'first')
  for (const server of [other, left]) {
    proxy.target(server.port)
    replica.clock.advance(10_000)
    await until(async () => (await claim(replica, 'x')) !== UNAVAILABLE)
    replica.clock.advance(RECOVERY_MS)
    const nowMs = replica.clock.nowMs()
    if (server === other) t.equal(await claim(replica, 'elsewhere', nowMs), 'new')
  }
  const thenMs = NOW + 10_000 + RECOVERY_MS
  t.equal(await claim(replica, 'elsewhere', thenMs), RECOVERING)
  t.equal(await claim(replica, 'fresh', replica.clock.nowMs()), 'new')
})

t.test('a mark from a clock that was fast does not shut everybody out', async t => {
  const server = await startRedis(t)
  const fast = createClock()
  fast.advance(3_600_000)
  const history = createHistory(true)
  t.equal(await claim(await openReplica(t, server, { clock: fast, history }), 'a'), RECOVERING)
  const replica = await openReplica(t, server, { history })
  t.equal(await claim(replica, 'b', NOW), RECOVERING)
  replica.clock.advance(RECOVERY_MS)
  t.equal(await claim(replica, 'c', NOW + RECOVERY_MS), 'new')
})

t.test('a mark that says nothing is replaced', async t => {
  const server = await startRedis(t)
  const replica = await openReplica(t, server)
  await claim(replica, 'old')
  const [mark = ''] = NONCE_MARKS
  const nonces = Array.from({ length: 2000 }, (_, i) => `nonce-${i}`)
  const ofBucket = nonces.filter(nonce => nonceKey(TOKEN, nonce).mark === mark)
  const ids = [await server.info('run_id'), await server.info('master_replid')].join('-')
  for (const text of ['', 'nonsense', `/${ids}`, `x/${ids}`, '1/elsewhere', `-1e99/${ids}`]) {
    await server.command('SET', mark, text)
    t.equal(await claim(replica, ofBucket.pop() ?? ''), RECOVERING, text)
    t.equal(await server.command('GET', mark), `${NOW}/${ids}`)
  }
})

t.test('NONCE_RECOVERY_MS of five minutes covers every request that is still fresh', async t => {
  const server = await startRedis(t)
  const options = { history: createHistory(true), recoveryMs: 300_000 }
  const replica = await openReplica(t, server, options)
  t.equal(await claim(replica, 'a', NOW + 299_999), RECOVERING)
  t.equal(await claim(replica, 'b', NOW + 300_000), 'new')
})

t.test('nothing is claimed before the database remembers that nonces are kept', async t => {
  const server = await startRedis(t)
  let isReachable = false
  const remembered: string[] = []
  const history: NonceHistory = {
    wasEverUsed: async () => {
      if (!isReachable) throw new Fault('TOKEN_STORE_UNAVAILABLE')
      return false
    },
    noteUse: async () => {
      t.equal(await server.command('DBSIZE'), NONCE_MARKS.length, 'marks, but no nonce yet')
      remembered.push('used')
    }
  }
  const replica = await openReplica(t, server, { history })
  t.equal(await claim(replica, 'a'), UNAVAILABLE)
  t.equal(await server.command('DBSIZE'), 0)
  isReachable = true
  t.equal(await claim(replica, 'b'), 'new')
  t.equal(await claim(replica, 'c'), 'new')
  t.strictSame(remembered, ['used'])
})

t.test('a database that is slow to say so costs 503, not a wait', async t => {
  const server = await startRedis(t)
  const answer = Promise.withResolvers<boolean>()
  const history = { wasEverUsed: () => answer.promise, noteUse: async () => {} }
  const replica = await openReplica(t, server, { history, deadlineMs: COMMAND_DEADLINE_MS })
  const startedAt = performance.now()
  t.equal(await claim(replica, 'a'), UNAVAILABLE)
  t.ok(performance.now() - startedAt < 1000)
  answer.resolve(false)
  await until(async () => (await claim(replica, 'b')) !== UNAVAILABLE)
})

t.test('cluster: every bucket works, and a lost node takes only its own with it', async t => {
  const masters = await startRedisCluster(t)
  const url = `redis://${masters.map(({ host, port }) => `${host}:${port}`).join(',')}`
  const replica = await openReplica(t, url, { mode: 'cluster' })
  t.strictSame(await claimMany(replica, 'old', NOW), ['new'])
  t.strictSame(await claimMany(replica, 'old', NOW), ['used'])
  const [lost] = masters
  await lost?.kill()
  await until(() => !replica.redis.servers.isUp())
  t.strictSame((await claimMany(replica, 'old', NOW)).toSorted(), [UNAVAILABLE, 'used'].toSorted())
  await lost?.start()
  // A node that comes back lets nobody write for its first two seconds.
  let outcomes: readonly string[] = [UNAVAILABLE]
  await until(async () => {
    outcomes = await claimMany(replica, 'old', NOW)
    t.notOk(outcomes.includes('new'), outcomes.join())
    return !outcomes.includes(UNAVAILABLE)
  })
  t.ok(outcomes.includes(RECOVERING), outcomes.join())
  await isWell(t, replica)
})

t.test('sentinels: a failover is a loss like any other', async t => {
  const { primary, replica: heir } = await startRedisPair(t)
  const sentinel = await startSentinel(t, primary)
  await until(async () => {
    const replicas = await sentinel.command('SENTINEL', 'replicas', 'mymaster')
    return Array.isArray(replicas) && replicas.length === 1
  }, 'a sentinel that knows the replica')
  const url = `redis://127.0.0.1:${sentinel.port}/mymaster`
  const replica = await openReplica(t, url, { mode: 'sentinel' })
  t.strictSame(await claimMany(replica, 'old', NOW), ['new'])
  await primary.kill()
  await until(() => !replica.redis.servers.isUp())
  await until(() => replica.redis.servers.isUp())
  t.equal(await heir.info('role'), 'master')
  const outcomes = await claimMany(replica, 'old', NOW)
  t.notOk(outcomes.includes('new'), outcomes.join())
  await isWell(t, replica)
})
