import { COMMAND_DEADLINE_MS } from '../../src/redis/connections.ts'
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createServer } from 'node:tls'
import t from 'tap'
import { RedisDown } from '../../src/redis/errors.ts'
import { createRedis, type RedisClient } from '../../src/redis/client.ts'
import { slotOf } from '../../src/redis/slot.ts'
import { startFaultProxy } from '../support/fault-proxy.ts'
import {
  startRedis,
  startRedisCluster,
  startRedisPair,
  startSentinel,
  until
} from '../support/redis.ts'
import {
  createLog,
  createRecorder,
  openClient,
  openReadyClient,
  restartSlowly
} from './fixtures.ts'

t.jobs = 4

const isUp = ({ servers }: RedisClient) => servers.isUp()

/** Why nobody can be asked; undefined: somebody can. */
function reason({ servers }: RedisClient): string | undefined {
  try {
    servers.primaryOf('key')
    return undefined
  } catch (cause) {
    if (cause instanceof RedisDown) return cause.reason
    throw cause
  }
}

t.test('a server is known by its ids before it is used', async t => {
  const server = await startRedis(t)
  const { redis, observer, log } = await openReadyClient(t, server.url)
  const ids = [await server.info('run_id'), await server.info('master_replid')]
  const primary = redis.servers.primaryOf('key')
  t.equal(primary.server, ids.join('-'))
  await redis.servers.identify()
  t.equal(redis.servers.primaryOf('key'), primary, 'the same as long as it is the same server')
  t.strictSame(observer.values('store_up'), [0, 1])
  t.strictSame(log.lines, ['info redis is available'])
})

t.test('a killed server is missed at once, told once, and found again', async t => {
  const server = await startRedis(t)
  const { redis, observer, log } = await openReadyClient(t, server.url)
  const before = redis.servers.primaryOf('key')
  await server.kill()
  await until(() => !isUp(redis))
  t.match(reason(redis), /reset|refused/)
  await until(() => reason(redis) === 'refused')
  await server.start()
  await until(() => isUp(redis))
  t.not(redis.servers.primaryOf('key').server, before.server)
  t.strictSame(observer.values('store_up'), [0, 1, 0, 1])
  t.equal(log.lines.filter(line => line.startsWith('error')).length, 1)
})

t.test('nobody at the address: no crash, one line', async t => {
  const proxy = await startFaultProxy(t, 1)
  await proxy.refuse()
  const { redis, log } = openClient(t, `redis://127.0.0.1:${proxy.port}`)
  await until(() => reason(redis) === 'refused')
  await redis.servers.identify()
  t.strictSame(log.lines, ['error redis is not available'])
})

t.test('a wrong password is no crash, and nothing is available', async t => {
  const server = await startRedis(t, { password: 'right' })
  const { redis } = openClient(t, server.url.replace('right', 'wrong'))
  await until(() => reason(redis) === 'other')
  t.notOk(isUp(redis))
})

t.test('password and database of the URL are used', async t => {
  const server = await startRedis(t, { password: 'p@ss' })
  const url = server.url.replace('p@ss', encodeURIComponent('p@ss'))
  const { redis } = await openReadyClient(t, `${url}/3`)
  await redis.servers.primaryOf('key').connection.set('key', 'value')
  t.match(await server.info('db3'), /^keys=1,/)
})

t.test('a paused server is noticed by its silence, and again by its voice', async t => {
  const server = await startRedis(t)
  const { redis } = await openReadyClient(t, server.url, 'single', COMMAND_DEADLINE_MS)
  server.pause()
  await until(() => !isUp(redis))
  t.equal(reason(redis), 'timeout')
  server.resume()
  await until(() => isUp(redis))
})

t.test('a link that loses replies is noticed, and mends', async t => {
  const server = await startRedis(t)
  const proxy = await startFaultProxy(t, server.port)
  const { redis } = await openReadyClient(t, `redis://127.0.0.1:${proxy.port}`)
  proxy.oneWay()
  await until(() => !isUp(redis))
  await proxy.pass()
  await until(() => isUp(redis))
})

t.test('a replica is not used, until it is promoted', async t => {
  const { replica } = await startRedisPair(t)
  const { redis } = openClient(t, replica.url)
  await until(() => reason(redis) === 'readonly')
  t.notOk(isUp(redis))
  await replica.command('REPLICAOF', 'NO', 'ONE')
  await until(() => isUp(redis))
})

t.test(
  'an address that led to a replica is tried anew: it may lead to the primary now',
  async t => {
    const { primary, replica } = await startRedisPair(t)
    const proxy = await startFaultProxy(t, replica.port)
    const { redis } = openClient(t, `redis://127.0.0.1:${proxy.port}`)
    await until(() => reason(redis) === 'readonly')
    const connections = proxy.seen.connections
    await until(() => proxy.seen.connections > connections, 'a new connection')
    proxy.target(primary.port)
    await until(() => isUp(redis))
  }
)

t.test('a demotion and a promotion are noticed on a connection that stays', async t => {
  const server = await startRedis(t)
  const { redis } = await openReadyClient(t, server.url)
  const before = redis.servers.primaryOf('key').server
  await server.command('REPLICAOF', '127.0.0.1', 1)
  await until(() => reason(redis) === 'readonly')
  await server.command('REPLICAOF', 'NO', 'ONE')
  await until(() => isUp(redis))
  t.not(redis.servers.primaryOf('key').server, before)
})

