import { createHmac } from 'node:crypto'
import t from 'tap'
import type { NudgeMessage } from '../../src/core/ports.ts'
import { createReplica, rowOf, startReplica } from './support/replica.ts'
import { settled } from './support/virtual-time.ts'

/** What another replica's revoker would send; each test spoils one thing. */
const good: NudgeMessage = {
  seq: 11,
  kind: 'revoke',
  ids: [rowOf('good').id],
  history: 'server 1/1',
  replyTo: 'revoker',
  challenge: 'challenge-1'
}

t.test('a nudge is applied at once, without a poll, and acknowledged', async t => {
  const { nudge, tokens, row, entry, database, state, recorder } = await startReplica()
  nudge.state.nudge(good)
  t.equal(tokens.peek(row.digest), undefined)
  t.equal(tokens.lapse(row.digest, entry), 'entry')
  t.equal(database.count('poll'), 1)
  t.equal(state().appliedSeq, 10, 'only polls move what is known')
  t.equal(recorder.total('invalidations_applied_total', 'nudge'), 1)
  const { id } = state()
  const ackKey = database.state.members.get(id)?.ackKey ?? new Uint8Array()
  const text = `["server 1/1",11,"revoke",["${row.id}"],"challenge-1","${id}"]`
  const mac = createHmac('sha256', ackKey).update(text).digest('hex')
  t.same(nudge.acknowledged, [
    { replyTo: 'revoker', acknowledgement: { history: 'server 1/1', seq: 11, replica: id, mac } }
  ])
})

t.test('a repeated nudge is acknowledged again, and what was read since stays', async t => {
  const { nudge, tokens, row, database } = await startReplica()
  database.announce('change', row)
  nudge.state.nudge(good)
  const entry = await tokens.find(row.digest)
  nudge.state.nudge(good)
  t.equal(tokens.peek(row.digest), entry)
  t.equal(nudge.acknowledged.length, 2)
})

t.test('a nudge ends no stream: it may be forged', async t => {
  const { nudge, ended, rechecked, row } = await startReplica()
  nudge.state.nudge(good)
  nudge.state.nudge({ ...good, kind: 'change' })
  nudge.state.nudge({ ...good, kind: 'all', ids: [] })
  t.same(ended, [])
  t.same(rechecked, [row.id, row.id, 'all'])
})

t.test('a forged nudge costs a look-up and nothing else', async t => {
  for (const forged of [{ seq: 9000 }, { kind: 'all', ids: [], seq: 9000 } as const]) {
    const { nudge, tokens, row, database, recorder, time } = await startReplica()
    nudge.state.nudge({ ...good, ...forged })
    t.match(await tokens.find(row.digest), { row }, 'not refused, and no fault')
    t.ok(tokens.peek(row.digest))
    await time.advance(5000)
    t.ok(tokens.peek(row.digest))
    t.equal(database.count('lookUp'), 2)
    t.equal(database.count('revoke'), 0, 'it is no reason to revoke anything')
    t.equal(recorder.total('reads_discarded_total'), 0)
  }
})

t.test('a nudge of another history waits for a poll', async t => {
  const { nudge, tokens, row, database, time, recorder } = await startReplica()
  await time.advance(200)
  Object.assign(database.state, { history: 'server 2/1' })
  nudge.state.nudge({ ...good, history: 'server 2/1' })
  t.ok(tokens.peek(row.digest), 'it proves nothing yet')
  await settled()
  t.equal(database.count('poll'), 2)
  t.equal(tokens.peek(row.digest), undefined)
  t.equal(nudge.acknowledged.length, 1)
  t.equal(recorder.total('lease_renewals_total', 'nudge'), 1)
})

t.test('a nudge of a history that no poll confirms is dropped', async t => {
  const { nudge, tokens, row, database, time } = await startReplica()
  await time.advance(200)
  nudge.state.nudge({ ...good, history: 'invented' })
  await time.advance(90)
  t.equal(database.count('poll'), 2)
  await time.advance(10_000)
  t.ok(tokens.peek(row.digest))
  t.same(nudge.acknowledged, [])
  t.ok(database.count('poll') < 25, 'and causes no further poll')
})

t.test('a nudge that comes during a poll causes another one', async t => {
  const { nudge, database, time } = await startReplica()
  const held = database.hold('poll')
  await time.advance(500)
  Object.assign(database.state, { history: 'server 2/1' })
  nudge.state.nudge({ ...good, history: 'server 2/1' })
  nudge.state.nudge({ ...good, history: 'server 2/1', challenge: 'challenge-2' })
  await (await held).release()
  t.same(nudge.acknowledged, [], 'the poll under way knew nothing of it')
  t.equal(database.count('poll'), 2)
  nudge.state.nudge({ ...good, history: 'server 2/1', challenge: 'challenge-3' })
  await time.advance(100)
  t.equal(database.count('poll'), 3)
  t.equal(nudge.acknowledged.length, 1)
})

t.test('a nudge from far ahead waits for a poll', async t => {
  const { nudge, database, time } = await startReplica()
  await time.advance(200)
  nudge.state.nudge({ ...good, seq: 10_010 })
  t.equal(nudge.acknowledged.length, 1, '10 000 ahead is near enough')
  database.state.seq = 10_011
  nudge.state.nudge({ ...good, seq: 10_011 })
  t.equal(nudge.acknowledged.length, 1)
  await settled()
  t.equal(nudge.acknowledged.length, 2)
})

t.test('a nudge with more tokens than the database would name is ignored', async t => {
  const { nudge, tokens, row } = await startReplica()
  const ids = Array.from({ length: 1001 }, () => row.id)
  nudge.state.nudge({ ...good, ids })
  t.ok(tokens.peek(row.digest))
  t.same(nudge.acknowledged, [])
  nudge.state.nudge({ ...good, ids: ids.slice(1) })
  t.equal(nudge.acknowledged.length, 1)
})

t.test('what waits for a poll is bounded: the oldest go', async t => {
  const { nudge, database, time } = await startReplica()
  const held = database.hold('poll')
  await time.advance(500)
  for (let i = 0; i < 101; i++) {
    nudge.state.nudge({ ...good, history: 'server 2/1', seq: i, replyTo: `revoker-${i}` })
  }
  Object.assign(database.state, { history: 'server 2/1' })
  await (await held).fail()
  await time.advance(5000)
  t.equal(nudge.acknowledged.length, 100)
  t.equal(nudge.acknowledged[0]?.replyTo, 'revoker-1')
})

t.test('a replica does not obey its own nudge a second time', async t => {
  const { nudge, barrier, database, row, recorder } = await startReplica()
  await barrier.wait(database.revoke(row))
  const [own] = nudge.announced
  t.ok(own)
  if (own) nudge.state.nudge(own)
  t.equal(recorder.total('invalidations_applied_total'), 1)
  t.same(nudge.acknowledged, [])
})

t.test('before the first poll a nudge waits, too', async t => {
  const { nudge, start, database } = createReplica()
  const held = database.hold('join')
  const started = start()
  nudge.state.nudge(good)
  t.same(nudge.acknowledged, [])
  await (await held).release()
  await started
  await settled()
  t.equal(nudge.acknowledged.length, 1)
})
