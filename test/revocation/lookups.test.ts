import t from 'tap'
import { Fault } from '../../src/core/decision.ts'
import { digestToken } from '../../src/core/token.ts'
import { outcomeOf, rowOf, startReplica } from './support/replica.ts'
import { settled } from './support/virtual-time.ts'

type Started = Awaited<ReturnType<typeof startReplica>>

/** Rows that the database has and the cache has not. */
function addRows({ database }: Started, count: number, prefix = 'row') {
  const rows = Array.from({ length: count }, (_, i) => rowOf(`${prefix}-${i}`))
  for (const row of rows) database.state.rows.set(row.digest, row)
  return rows
}

const batches = ({ database }: Started) =>
  database.calls
    .filter(call => call.statement === 'lookUp')
    .map(call => (Array.isArray(call.args[1]) ? call.args[1].length : 0))

t.test('misses of one turn become one query', async t => {
  const replica = await startReplica()
  const rows = addRows(replica, 30)
  const found = await Promise.all(rows.map(row => replica.tokens.find(row.digest)))
  t.same(
    found.map(entry => (entry === 'unknown' ? entry : entry.row.id)),
    rows.map(row => row.id)
  )
  t.same(batches(replica), [1, 30])
  t.match(replica.database.last('lookUp')?.[2], 1000, 'half a lease to answer')
})

t.test('a digest is looked up once, however many ask', async t => {
  const replica = await startReplica()
  const [row] = addRows(replica, 1)
  const digest = row?.digest ?? digestToken('')
  const held = replica.database.hold('lookUp')
  const first = replica.tokens.find(digest)
  await held
  const second = replica.tokens.find(digest)
  await (await held).release()
  t.equal(await first, await second)
  t.same(batches(replica), [1, 1])
})

t.test('what was found is in the cache', async t => {
  const { tokens, row, entry, recorder, time } = await startReplica()
  t.equal(tokens.peek(row.digest), entry)
  t.equal(tokens.lapse(row.digest, entry), undefined)
  await time.advance(100)
  t.equal(recorder.total('cache_lookups_total', 'hit'), 1)
})

t.test('an unknown token is unknown, for a second without another query', async t => {
  const replica = await startReplica()
  const { tokens, time, database, recorder } = replica
  const digest = digestToken('nobody')
  t.equal(tokens.peek(digest), undefined)
  t.equal(await tokens.find(digest), 'unknown')
  t.equal(tokens.peek(digest), 'unknown')
  t.equal(await tokens.find(digest), 'unknown')
  t.equal(database.count('lookUp'), 2)
  await time.advance(999)
  t.equal(tokens.peek(digest), 'unknown')
  database.state.rows.set(digest, rowOf('nobody'))
  await time.advance(1)
  t.equal(tokens.peek(digest), undefined)
  t.match(await tokens.find(digest), { row: { name: 'nobody' } }, 'created meanwhile')
  await time.advance(100)
  t.equal(recorder.total('cache_lookups_total', 'negative'), 2)
  t.equal(recorder.total('cache_lookups_total', 'miss'), 2)
})

t.test('a query takes 256 digests, and four are under way at most', async t => {
  const replica = await startReplica()
  const rows = addRows(replica, 2000)
  const held = replica.database.hold('lookUp')
  const first = replica.tokens.find(rows[0]?.digest ?? digestToken(''))
  await held
  const all = rows.map(row => replica.tokens.find(row.digest))
  await settled()
  t.same(batches(replica), [1, 1, 256, 256, 256, 256, 256, 256, 256, 207])
  await (await held).release()
  await Promise.all([first, ...all])
})

t.test('while four queries are under way the others wait', async t => {
  const replica = await startReplica()
  const rows = addRows(replica, 6 * 64)
  const held = []
  for (let i = 0; i < 4; i++) {
    const hold = replica.database.hold('lookUp')
    for (const row of rows.slice(64 * i, 64 * (i + 1))) void replica.tokens.find(row.digest)
    held.push(await hold)
  }
  const rest = rows.slice(256).map(row => replica.tokens.find(row.digest))
  await replica.time.advance(20)
  t.same(batches(replica), [1, 64, 64, 64, 64])
  await held[0]?.release()
  await Promise.all(rest)
  t.same(batches(replica), [1, 64, 64, 64, 64, 128], 'and then leave together')
})

t.test('a lone caller never waits for company', async t => {
  const replica = await startReplica()
  for (const row of addRows(replica, 5)) t.match(await replica.tokens.find(row.digest), { row })
  t.same(batches(replica), [1, 1, 1, 1, 1, 1])
})

t.test('with company, the next query starts 5 ms after the last one', async t => {
  const replica = await startReplica()
  const rows = addRows(replica, 20)
  const find = (from: number, to: number) =>
    rows.slice(from, to).map(row => replica.tokens.find(row.digest))
  await Promise.all(find(0, 3))
  const late = find(3, 6)
  await replica.time.advance(4)
  const later = find(6, 9)
  t.same(batches(replica), [1, 3])
  await replica.time.advance(1)
  t.same(batches(replica), [1, 3, 6])
  await Promise.all([...late, ...later])
})

