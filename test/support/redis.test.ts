import t from 'tap'
import { startRedis, startRedisCluster, startRedisPair, startSentinel, until } from './redis.ts'

t.test('a server starts empty on a port of its own and forgets at a kill', async t => {
  const [one, two] = await Promise.all([startRedis(t), startRedis(t)])
  t.not(one.port, two.port)
  await one.command('SET', 'key', 'value')
  t.equal(await two.command('EXISTS', 'key'), 0)
  const pid = one.pid()
  await one.kill()
  t.equal(one.pid(), undefined)
  await t.rejects(one.command('PING'))
  await one.start()
  t.not(one.pid(), pid)
  t.equal(await one.command('EXISTS', 'key'), 0)
})

t.test('an append-only file and a password outlive a restart', async t => {
  const server = await startRedis(t, { appendonly: true, password: 'pass-word' })
  t.equal(server.url, `redis://:pass-word@127.0.0.1:${server.port}`)
  await server.command('SET', 'key', 'value')
  await server.stop()
  await server.start()
  t.equal(await server.command('GET', 'key'), 'value')
})

t.test('a paused server answers again when it is resumed', async t => {
  const server = await startRedis(t)
  server.pause()
  let hasAnswered = false
  const answer = server.command('PING').then(text => {
    hasAnswered = true
    return text
  })
  await new Promise(resolve => setTimeout(resolve, 50))
  t.notOk(hasAnswered)
  server.resume()
  t.equal(await answer, 'PONG')
})

t.test('a paused server ends with its test', async t => {
  let pid: number | undefined
  await t.test('which pauses it', async t => {
    const server = await startRedis(t)
    pid = server.pid()
    server.pause()
  })
  t.throws(() => process.kill(pid ?? 0, 0), { code: 'ESRCH' })
})

t.test('a replica follows, and can be promoted', async t => {
  const { primary, replica } = await startRedisPair(t)
  await primary.command('SET', 'key', 'value')
  await until(async () => (await replica.command('GET', 'key')) === 'value')
  await t.rejects(replica.command('SET', 'key', 'other'), /READONLY/)
  await replica.command('REPLICAOF', 'NO', 'ONE')
  t.equal(await replica.command('SET', 'key', 'other'), 'OK')
})

t.test('three masters share the slots', async t => {
  const masters = await startRedisCluster(t)
  const answers = await Promise.allSettled(masters.map(m => m.command('SET', 'key', 'value')))
  t.equal(answers.filter(a => a.status === 'fulfilled').length, 1)
})

t.test('a sentinel knows the primary', async t => {
  const primary = await startRedis(t)
  const sentinel = await startSentinel(t, primary)
  const address = await sentinel.command('SENTINEL', 'get-master-addr-by-name', 'mymaster')
  t.strictSame(address, ['127.0.0.1', String(primary.port)])
})
