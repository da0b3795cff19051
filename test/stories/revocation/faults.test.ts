/**
 * The promise while something is broken: a revocation is answered late, or with 503, and what is
 * asked after its answer is never accepted. No valid token gets 401.
 */
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { effort } from '../../support/effort.ts'
import { type Answer, call, createToken, eventually, type GateProcess } from '../../support/gate.ts'
import {
  isDeadEverywhere,
  LEASE_MS,
  noticedNothing,
  PATH,
  receiptOf,
  startLinkedFleet,
  startLoad,
  WAIT_MS,
  waitedForLeases,
  wasAcknowledged
} from './fleet.ts'

t.setTimeout(effort(110_000, 400_000))

const fleet = await startLinkedFleet(t)
const { gates, replicas, upstream, database, redis, postgres } = fleet
const [first, second, third] = gates
const living = await createToken(first)

/** A new token that every replica knows, as they know the living one. */
async function hotToken(): Promise<{ readonly token: string; readonly id: string }> {
  const made = await createToken(first)
  for (const gate of gates) {
    for (const token of [made.token, living.token]) {
      const { status, text } = await fleet.use(gate, token)
      if (status !== 200) throw new Error(`a good token: ${status} ${text}`)
    }
  }
  return made
}

const isDead = (t: Test, token: string, allowed?: readonly string[]) =>
  isDeadEverywhere(t, fleet, token, allowed)

/** The head of a request with this token, written into the socket now and answered some time. */
async function writeRequest(
  gate: GateProcess,
  token: string,
  target: string
): Promise<() => Promise<string>> {
  const socket = connect(gate.port, '127.0.0.1')
  let text = ''
  socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')))
  socket.on('error', () => undefined)
  await new Promise<void>(resolve => {
    const lines = [`GET ${target} HTTP/1.1`, 'Host: gate.test', `Authorization: Bearer ${token}`]
    socket.write(`${lines.join('\r\n')}\r\n\r\n`, () => resolve())
  })
  return async () => {
    await eventually('an answer', () => text.includes('\r\n\r\n'))
    socket.destroy()
    return text.slice(9, 12)
  }
}

const only = (t: Test, seen: Readonly<Record<string, number>>, ...statuses: string[]) =>
  t.same(
    Object.keys(seen).filter(status => !statuses.includes(status)),
    [],
    JSON.stringify(seen)
  )

t.test('a replica that is stopped is waited for, and refuses when it goes on', async t => {
  const { id, token } = await hotToken()
  third.signal('SIGSTOP')
  const target = `${PATH}?parked=1`
  const parked = await writeRequest(third, token, target)
  const deleted = await fleet.revoke(first, id)
  waitedForLeases(t, deleted)
  t.match(receiptOf(deleted), { acknowledged: 2 })
  third.signal('SIGCONT')
  t.match(await parked(), /401|503/)
  t.notOk(upstream.requests.some(request => request.target === target))
  await isDead(t, token, ['401', '503'])
  await fleet.healed()
})

t.test('each of many DELETEs of one token waits for itself', async t => {
  const { id, token } = await hotToken()
  third.signal('SIGSTOP')
  const asking = Array.from({ length: 20 }, (_, n) => fleet.revoke(n % 2 ? first : second, id))
  for (const answer of await Promise.all(asking)) waitedForLeases(t, answer)
  third.signal('SIGCONT')
  await isDead(t, token, ['401', '503'])
  await fleet.healed()
})

t.test('Redis away from one replica, or from all: slower, and unsigned use as ever', async t => {
  const load = startLoad(gates, living.token)
  const one = await hotToken()
  replicas[2].redis.reset()
  waitedForLeases(t, await fleet.revoke(first, one.id))
  await isDead(t, one.token)
  const all = await hotToken()
  for (const { redis: link } of replicas) link.reset()
  waitedForLeases(t, await fleet.revoke(second, all.id))
  await isDead(t, all.token)
  for (const { redis: link } of replicas) await link.pass()
  noticedNothing(t, await load.stop())
  await fleet.healed()
})

