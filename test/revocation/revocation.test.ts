import t from 'tap'
import { digestToken } from '../../src/core/token.ts'
import { createReplica, outcomeOf, rowOf, startReplica } from './support/replica.ts'
import { settled } from './support/virtual-time.ts'

t.test('under a lease the cache answers, without a query', async t => {
  const { tokens, row, entry, database, time, isLeaseValid } = await startReplica()
  t.equal(isLeaseValid(), true)
  for (let i = 0; i < 100; i++) {
    await time.advance(100)
    t.equal(tokens.peek(row.digest), entry)
  }
  t.equal(database.count('lookUp'), 1)
})

t.test('without a lease a row is used as long as the lease of its own read would run', async t => {
  const { tokens, database, time, state, isLeaseValid } = await startReplica()
  database.state.down.add('poll')
  await time.advance(3000)
  t.equal(isLeaseValid(), false)
  const row = rowOf('fresh')
  database.state.rows.set(row.digest, row)
  let readAtMs = 0
  database.state.dbNowMs = () => {
    readAtMs = time.clocks.monoMs()
    return time.clocks.wallMs()
  }
  const found = tokens.find(row.digest)
  await time.advance(300)
  const entry = await found
  t.match(entry, { row }, 'the polls fail, look-ups pass')
  if (entry === 'unknown') return
  t.equal(state().leaseValid, false)
  t.equal(tokens.peek(row.digest), entry)
  t.equal(tokens.lapse(row.digest, entry), undefined)
  await time.advance(readAtMs + 1999 - time.clocks.monoMs())
  t.equal(tokens.lapse(row.digest, entry), undefined)
  await time.advance(1)
  t.equal(tokens.peek(row.digest), undefined)
  t.equal(tokens.lapse(row.digest, entry), 'lease')
})

t.test('a row that was evicted between decision and sending may still be acted upon', async t => {
  const { tokens, row, entry, database } = await startReplica({ cacheMaxTokens: 1 })
  const other = rowOf('other')
  database.state.rows.set(other.digest, other)
  await tokens.find(other.digest)
  t.equal(tokens.peek(row.digest), undefined)
  t.equal(tokens.lapse(row.digest, entry), undefined)
})

t.test('but not when it was changed since, and not for longer than a lease', async t => {
  for (const isRevoked of [true, false]) {
    const replica = await startReplica({ cacheMaxTokens: 1 })
    const { tokens, row, entry, database, barrier, time } = replica
    const other = rowOf('other')
    database.state.rows.set(other.digest, other)
    await tokens.find(other.digest)
    if (isRevoked) await barrier.wait(database.revoke(row))
    else await time.advance(2000)
    t.equal(tokens.lapse(row.digest, entry), 'entry')
  }
})

t.test(
  'with the store gone, cached tokens go on to the end of the lease, then nothing does',
  async t => {
    const { tokens, row, entry, database, time, recorder } = await startReplica()
    database.state.down.add('poll').add('lookUp')
    await time.advance(1900)
    t.equal(tokens.lapse(row.digest, entry), undefined)
    t.equal(recorder.total('lease_lapses_total'), 0)
    await time.advance(200)
    t.equal(tokens.lapse(row.digest, entry), 'lease')
    t.equal(recorder.total('lease_lapses_total'), 1)
    const answer = outcomeOf(tokens.find(row.digest))
    await time.advance(300)
    t.equal(await answer, 'TOKEN_STORE_UNAVAILABLE')
    database.state.down.clear()
    await time.advance(5000)
    t.equal(tokens.peek(row.digest), entry)
  }
)

t.test('a wall clock that was set costs one renewal and no verdict', async t => {
  for (const byMs of [3_600_000, -3_600_000]) {
    const { tokens, row, entry, database, time } = await startReplica()
    await time.advance(150)
    time.setWall(byMs)
    t.equal(tokens.peek(row.digest), undefined)
    t.equal(tokens.lapse(row.digest, entry), 'lease')
    t.equal(await tokens.find(row.digest), entry)
    t.equal(database.count('lookUp'), 1)
  }
})

