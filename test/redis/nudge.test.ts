import t, { type Test } from 'tap'
import type { NudgeMessage } from '../../src/core/ports.ts'
import { createNudge } from '../../src/redis/nudge.ts'
import { startFaultProxy } from '../support/fault-proxy.ts'
import {
  startRedis,
  startRedisCluster,
  startRedisPair,
  startSentinel,
  until
} from '../support/redis.ts'
import { openClient, openReadyClient } from './fixtures.ts'
import { ACKNOWLEDGEMENT, hear, MESSAGE, type OpenNudge, testNudge } from './nudge-claims.ts'

t.jobs = 4

async function open(t: Test, at: { readonly port: number }): Promise<OpenNudge> {
  const { redis, log } = await openReadyClient(t, `redis://127.0.0.1:${at.port}`)
  return { log, nudge: createNudge({ redis, log }) }
}

testNudge(t, async t => {
  const server = await startRedis(t)
  return Promise.all([open(t, server), open(t, server)])
})

/** Announces again and again until `listener` heard it: what is lost meanwhile is lost. */
async function untilHeard(from: OpenNudge, to: OpenNudge): Promise<void> {
  let hasHeard = false
  to.nudge.onNudge(() => (hasHeard = true))
  await until(() => {
    from.nudge.announce(MESSAGE)
    return hasHeard
  }, 'an announcement')
}

t.test('channels are as documented, and nothing is stored', async t => {
  const server = await startRedis(t)
  const { nudge } = await open(t, server)
  const heard = hear(nudge)
  nudge.onAcknowledgement('me', () => {})
  nudge.announce(MESSAGE)
  await heard
  const numbers = await server.command('PUBSUB', 'NUMSUB', 'tollgate:nudge', 'tollgate:ack:me')
  t.strictSame(numbers, ['tollgate:nudge', 1, 'tollgate:ack:me', 1])
  t.equal(await server.command('DBSIZE'), 0)
})

t.test('a stopped listener leaves its channel', async t => {
  const server = await startRedis(t)
  const { nudge } = await open(t, server)
  const stop = nudge.onAcknowledgement('me', () => {})
  await until(async () => (await server.command('PUBSUB', 'NUMPAT')) === 0)
  await until(async () => String(await server.command('PUBSUB', 'CHANNELS')) === 'tollgate:ack:me')
  stop()
  await until(async () => String(await server.command('PUBSUB', 'CHANNELS')) === '')
})

t.test('what somebody else writes to the channels is ignored unless it is a message', async t => {
  const server = await startRedis(t)
  const { nudge } = await open(t, server)
  const heard: NudgeMessage[] = []
  nudge.onNudge(message => heard.push(message))
  nudge.onAcknowledgement('me', () => t.fail('a forged acknowledgement'))
  await until(async () => {
    const answer = await server.command('PUBSUB', 'NUMSUB', 'tollgate:nudge', 'tollgate:ack:me')
    return String(answer) === 'tollgate:nudge,1,tollgate:ack:me,1'
  })
  for (const text of ['', '{}', '{"seq":1}', 'x'.repeat(70_000), JSON.stringify([MESSAGE])]) {
    await server.command('PUBLISH', 'tollgate:nudge', text)
    await server.command('PUBLISH', 'tollgate:ack:me', text)
  }
  await server.command('PUBLISH', 'tollgate:nudge', JSON.stringify(MESSAGE))
  await until(() => heard.length > 0)
  t.strictSame(heard, [MESSAGE])
})

t.test('a process that revokes before it is connected is heard all the same', async t => {
  const server = await startRedis(t)
  const listener = await open(t, server)
  const heard = hear(listener.nudge)
  const { redis, log } = openClient(t, server.url)
  const nudge = createNudge({ redis, log })
  t.notOk(redis.servers.isUp())
  nudge.announce(MESSAGE)
  t.strictSame(await heard, MESSAGE)
})

t.test('without Redis nothing throws, and little is kept', async t => {
  const proxy = await startFaultProxy(t, 1)
  await proxy.refuse()
  const { redis, log } = openClient(t, `redis://127.0.0.1:${proxy.port}`)
  const nudge = createNudge({ redis, log })
  nudge.onNudge(() => t.fail('heard'))
  const stop = nudge.onAcknowledgement('me', () => t.fail('heard'))
  for (let i = 0; i < 1000; i++) {
    nudge.announce(MESSAGE)
    nudge.acknowledge('me', ACKNOWLEDGEMENT)
  }
  stop()
  await redis.servers.identify()
  t.strictSame(
    log.lines.filter(line => !line.startsWith('error redis')),
    []
  )
})

t.test('after a lost connection both sides hear again', async t => {
  const server = await startRedis(t)
  const proxy = await startFaultProxy(t, server.port)
  const [one, two] = await Promise.all([open(t, proxy), open(t, server)])
  await untilHeard(one, two)
  proxy.reset()
  await proxy.pass()
  await untilHeard(two, one)
  await untilHeard(one, two)
})

t.test('after a restart of Redis both sides hear again', async t => {
  const server = await startRedis(t)
  const [one, two] = await Promise.all([open(t, server), open(t, server)])
  await untilHeard(one, two)
  await server.kill()
  await server.start()
  await untilHeard(two, one)
})

t.test('a connection of the listener that went silent is replaced', async t => {
  const server = await startRedis(t)
  const proxy = await startFaultProxy(t, server.port)
  const [one, two] = await Promise.all([open(t, proxy), open(t, server)])
  await untilHeard(two, one)
  const connections = proxy.seen.connections
  // Requests arrive, replies do not: only its own question shows the subscriber that.
  proxy.oneWay()
  await until(() => proxy.seen.connections >= connections + 2, 'two new connections')
  await proxy.pass()
  await untilHeard(two, one)
})

t.test('in a cluster everybody hears, also when a node is lost', async t => {
  const masters = await startRedisCluster(t)
  const url = `redis://${masters.map(({ host, port }) => `${host}:${port}`).join(',')}`
  const opened = [1, 2].map(async () => {
    const { redis, log } = await openReadyClient(t, url, 'cluster')
    return { log, nudge: createNudge({ redis, log }) }
  })
  const [one, two] = await Promise.all(opened)
  if (!one || !two) throw new Error('not opened')
  await untilHeard(one, two)
  await untilHeard(two, one)
  await masters[0]?.kill()
  await untilHeard(one, two)
  await untilHeard(two, one)
})

t.test('behind sentinels everybody hears, also after a failover', async t => {
  const { primary } = await startRedisPair(t)
  const sentinel = await startSentinel(t, primary)
  await until(async () => {
    const replicas = await sentinel.command('SENTINEL', 'replicas', 'mymaster')
    return Array.isArray(replicas) && replicas.length === 1
  })
  const url = `redis://127.0.0.1:${sentinel.port}/mymaster`
  const { redis, log } = await openReadyClient(t, url, 'sentinel')
  const one = { log, nudge: createNudge({ redis, log }) }
  await untilHeard(one, one)
  await primary.kill()
  await until(() => !redis.servers.isUp())
  await untilHeard(one, one)
})