t.test('10 000 tokens seen for the first time cost an eighth as many round trips', async t => {
  const replica = await startReplica({ cacheMaxTokens: 20_000 })
  const rows = addRows(replica, 10_000)
  const { time, tokens } = replica
  // Half a millisecond to the database and back, 3 to 20 for the rest of a request.
  replica.database.state.delay = () => new Promise(resolve => void time.schedule(resolve, 0.5))
  let next = 0
  let slowestMs = 0
  const client = async (serviceMs: number) => {
    for (let row = rows[next++]; row; row = rows[next++]) {
      const askedMs = time.clocks.monoMs()
      await tokens.find(row.digest)
      slowestMs = Math.max(slowestMs, time.clocks.monoMs() - askedMs)
      await new Promise<void>(resolve => void time.schedule(resolve, serviceMs))
    }
  }
  const clients = Array.from({ length: 64 }, (_, i) => client(3 + (17 * i) / 63))
  await time.advance(5000)
  await Promise.all(clients)
  const trips = batches(replica).length - 1
  t.ok(trips <= 1250, `${trips} round trips`)
  t.ok(slowestMs <= 15, `${slowestMs} ms`)
  t.equal(replica.state().cachedTokens, 10_001)
})

t.test('10 000 look-ups may wait; the next one is shed', async t => {
  const replica = await startReplica()
  const rows = addRows(replica, 10_000)
  const waiting = rows.map(row => replica.tokens.find(row.digest))
  const shed = await replica.tokens.find(digestToken('one more')).catch((thrown: unknown) => thrown)
  t.ok(shed instanceof Fault)
  t.match(shed, { code: 'OVERLOADED', retryAfterSeconds: 2 })
  t.equal(replica.recorder.total('shed_total', 'lookups'), 1)
  await replica.time.advance(5)
  await Promise.all(waiting)
})

t.test('a look-up that waits for a second is shed', async t => {
  const replica = await startReplica()
  const { time, tokens, database } = replica
  const rows = addRows(replica, 6 * 64)
  const held = []
  for (let i = 0; i < 4; i++) {
    const hold = database.hold('lookUp')
    for (const row of rows.slice(64 * i, 64 * (i + 1))) void tokens.find(row.digest)
    held.push(await hold)
  }
  const find = (i: number) => outcomeOf(tokens.find(rows[i]?.digest ?? digestToken('')))
  const early = find(300)
  await time.advance(400)
  const late = find(301)
  await time.advance(600)
  t.equal(await early, 'OVERLOADED')
  await held[0]?.release()
  t.match(await late, { row: rows[301] })
  await time.advance(1000)
})

t.test('a failed query fails its callers, and is no verdict', async t => {
  const { tokens, database, row, time } = await startReplica()
  await time.advance(1)
  database.state.down.add('lookUp')
  t.equal(await outcomeOf(tokens.find(digestToken('other'))), 'TOKEN_STORE_UNAVAILABLE')
  t.equal(tokens.peek(digestToken('other')), undefined)
  t.ok(tokens.peek(row.digest), 'cached rows go on')
})

t.test('after three failures in a row the next look-ups fail at once, until a poll', async t => {
  const replica = await startReplica()
  const { tokens, database, time } = replica
  const [good] = addRows(replica, 1)
  const find = () => outcomeOf(tokens.find(good?.digest ?? digestToken('')))
  database.state.down.add('lookUp')
  for (let i = 0; i < 5; i++) t.equal(await find(), 'TOKEN_STORE_UNAVAILABLE')
  t.equal(database.count('lookUp'), 4)
  database.state.down.clear()
  t.equal(await find(), 'TOKEN_STORE_UNAVAILABLE')
  await time.advance(500)
  t.match(await find(), { row: good })
})

t.test('a success between failures starts the count anew', async t => {
  const replica = await startReplica()
  const { tokens, database } = replica
  const rows = addRows(replica, 9)
  for (const [i, row] of rows.entries()) {
    if (i % 3 === 2) database.state.down.clear()
    else database.state.down.add('lookUp')
    t.equal(typeof (await outcomeOf(tokens.find(row.digest))) === 'string', i % 3 !== 2)
  }
  t.equal(database.count('lookUp'), 10)
})

/** What a reply may be like so that nobody uses it. */
const SPOILT = {
  standby: ({ database }: Started) => {
    database.state.isStandby = true
  },
  history: ({ database }: Started) => {
    database.state.history = 'server 2/1'
  },
  not_member: ({ database, state }: Started) => void database.state.members.delete(state().id)
}

for (const [cause, spoil] of Object.entries(SPOILT)) {
  t.test(`a reply is not used: ${cause}; a poll is asked what is going on`, async t => {
    const replica = await startReplica()
    const [row] = addRows(replica, 1)
    const { tokens, database, time, recorder } = replica
    spoil(replica)
    const polls = database.count('poll')
    const answer = outcomeOf(tokens.find(row?.digest ?? digestToken('')))
    await time.advance(100)
    t.ok(recorder.total('reads_discarded_total', cause) >= 1)
    t.ok(database.count('poll') > polls)
    if (cause === 'standby') database.state.isStandby = false
    await time.advance(1000)
    t.match(await answer, { row })
  })
}