t.test('sleep is seen within 100 ms, also where the wall clock hides it', async t => {
  const { tokens, row, entry, time } = await startReplica()
  await time.advance(450)
  time.sleep(1000)
  time.setWall(-1000)
  await time.advance(60)
  t.equal(tokens.lapse(row.digest, entry), 'lease', 'what was read before it counts no more')
  await time.advance(200)
  t.equal(tokens.lapse(row.digest, entry), undefined, 'the next poll came after it')
  time.sleep(1000)
  time.setWall(-1000)
  await time.advance(100)
  t.equal(tokens.lapse(row.digest, entry), 'lease')
})

t.test('a replica tells how it stands', async t => {
  const { state, time, recorder, database } = createReplica()
  t.match(state(), {
    isJoined: false,
    leaseValid: false,
    leaseAgeMs: undefined,
    appliedSeq: 0,
    clockTrusted: true,
    clockOffsetMs: 0,
    cachedTokens: 0
  })
  const started = await startReplica()
  started.database.state.dbNowMs = () => started.time.clocks.wallMs() + 40_000
  await started.time.advance(5000)
  t.match(started.state(), {
    id: 'uuid-3',
    isJoined: true,
    leaseValid: true,
    leaseAgeMs: 0,
    appliedSeq: 10,
    clockTrusted: false,
    clockOffsetMs: 40_000,
    cachedTokens: 1
  })
  t.equal(started.clock.isTrusted(), false)
  for (const [name, value] of [
    ['lease_valid', 1],
    ['lease_age_seconds', 0],
    ['applied_seq', 10],
    ['clock_trusted', 0],
    ['clock_offset_seconds', 40],
    ['cache_entries', 1]
  ] as const) {
    t.equal(started.recorder.gauge(name), value, name)
  }
  await time.advance(1000)
  t.equal(recorder.gauge('lease_valid'), undefined, 'before the start nothing is told')
  t.same(database.calls, [])
})

t.test('without a lease its age is endless', async t => {
  const { start, database, time, recorder } = createReplica()
  database.state.down.add('join')
  void start()
  await time.advance(100)
  t.equal(recorder.gauge('lease_valid'), 0)
  t.equal(recorder.gauge('lease_age_seconds'), Infinity)
  t.equal(recorder.gauge('clock_trusted'), 1)
})

t.test('stopped, it knows no token any more, and starts no query', async t => {
  const { stop, tokens, row, database } = await startReplica()
  await stop()
  t.equal(tokens.peek(row.digest), undefined)
  t.equal(await outcomeOf(tokens.find(row.digest)), 'TOKEN_STORE_UNAVAILABLE')
  t.equal(database.count('lookUp'), 1)
})

t.test('a look-up under way when it stops is no answer', async t => {
  const { stop, tokens, database, time } = await startReplica()
  const other = rowOf('other')
  database.state.rows.set(other.digest, other)
  const held = database.hold('lookUp')
  const answer = outcomeOf(tokens.find(other.digest))
  const reply = await held
  const stopped = stop()
  await reply.release()
  await time.advance(10)
  t.equal(await answer, 'TOKEN_STORE_UNAVAILABLE')
  await stopped
})

t.test('stopped while it starts, the start has an end', async t => {
  const { start, stop, database } = createReplica()
  database.state.down.add('join')
  const started = start()
  await settled()
  await stop()
  await started
  t.equal(database.count('poll'), 0)
})

t.test(
  'a request that waits for the lease when the replica stops gets no answer from it',
  async t => {
    const { stop, tokens, database, time, row } = await startReplica()
    time.stop(2500)
    const held = database.hold('poll')
    const answer = outcomeOf(tokens.find(row.digest))
    const reply = await held
    const stopped = stop()
    await reply.release()
    t.equal(await answer, 'TOKEN_STORE_UNAVAILABLE')
    await stopped
  }
)

t.test('an unknown token stays unknown for a second whatever the lease', async t => {
  const { tokens, database, time } = await startReplica()
  database.state.down.add('poll')
  await time.advance(1800)
  await tokens.find(digestToken('nobody'))
  await time.advance(500)
  t.equal(tokens.peek(digestToken('nobody')), 'unknown')
})