t.test('C4: where a nudge or an acknowledgement is lost, the leases are waited for', async t => {
  const load = startLoad(gates, living.token)
  // What is lost on the way to the third is the nudge; to the first, who asks, the acknowledgements.
  for (const { redis: link } of [replicas[2], replicas[0]]) {
    const { id, token } = await hotToken()
    link.oneWay()
    waitedForLeases(t, await fleet.revoke(first, id))
    await isDead(t, token)
    await link.pass()
    await fleet.healed()
  }
  noticedNothing(t, await load.stop())
})

t.test('Redis that hangs or is killed costs time and nothing else', async t => {
  const load = startLoad(gates, living.token)
  for (const [breakIt, mendIt] of [
    [
      () => process.kill(redis.pid() ?? 0, 'SIGSTOP'),
      () => process.kill(redis.pid() ?? 0, 'SIGCONT')
    ],
    [() => redis.kill(), () => redis.start()]
  ] as const) {
    const { id, token } = await hotToken()
    await breakIt()
    waitedForLeases(t, await fleet.revoke(first, id))
    await isDead(t, token)
    await mendIt()
    await fleet.healed()
  }
  noticedNothing(t, await load.stop())
})

t.test('what others write to Redis ends no wait early and refuses no living token', async t => {
  const { id, token } = await hotToken()
  third.signal('SIGSTOP')
  const members = await database.sql('SELECT id FROM tg_replica')
  const listener = new Redis(redis.url)
  const writer = new Redis(redis.url)
  t.teardown(() => {
    listener.disconnect()
    writer.disconnect()
  })
  let forged = 0
  const forge = (channel: string, message: unknown) => {
    forged += 1
    void writer.publish(channel, JSON.stringify(message))
  }
  // Who can read Redis knows everything about a nudge but the keys of the replicas.
  listener.on('message', (_channel, text) => {
    const nudge: unknown = JSON.parse(text)
    if (typeof nudge !== 'object' || nudge === null || !('replyTo' in nudge)) return
    for (const { id: replica } of members) {
      const acknowledgement = { ...nudge, replica, mac: 'ab'.repeat(32) }
      forge(`tollgate:ack:${String(nudge.replyTo)}`, acknowledgement)
    }
  })
  await listener.subscribe('tollgate:nudge')
  const deleting = fleet.revoke(first, id)
  const [{ seq, history } = {}] = await database.sql(
    'SELECT seq, tg_history() AS history FROM tg_epoch'
  )
  for (let n = 0; n < 20; n++) {
    const nudge = { history, kind: 'revoke', ids: [living.id], challenge: 'x' }
    forge('tollgate:nudge', { ...nudge, seq: Number(seq) + 100 + n, replyTo: 'nobody' })
    for (const gate of [first, second]) t.equal((await fleet.use(gate, living.token)).status, 200)
  }
  waitedForLeases(t, await deleting)
  t.ok(forged > 22, `${forged} messages were forged`)
  third.signal('SIGCONT')
  await isDead(t, token, ['401', '503'])
  await fleet.healed()
})

t.test('Postgres away from one replica: its cache to the end of the lease, then 503', async t => {
  const { id, token } = await hotToken()
  await replicas[2].postgres.refuse()
  const cutMs = performance.now()
  t.equal((await fleet.use(third, living.token)).status, 200, 'from the cache, within the lease')
  wasAcknowledged(t, await fleet.revoke(first, id))
  await isDead(t, token, ['401', '503'])
  await eventually('the lease is over', async () => {
    const { status } = await fleet.use(third, living.token)
    if (status !== 200 && status !== 503) throw new Error(`a living token: ${status}`)
    return status === 503
  })
  const left = performance.now() - cutMs
  t.comment(`503 there ${Math.round(left)} ms after the cut, with a lease of ${LEASE_MS} ms`)
  t.equal((await call(`${third.adminUrl}/readyz`)).status, 503)
  t.equal((await fleet.use(second, living.token)).status, 200)
  await replicas[2].postgres.pass()
  await fleet.healed()
  t.equal((await fleet.use(third, living.token)).status, 200)
})

t.test('replies lost one way: no use past the lease, no revocation past the wait', async t => {
  const { id, token } = await hotToken()
  replicas[2].postgres.oneWay()
  replicas[2].redis.oneWay()
  const lostMs = performance.now()
  const deleted = await fleet.revoke(first, id)
  waitedForLeases(t, deleted)
  t.comment(`DELETE ${receiptOf(deleted).waitedMs} ms, at the longest ${WAIT_MS}`)
  t.ok(performance.now() - lostMs >= LEASE_MS)
  await isDead(t, token, ['401', '503'])
  t.equal((await fleet.use(third, living.token)).status, 503)
  await replicas[2].postgres.pass()
  await replicas[2].redis.pass()
  await fleet.healed()
})