t.test('a reply of a standby is never used, and not a "not found" either', async t => {
  const { tokens, database, time, recorder } = await startReplica()
  database.state.isStandby = true
  const answer = outcomeOf(tokens.find(digestToken('nobody')))
  await time.advance(1000)
  t.equal(await answer, 'TOKEN_STORE_UNAVAILABLE')
  t.equal(recorder.total('reads_discarded_total', 'standby'), 3)
  t.equal(tokens.peek(digestToken('nobody')), undefined)
})

t.test('a reply that comes after a revocation was applied is not used', async t => {
  const replica = await startReplica()
  const [row = rowOf('')] = addRows(replica, 1)
  const { tokens, database, barrier, recorder } = replica
  const held = database.hold('lookUp')
  const answer = tokens.find(row.digest)
  await held
  t.match(await barrier.wait(database.revoke(row)), { replicas: 1, acknowledged: 1 })
  await (await held).release()
  t.match(await answer, { row: { revokedAtMs: 1_800_000_000_000 } }, 'it was read again')
  t.equal(recorder.total('reads_discarded_total', 'invalidated'), 1)
  t.equal(recorder.total('revocations_reapplied_total'), 0)
})

t.test('a reply that is overtaken three times is a fault', async t => {
  const replica = await startReplica()
  const [row = rowOf('')] = addRows(replica, 1)
  const { tokens, database, barrier, time } = replica
  let held = database.hold('lookUp')
  const answer = outcomeOf(tokens.find(row.digest))
  for (let i = 0; i < 3; i++) {
    const reply = await held
    await barrier.wait(database.announce('change', row))
    held = database.hold('lookUp')
    await reply.release()
  }
  t.equal(await answer, 'TOKEN_STORE_UNAVAILABLE')
  await time.advance(10)
})

t.test('the others of the same query are served', async t => {
  const replica = await startReplica()
  const [row = rowOf(''), other = rowOf('')] = addRows(replica, 2)
  const { tokens, database, barrier } = replica
  const held = database.hold('lookUp')
  const answers = [tokens.find(row.digest), tokens.find(other.digest)]
  await held
  await barrier.wait(database.revoke(row))
  await (await held).release()
  t.match(await answers[1], { row: other })
  t.same(batches(replica), [1, 2], 'the first one is read again after it')
})

t.test('a reply that took as long as a lease is not used', async t => {
  const replica = await startReplica()
  const [row = rowOf('')] = addRows(replica, 1)
  const { tokens, database, time, recorder } = replica
  const held = database.hold('lookUp')
  const answer = tokens.find(row.digest)
  const reply = await held
  time.stop(2000)
  await reply.release()
  await time.advance(10)
  t.match(await answer, { row })
  t.equal(recorder.total('reads_discarded_total', 'stale'), 1)
  t.same(batches(replica), [1, 1, 1])
})

t.test('sleep during a look-up makes its reply stale', async t => {
  const replica = await startReplica()
  const [row = rowOf('')] = addRows(replica, 1)
  const { tokens, database, time, recorder } = replica
  const held = database.hold('lookUp')
  const answer = tokens.find(row.digest)
  const reply = await held
  time.sleep(60_000)
  time.setWall(-60_000)
  await reply.release()
  await time.advance(10)
  t.match(await answer, { row })
  t.equal(recorder.total('reads_discarded_total', 'stale'), 1)
})

t.test('a reply to an earlier life of this replica is not used', async t => {
  const replica = await startReplica()
  const [row = rowOf('')] = addRows(replica, 1)
  const { tokens, database, time, recorder, state } = replica
  const held = database.hold('lookUp')
  const answer = tokens.find(row.digest)
  const reply = await held
  database.state.members.delete(state().id)
  await time.advance(500)
  await reply.release()
  await time.advance(10)
  t.match(await answer, { row })
  t.equal(recorder.total('reads_discarded_total', 'generation'), 1)
})

t.test('a look-up that waits in the queue while the replica joins anew, waits on', async t => {
  const replica = await startReplica()
  const rows = addRows(replica, 6)
  const { tokens, database, time, state } = replica
  await Promise.all(rows.slice(0, 3).map(row => tokens.find(row.digest)))
  const answer = tokens.find(rows[4]?.digest ?? digestToken(''))
  await settled()
  database.state.members.delete(state().id)
  const held = database.hold('join')
  time.stop(3000)
  const other = tokens.find(rows[5]?.digest ?? digestToken(''))
  await held
  await time.advance(50)
  await (await held).release()
  await time.advance(10)
  t.match(await answer, { row: rows[4] })
  t.match(await other, { row: rows[5] })
})

t.test('what a look-up says of the time counts', async t => {
  const { tokens, database, time, clock } = await startReplica()
  database.state.dbNowMs = () => time.clocks.wallMs() + 5000
  await tokens.find(digestToken('nobody'))
  t.equal(clock.nowMs() - clock.wallMs(), 0, 'the first round trip was as quick')
})
