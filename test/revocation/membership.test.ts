import t from 'tap'
import { createReplica, outcomeOf, rowOf, startReplica } from './support/replica.ts'
import { settled } from './support/virtual-time.ts'

const HOUR = 3_600_000

t.test('nothing is read before the replica’s row is there', async t => {
  const { database, time, start, tokens } = createReplica()
  const held = database.hold('join')
  const started = start()
  const answer = outcomeOf(tokens.find(rowOf('good').digest))
  await time.advance(300)
  t.equal(await answer, 'TOKEN_STORE_UNAVAILABLE')
  t.equal(database.count('lookUp'), 0)
  t.equal(database.count('poll'), 0)
  await (await held).release()
  await started
  t.equal(database.count('poll'), 1)
})

t.test('a join that was not answered is undone before the next one', async t => {
  const { database, time, start, state } = createReplica()
  const held = database.hold('join')
  const started = start()
  await (await held).fail()
  const first = state().id
  await time.advance(5000)
  await started
  t.not(state().id, first)
  t.same([...database.state.members.keys()], [state().id])
})

t.test('it gives a sign of life every two and a half leases', async t => {
  const { database, time, state } = await startReplica()
  await time.advance(15_001)
  t.equal(database.count('beat'), 3)
  t.same(database.last('beat'), [state().id])
})

t.test('a lost sign of life means nothing', async t => {
  const { database, time, state } = await startReplica()
  database.state.down.add('beat')
  await time.advance(11_000)
  t.equal(database.count('beat'), 2)
  t.equal(state().leaseValid, true)
})

/** Somebody has marked this replica as silent, or removed it. */
type Started = Awaited<ReturnType<typeof startReplica>>
const mark = ({ database, state }: Started) => {
  const member = database.state.members.get(state().id)
  if (member) database.state.members.set(member.id, { ...member, state: 'leaving' })
}
const remove = ({ database, state }: Started) => void database.state.members.delete(state().id)

t.test('a replica that was taken for dead clears its cache and joins under a new id', async t => {
  for (const kill of [mark, remove]) {
    const replica = await startReplica()
    const { time, database, state, tokens, row, entry, rechecked, recorder } = replica
    const first = state().id
    kill(replica)
    await time.advance(500)
    t.not(state().id, first)
    t.match(state(), { isJoined: true, leaseValid: true, cachedTokens: 0 })
    t.same([...database.state.members.keys()], [state().id], 'its old row is gone')
    t.equal(tokens.peek(row.digest), undefined)
    t.equal(tokens.lapse(row.digest, entry), 'entry')
    t.same(rechecked, ['all'])
    t.equal(recorder.total('cache_clears_total', 'rejoined'), 1)
    t.match(await tokens.find(row.digest), { row })
  }
})

t.test('while it joins anew, requests wait', async t => {
  const replica = await startReplica()
  const { time, database, tokens, row, state } = replica
  mark(replica)
  const held = database.hold('join')
  await time.advance(500)
  t.match(state(), { isJoined: false, leaseValid: false })
  const answer = tokens.find(row.digest)
  await time.advance(100)
  await (await held).release()
  t.match(await answer, { row })
})

t.test('leaving, it forgets first and deletes its row then', async t => {
  const { database, stop, tokens, row, entry, state, nudge, time } = await startReplica()
  const held = database.hold('leave')
  const stopped = stop()
  t.equal(tokens.peek(row.digest), undefined)
  t.equal(tokens.lapse(row.digest, entry), 'entry')
  t.match(state(), { isJoined: false, leaseValid: false, cachedTokens: 0 })
  await (await held).release()
  await stopped
  t.equal(database.state.members.size, 0)
  t.equal(nudge.state.isClosed, true)
  await time.advance(2 * HOUR)
  t.equal(database.count('beat') + database.count('prune'), 0)
})

t.test('a row that cannot be deleted is left to the others', async t => {
  const { database, stop, recorder } = await startReplica()
  database.state.down.add('leave')
  await stop()
  t.equal(database.state.members.size, 1)
  t.equal(recorder.lines.at(-1)?.level, 'warn')
})

t.test('stopped before it has joined, it joins no more and leaves no row', async t => {
  const { database, start, stop, state } = createReplica()
  const held = database.hold('join')
  const started = start()
  const stopped = stop()
  await (await held).release()
  await Promise.all([started, stopped])
  t.match(state(), { isJoined: false, leaseValid: false })
  t.equal(database.state.members.size, 0)
  await stop()
  t.equal(database.count('leave'), 1)
})

t.test('stopped before it was started, it has nothing to do', async t => {
  const { database, stop } = createReplica()
  await stop()
  t.same(database.calls, [])
})

function addDead({ database }: Started, id = 'dead') {
  database.state.members.set(id, { id, ackKey: new Uint8Array(32), state: 'leaving' })
}

t.test('a row seen leaving is removed when no lease of it can run', async t => {
  const replica = await startReplica()
  const { time, database, barrier, row, recorder } = replica
  addDead(replica)
  const receipt = barrier.wait(database.revoke(row))
  await time.advance(2519)
  t.equal(database.count('remove'), 0)
  await time.advance(1)
  t.equal(database.count('remove'), 1)
  t.same(database.last('remove'), [['dead']])
  t.match(await receipt, { replicas: 2, acknowledged: 1 })
  t.equal(recorder.total('replicas_removed_total'), 1)
  t.same([...database.state.members.keys()], [replica.state().id])
})

t.test('a row seen leaving twice is removed once', async t => {
  const replica = await startReplica()
  const { time, database, barrier, row } = replica
  addDead(replica)
  void barrier.wait(database.revoke(row))
  await time.advance(1000)
  void barrier.wait(database.revoke(row))
  await time.advance(4000)
  t.equal(database.count('remove'), 1)
})

t.test('a removal that fails is tried again when the row is seen again', async t => {
  const replica = await startReplica()
  const { time, database, barrier, row } = replica
  addDead(replica)
  database.state.down.add('remove')
  void barrier.wait(database.revoke(row))
  await time.advance(2520)
  database.state.down.clear()
  void barrier.wait(database.revoke(row))
  await time.advance(2520)
  t.equal(database.count('remove'), 2)
  t.equal(database.state.members.has('dead'), false)
})

t.test('who has stopped removes nobody', async t => {
  const replica = await startReplica()
  const { time, database, barrier, row, stop } = replica
  addDead(replica)
  void outcomeOf(barrier.wait(database.revoke(row)))
  await settled()
  await stop()
  await time.advance(10_000)
  t.equal(database.count('remove'), 0)
})

t.test('once an hour the dead are looked for, and old events are deleted', async t => {
  const replica = await startReplica()
  const { time, database, recorder } = replica
  addDead(replica)
  await time.advance(HOUR)
  t.same(database.last('members'), [20_000], 'silent for ten leases')
  t.same(database.last('prune'), [HOUR])
  t.equal(recorder.gauge('replicas'), 2)
  t.equal(database.count('remove'), 0)
  await time.advance(61_100)
  t.equal(database.count('remove'), 1, 'the longest lease there can be, and its margin')
  await time.advance(HOUR)
  t.equal(database.count('prune'), 2)
})

t.test('tidying that fails is tidied an hour later', async t => {
  const { time, database, recorder } = await startReplica()
  database.state.down.add('members')
  await time.advance(HOUR)
  t.equal(database.count('prune'), 0)
  t.equal(recorder.lines.at(-1)?.message, 'the hourly tidying failed')
  database.state.down.clear()
  await time.advance(HOUR)
  t.equal(database.count('prune'), 1)
})