t.test('a row that was read before the revocation does not count after it', async t => {
  for (const isStopped of [false, true]) {
    const { id, token } = await createToken(first)
    replicas[2].postgres.hold()
    const asked = fleet.use(third, token)
    await sleep(50)
    if (isStopped) third.signal('SIGSTOP')
    t.equal((await fleet.revoke(first, id)).status, 200)
    const begun = upstream.begun
    replicas[2].postgres.release()
    if (isStopped) third.signal('SIGCONT')
    t.match((await asked).status.toString(), /401|503/)
    t.equal(upstream.begun, begun)
    await isDead(t, token, ['401', '503'])
    await fleet.healed()
  }
})

t.test(
  'a revoker that is killed before it answers: repeating is safe, and it is forgotten in time',
  async t => {
    const extra = await fleet.startReplica()
    const { id, token } = await hotToken()
    third.signal('SIGSTOP')
    const lost = fleet.revoke(extra.gate, id).then(
      () => 'answered',
      () => 'broken'
    )
    await eventually('it is committed', async () => {
      const [row] = await database.sql('SELECT revoked_at FROM tg_token WHERE id = $1', [id])
      return row?.['revoked_at'] !== null
    })
    const extraId = (await call(`${extra.gate.adminUrl}/replicas`)).json['id']
    await extra.gate.stop('SIGKILL')
    t.equal(await lost, 'broken')
    waitedForLeases(t, await fleet.revoke(first, id), 4)
    third.signal('SIGCONT')
    await isDead(t, token, ['401', '503'])
    // In full effort the ten leases of its silence are waited for.
    await database.sql(
      'UPDATE tg_replica SET seen_at = seen_at - make_interval(secs => $2) WHERE id = $1',
      [extraId, effort(3600, 0)]
    )
    await forgotten(t, 3)
  }
)

/** A replica that died is waited for until its row is gone; then revocations are quick again. */
async function forgotten(t: Test, members: number): Promise<void> {
  const startedMs = performance.now()
  let slow = 0
  await eventually('the dead one is not waited for any more', async () => {
    const { id } = await createToken(first)
    const deleted = await fleet.revoke(second, id)
    if (deleted.status !== 200) throw new Error(`DELETE: ${deleted.status}`)
    const receipt = receiptOf(deleted)
    if (receipt.replicas === members) return true
    slow += 1
    return false
  })
  const rows = await database.sql('SELECT FROM tg_replica')
  t.equal(rows.length, members)
  t.comment(`forgotten after ${Math.round(performance.now() - startedMs)} ms, ${slow} slow DELETEs`)
}

t.test('a living replica that was marked as leaving joins anew', async t => {
  const replicaId = async () => (await call(`${third.adminUrl}/replicas`)).json['id']
  const before = await replicaId()
  await database.sql(`UPDATE tg_replica SET state = 'leaving' WHERE id = $1`, [before])
  await eventually('it has another id', async () => (await replicaId()) !== before)
  await eventually('it answers', async () => {
    const { status } = await fleet.use(third, living.token)
    if (status !== 200 && status !== 503) throw new Error(`a living token: ${status}`)
    return status === 200
  })
  await forgotten(t, 3)
  await fleet.healed()
})

t.test('Postgres killed under load: 200 and 503 only, and back without a restart', async t => {
  const load = startLoad(gates, living.token)
  await postgres.kill()
  const downMs = effort(3000, 60_000)
  const { id } = living
  const deletedWhileDown: Answer = await fleet.revoke(first, id)
  t.equal(deletedWhileDown.status, 503)
  await sleep(downMs)
  await postgres.start()
  await fleet.healed()
  for (const gate of gates) t.equal((await fleet.use(gate, living.token)).status, 200)
  const seen = await load.stop()
  only(t, seen, '200', '503')
  t.ok((seen['503'] ?? 0) > 0 && (seen['200'] ?? 0) > 0)
  t.comment(`down for ${downMs} ms: ${JSON.stringify(seen)}`)
})