t.test('a server that still loads its data is not used', async t => {
  const server = await startRedis(t, { appendonly: true })
  const { redis } = await openReadyClient(t, server.url)
  await restartSlowly(server)
  await until(() => reason(redis) === 'loading')
  await until(() => isUp(redis))
})

t.test('a URL that cannot be meant is refused at once', async t => {
  const options = { log: createLog(), observer: createRecorder() }
  const open = () => createRedis({ url: 'http://localhost', mode: 'single', ...options })
  t.throws(open, { name: 'RedisUrlError' })
})

t.test('a certificate that nobody vouches for is refused', async t => {
  const dir = t.testdir()
  const [key, cert] = [join(dir, 'key.pem'), join(dir, 'cert.pem')]
  const made = ['-newkey', 'ed25519', '-nodes', '-subj', '/CN=localhost', '-days', '2']
  execFileSync('openssl', ['req', '-x509', ...made, '-keyout', key, '-out', cert], {
    stdio: 'ignore'
  })
  let refusals = 0
  const server = createServer({ key: readFileSync(key), cert: readFileSync(cert) })
  server.on('tlsClientError', () => (refusals += 1))
  server.on('secureConnection', socket => {
    socket.on('error', () => {})
    socket.on('data', () => t.fail('a command was sent'))
    socket.on('close', () => (refusals += 1))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const port = address !== null && typeof address === 'object' ? address.port : 0
  const { redis } = openClient(t, `rediss://:secret@localhost:${port}`)
  await until(() => refusals > 0)
  t.notOk(isUp(redis))
  redis.close()
  server.close()
})

t.test('a cluster: each key is asked for where it is, and a lost node is missed', async t => {
  const masters = await startRedisCluster(t)
  const [first, second] = masters
  const url = `redis://${first?.host}:${first?.port},${second?.host}:${second?.port}`
  const { redis } = await openReadyClient(t, url, 'cluster')
  const keys = Array.from({ length: 64 }, (_, i) => `tollgate:nonce:{${i}}:epoch`)
  const used = keys.map(async key => {
    t.equal(slotOf(key), await first?.command('CLUSTER', 'KEYSLOT', key), key)
    // On a busy machine a node may just be connecting anew.
    await until(() => isUp(redis))
    const { connection, server } = redis.servers.primaryOf(key)
    t.equal(await connection.set(key, 'value'), 'OK')
    return server
  })
  t.equal(new Set(await Promise.all(used)).size, 3)

  await masters[2]?.kill()
  await until(() => !isUp(redis))
  t.ok(
    keys.some(key => canAsk(redis, key)),
    'the other masters are still asked'
  )
  t.notOk(keys.every(key => canAsk(redis, key)))
  await masters[2]?.start()
  await until(() => isUp(redis))
})

function canAsk({ servers }: RedisClient, key: string): boolean {
  try {
    servers.primaryOf(key)
    return true
  } catch {
    return false
  }
}

t.test('a slot that moves is followed after one refusal', async t => {
  const masters = await startRedisCluster(t)
  const [from, to] = masters
  if (!from || !to) throw new Error('no cluster')
  const { redis } = await openReadyClient(t, from.url, 'cluster')
  const key = await keyOf(masters, from.port)
  const before = redis.servers.primaryOf(key)
  const target = String(await to.command('CLUSTER', 'MYID'))
  for (const master of masters) {
    await master.command('CLUSTER', 'SETSLOT', slotOf(key), 'NODE', target)
  }
  await t.rejects(before.connection.set(key, 'value'), /^MOVED/)
  redis.servers.suspect()
  await until(() => canAsk(redis, key) && redis.servers.primaryOf(key) !== before)
  t.equal(await redis.servers.primaryOf(key).connection.set(key, 'value'), 'OK')
})

/** Some key that the master on this port has. */
async function keyOf(
  masters: readonly { command(name: string, ...args: (string | number)[]): Promise<unknown> }[],
  port: number
): Promise<string> {
  const ranges = await masters[0]?.command('CLUSTER', 'SLOTS')
  const range = Array.isArray(ranges) ? ranges.find(([, , node]) => node[1] === port) : undefined
  for (let i = 0; ; i++) {
    const slot = slotOf(`key:${i}`)
    if (slot >= range[0] && slot <= range[1]) return `key:${i}`
  }
}

t.test('sentinels: the primary is found, and the new one after a failover', async t => {
  const { primary, replica } = await startRedisPair(t)
  const sentinel = await startSentinel(t, primary)
  const seesReplica = async () => {
    const replicas = await sentinel.command('SENTINEL', 'replicas', 'mymaster')
    return Array.isArray(replicas) && replicas.length === 1
  }
  await until(seesReplica, 'a sentinel that knows the replica')
  const url = `redis://127.0.0.1:${sentinel.port}/mymaster`
  const { redis } = await openReadyClient(t, url, 'sentinel')
  t.match(redis.servers.primaryOf('key').server, await primary.info('run_id'))
  await primary.kill()
  await until(() => !isUp(redis))
  await until(() => isUp(redis))
  t.match(redis.servers.primaryOf('key').server, await replica.info('run_id'))
})
