import t from 'tap'
import { createReplica, outcomeOf, startReplica } from './support/replica.ts'
import { settled } from './support/virtual-time.ts'

t.test('a replica joins, then polls, and has its lease', async t => {
  const { database, start, state } = createReplica()
  t.equal(state().leaseValid, false)
  await start()
  t.same(
    database.calls.map(call => call.statement),
    ['join', 'poll']
  )
  t.match(state(), { leaseValid: true, leaseAgeMs: 0, appliedSeq: 10, isJoined: true })
})

t.test('it polls four times a lease, each with half a lease to answer', async t => {
  const { database, time, state } = await startReplica()
  await time.advance(2001)
  t.equal(database.count('poll'), 5)
  t.same(database.last('poll'), [state().id, 10, 1000])
  database.state.leaseMs = 1000
  await time.advance(500)
  t.same(database.last('poll'), [state().id, 10, 1000])
  await time.advance(1000)
  t.equal(database.count('poll'), 10, 'the database says how long a lease is')
  t.same(database.last('poll'), [state().id, 10, 500])
})

t.test('polls of a fleet do not stay in step', async t => {
  for (const [random, afterMs] of [
    [0, 400],
    [0.999, 599.8]
  ] as const) {
    const { database, time } = await startReplica({ random: () => random })
    await time.advance(afterMs - 1)
    t.equal(database.count('poll'), 1)
    await time.advance(1)
    t.equal(database.count('poll'), 2)
  }
})

t.test('the lease runs from the sending, not from the answer', async t => {
  const { database, time, state } = await startReplica()
  const held = database.hold('poll')
  await time.advance(1300)
  t.equal(state().leaseAgeMs, 1300)
  await (await held).release()
  t.equal(state().leaseAgeMs, 800)
})

t.test('a poll that took longer than its lease renews nothing', async t => {
  const { database, time, state, recorder } = await startReplica()
  const held = database.hold('poll')
  await time.advance(500)
  time.stop(2500)
  await (await held).release()
  t.equal(state().leaseValid, false)
  t.equal(recorder.total('lease_renewals_total', 'timeout'), 1)
  await time.advance(200)
  t.equal(state().leaseValid, true, 'the next one does')
})

t.test('what a poll brings is in force before the lease is', async t => {
  const { database, time, tokens, row, entry, ended, recorder } = await startReplica()
  database.revoke(row)
  await time.advance(500)
  t.equal(tokens.peek(row.digest), undefined)
  t.equal(tokens.lapse(row.digest, entry), 'entry')
  t.same(ended, [row.id])
  t.equal(recorder.total('invalidations_applied_total', 'poll'), 1)
})

t.test(
  'a changed token’s streams are looked at again, all of them after a change of all',
  async t => {
    const { database, time, row, ended, rechecked } = await startReplica()
    database.announce('change', row)
    database.announce('all')
    await time.advance(500)
    t.same(rechecked, [row.id, 'all'])
    t.same(ended, [])
  }
)

t.test('a standby’s answer is ignored', async t => {
  const { database, time, state, recorder, tokens, row } = await startReplica()
  database.state.isStandby = true
  await time.advance(2000)
  t.equal(state().leaseValid, false)
  t.ok(recorder.total('lease_renewals_total', 'standby') >= 3)
  database.state.isStandby = false
  await time.advance(5000)
  t.equal(state().leaseValid, true)
  t.ok(tokens.peek(row.digest), 'the cache was kept: one poll makes it usable again')
})

t.test('a failing store is asked again after a while, longer each time, 5 s at most', async t => {
  const { database, time, state, recorder } = await startReplica({ random: () => 0.999 })
  database.state.down.add('poll')
  await time.advance(600)
  t.equal(recorder.total('lease_renewals_total', 'error'), 1)
  await time.advance(60_000)
  const failed = recorder.total('lease_renewals_total', 'error')
  t.ok(failed > 12 && failed < 20, `${failed} in a minute`)
  t.equal(
    recorder.lines.filter(line => line.message === 'the lease could not be renewed').length,
    1,
    'it is said once'
  )
  database.state.down.clear()
  await time.advance(5000)
  t.equal(state().leaseValid, true)
})

t.test('a store that hangs counts as too late', async t => {
  const { database, time, recorder } = await startReplica()
  const held = database.hold('poll')
  await time.advance(1500)
  await (await held).fail()
  t.equal(recorder.total('lease_renewals_total', 'timeout'), 1)
})

t.test('a request that finds the lease over polls at once, and uses the cache again', async t => {
  const { database, time, tokens, row, entry, recorder } = await startReplica()
  database.state.down.add('poll')
  await time.advance(2500)
  t.equal(tokens.lapse(row.digest, entry), 'lease')
  t.equal(tokens.peek(row.digest), undefined)
  database.state.down.clear()
  t.equal(await time.advance(100).then(() => tokens.find(row.digest)), entry)
  t.equal(database.count('lookUp'), 1, 'nothing was read again')
  t.ok(recorder.total('lease_renewals_total', 'request') <= 1)
})

t.test('a stopped process renews when it wakes, before it answers', async t => {
  const { database, time, tokens, row, entry } = await startReplica()
  time.stop(60_000)
  t.equal(tokens.peek(row.digest), undefined)
  t.equal(tokens.lapse(row.digest, entry), 'lease')
  t.equal(await tokens.find(row.digest), entry)
  t.equal(database.count('poll'), 2)
})

t.test('requests join one poll, for 300 ms at most, and then look the row up', async t => {
  const { database, time, tokens, row } = await startReplica()
  time.stop(2500)
  const held = database.hold('poll')
  const answers = [tokens.find(row.digest), tokens.find(row.digest)]
  let settledCount = 0
  for (const answer of answers) void answer.then(() => (settledCount += 1))
  await held
  await time.advance(299)
  t.equal(settledCount, 0)
  t.equal(database.count('poll'), 2)
  await time.advance(1)
  t.equal(settledCount, 2)
  t.equal(database.count('lookUp'), 2, 'one before the lease was over, one after')
})

t.test('nobody makes a storm of polls: 100 ms lie between them', async t => {
  const { database, time, tokens, row } = await startReplica({ random: () => 0.999 })
  database.state.down.add('poll')
  database.state.down.add('lookUp')
  await time.advance(10_000)
  const before = database.count('poll')
  for (let i = 0; i < 100; i++) {
    void outcomeOf(tokens.find(row.digest))
    await time.advance(10)
  }
  t.ok(database.count('poll') - before <= 11, `${database.count('poll') - before} in a second`)
})

t.test(
  'more than 1000 events, or a feed shorter than what was missed, clear the cache',
  async t => {
    for (const isPruned of [true, false]) {
      const { database, time, tokens, row, state, rechecked, recorder } = await startReplica()
      if (isPruned) Object.assign(database.state, { seq: 20, prunedSeq: 20 })
      else for (let i = 0; i < 1001; i++) database.announce('change')
      await time.advance(500)
      t.equal(tokens.peek(row.digest), undefined)
      t.equal(state().appliedSeq, database.state.seq)
      t.ok(rechecked.includes('all'))
      t.equal(recorder.total('cache_clears_total', 'gap'), 1)
    }
  }
)

t.test('1000 events, and a feed that reaches just far enough, are applied', async t => {
  const { database, time, tokens, row, recorder } = await startReplica()
  for (let i = 0; i < 1000; i++) database.announce('change')
  database.state.prunedSeq = 10
  await time.advance(500)
  t.ok(tokens.peek(row.digest))
  t.equal(recorder.total('cache_clears_total'), 0)
})

t.test(
  'another server, another timeline, a number that went back: the cache is cleared',
  async t => {
    for (const [change, level] of [
      [{ history: 'server 2/1' }, 'warn'],
      [{ history: 'server 1/2' }, 'error'],
      [{ seq: 9 }, 'error']
    ] as const) {
      const { database, time, tokens, row, state, recorder, rechecked } = await startReplica()
      Object.assign(database.state, change)
      await time.advance(500)
      t.equal(tokens.peek(row.digest), undefined)
      t.equal(state().appliedSeq, database.state.seq)
      t.equal(state().leaseValid, true)
      t.equal(recorder.total('history_changes_total'), 1)
      t.equal(recorder.total('cache_clears_total', 'history'), 1)
      t.same(rechecked, ['all'])
      t.equal(recorder.lines.filter(line => line.level === level).length, 1)
    }
  }
)

t.test('the first poll counts as no change of history, and asks for no event', async t => {
  const { database, start, recorder } = createReplica()
  database.announce('change')
  await start()
  t.same(database.last('poll')?.[1], Number.MAX_SAFE_INTEGER)
  t.equal(recorder.total('history_changes_total'), 0)
  t.equal(recorder.total('cache_clears_total'), 0)
})

t.test('sleep during a poll makes the poll worthless', async t => {
  const { database, time, state } = await startReplica()
  const held = database.hold('poll')
  await time.advance(500)
  time.sleep(60_000)
  time.setWall(-60_000)
  await (await held).release()
  t.equal(state().leaseValid, false)
  await time.advance(500)
  t.equal(state().leaseValid, true)
})

t.test('start goes on until the store is there', async t => {
  const { database, time, start, state } = createReplica()
  database.state.down.add('join')
  let isStarted = false
  const started = start().then(() => (isStarted = true))
  await time.advance(30_000)
  t.equal(isStarted, false)
  database.state.down.clear()
  await time.advance(5000)
  await started
  t.equal(state().leaseValid, true)
})

t.test('a poll that ends after the replica has stopped gives nothing', async t => {
  const { database, time, state, stop, tokens, row } = await startReplica()
  const held = database.hold('poll')
  await time.advance(500)
  const stopped = stop()
  await settled()
  t.equal(database.count('leave'), 0, 'the row stays until the poll has ended')
  await (await held).release()
  await stopped
  t.equal(state().leaseValid, false)
  t.equal(database.count('leave'), 1)
  t.equal(await outcomeOf(tokens.find(row.digest)), 'TOKEN_STORE_UNAVAILABLE')
  await time.advance(10_000)
  t.equal(database.count('poll'), 2, 'and there is no other one')
})
