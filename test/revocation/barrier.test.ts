import t from 'tap'
import { Fault } from '../../src/core/decision.ts'
import type { Member, NudgeMessage } from '../../src/core/ports.ts'
import { acknowledgementOf } from '../../src/revocation/acknowledgement.ts'
import { createBarrier } from '../../src/revocation/barrier.ts'
import {
  createFakeDatabase,
  createFakeNudge,
  createRecorder,
  outcomeOf,
  rowOf,
  startReplica
} from './support/replica.ts'
import { createVirtualTime, settled } from './support/virtual-time.ts'

const row = rowOf('good')
const DEADLINE_MS = 2520

/** The command line: it revokes, and is no replica. Two gates run elsewhere. */
function setUp() {
  const time = createVirtualTime()
  const database = createFakeDatabase()
  const nudge = createFakeNudge()
  const recorder = createRecorder()
  const members: readonly Member[] = ['a', 'b'].map((id, i) => ({
    id,
    ackKey: new Uint8Array(32).fill(i + 1),
    state: 'live' as const
  }))
  for (const member of members) database.state.members.set(member.id, member)
  let uuids = 0
  const barrier = createBarrier({
    epochs: database.epochs,
    store: database.store,
    nudge: nudge.port,
    clocks: time.clocks,
    schedule: time.schedule,
    observer: recorder.observer,
    log: recorder.log,
    randomUuid: () => `uuid-${(uuids += 1)}`,
    own: undefined
  })
  /** A replica's word, about what was announced last or something else. */
  const acknowledge = (index: number, change: Partial<NudgeMessage> = {}) => {
    const message = nudge.announced.at(-1)
    const member = members[index]
    if (message && member) {
      nudge.state.acknowledge(acknowledgementOf({ ...message, ...change }, member))
    }
  }
  return { time, database, nudge, recorder, members, barrier, acknowledge }
}

t.test('everybody is told, and the wait ends when all have acknowledged', async t => {
  const { barrier, database, nudge, acknowledge, time, recorder } = setUp()
  const receipt = barrier.wait(database.revoke(row))
  t.same(nudge.announced, [
    {
      kind: 'revoke',
      seq: 11,
      ids: [row.id],
      history: 'server 1/1',
      replyTo: barrier.replyTo,
      challenge: 'uuid-2'
    }
  ])
  await time.advance(10)
  acknowledge(0)
  await time.advance(2)
  acknowledge(1)
  t.same(await receipt, { replicas: 2, acknowledged: 2, waitedMs: 12 })
  t.equal(recorder.total('barriers_total', 'acks'), 1)
  t.same(database.last('members'), [20_000], 'and who was silent for ten leases is marked')
  t.equal(database.count('confirm'), 0)
  t.equal(time.pending(), 0)
})

t.test('acknowledgements that come before the members are known count', async t => {
  const { barrier, database, acknowledge } = setUp()
  const held = database.hold('members')
  const receipt = barrier.wait(database.revoke(row))
  acknowledge(0)
  acknowledge(1)
  await (await held).release()
  t.same(await receipt, { replicas: 2, acknowledged: 2, waitedMs: 0 })
})

t.test('where no gate runs there is nobody to wait for', async t => {
  const { barrier, database } = setUp()
  database.state.members.clear()
  t.same(await barrier.wait(database.revoke(row)), { replicas: 0, acknowledged: 0, waitedMs: 0 })
})

t.test('without all acknowledgements it waits for the longest lease and the margin', async t => {
  const { barrier, database, acknowledge, time, recorder } = setUp()
  let receipt: unknown
  void barrier.wait(database.revoke(row)).then(given => (receipt = given))
  await settled()
  acknowledge(0)
  await time.advance(DEADLINE_MS - 1)
  t.equal(receipt, undefined)
  await time.advance(1)
  await settled()
  t.same(receipt, { replicas: 2, acknowledged: 1, waitedMs: DEADLINE_MS })
  t.equal(database.count('confirm'), 1)
  t.equal(recorder.total('barriers_total', 'deadline'), 1)
})

t.test('the wait is as long as the change says', async t => {
  const { barrier, database, time } = setUp()
  const receipt = barrier.wait({ ...database.revoke(row), waitMs: 10_000 })
  await time.advance(10_600)
  t.match(await receipt, { waitedMs: 10_600 })
})

/** Words that prove nothing about this change, and this barrier. */
const WORTHLESS: readonly [string, Partial<NudgeMessage>][] = [
  ['another history', { history: 'server 0/1' }],
  ['another number', { seq: 12 }],
  ['other tokens', { ids: ['another'] }],
  ['another kind', { kind: 'change' }],
  ['another barrier', { challenge: 'collected before' }]
]
for (const [what, change] of WORTHLESS) {
  t.test(`an acknowledgement of ${what} does not count`, async t => {
    const { barrier, database, acknowledge, time } = setUp()
    const receipt = barrier.wait(database.revoke(row))
    await settled()
    acknowledge(0)
    acknowledge(1, change)
    await time.advance(DEADLINE_MS)
    t.match(await receipt, { acknowledged: 1, waitedMs: DEADLINE_MS })
  })
}

t.test('nobody can acknowledge for another replica', async t => {
  const { barrier, database, nudge, members, time } = setUp()
  const receipt = barrier.wait(database.revoke(row))
  await settled()
  const [message] = nudge.announced
  const [a, b] = members
  if (!message || !a || !b) return t.fail('no message')
  const genuine = acknowledgementOf(message, a)
  nudge.state.acknowledge(genuine)
  nudge.state.acknowledge({ ...genuine, replica: 'b' })
  nudge.state.acknowledge(acknowledgementOf(message, { id: 'b', ackKey: a.ackKey }))
  nudge.state.acknowledge({ ...acknowledgementOf(message, b), mac: 'ab' })
  nudge.state.acknowledge(acknowledgementOf(message, { id: 'c', ackKey: b.ackKey }))
  await time.advance(DEADLINE_MS)
  return t.match(await receipt, { acknowledged: 1 })
})

t.test('more early acknowledgements than anybody needs are lost, not kept', async t => {
  const { barrier, database, nudge, acknowledge, members, time } = setUp()
  const held = database.hold('members')
  const receipt = barrier.wait(database.revoke(row))
  acknowledge(0)
  const [message] = nudge.announced
  const [, b] = members
  if (!message || !b) return t.fail('no message')
  const junk = { ...acknowledgementOf(message, b), mac: '' }
  for (let i = 0; i < 19_999; i++) nudge.state.acknowledge(junk)
  acknowledge(1)
  await (await held).release()
  await time.advance(DEADLINE_MS)
  return t.match(await receipt, { acknowledged: 1 })
})

t.test('members that cannot be read: no early end', async t => {
  const { barrier, database, acknowledge, time } = setUp()
  database.state.down.add('members')
  const receipt = barrier.wait(database.revoke(row))
  await settled()
  acknowledge(0)
  acknowledge(1)
  await time.advance(DEADLINE_MS)
  t.same(await receipt, { replicas: 0, acknowledged: 0, waitedMs: DEADLINE_MS })
})

t.test('members that are read after the deadline change nothing', async t => {
  const { barrier, database, time } = setUp()
  const held = database.hold('members')
  const receipt = barrier.wait(database.revoke(row))
  await time.advance(DEADLINE_MS)
  t.match(await receipt, { replicas: 0, waitedMs: DEADLINE_MS })
  await (await held).release()
})

t.test('a change that is gone after the deadline is not confirmed', async t => {
  for (const isDown of [true, false]) {
    const { barrier, database, time, recorder } = setUp()
    if (isDown) database.state.down.add('confirm')
    else database.state.isConfirmed = false
    const receipt = barrier.wait(database.revoke(row)).catch((thrown: unknown) => thrown)
    await time.advance(DEADLINE_MS)
    const fault = await receipt
    t.match(fault, { code: 'REVOCATION_UNCONFIRMED', status: 503 })
    t.ok(fault instanceof Fault && fault.cause instanceof Error)
    t.equal(recorder.total('barriers_total', 'unconfirmed'), 1)
  }
})

t.test('barriers for one change at once have each to be acknowledged', async t => {
  const { barrier, database, acknowledge, nudge, time } = setUp()
  const change = database.revoke(row)
  const first = barrier.wait(change)
  const second = barrier.wait(change)
  t.not(nudge.announced[0]?.challenge, nudge.announced[1]?.challenge)
  await settled()
  acknowledge(0)
  acknowledge(1)
  t.match(await second, { acknowledged: 2, waitedMs: 0 })
  await time.advance(DEADLINE_MS)
  t.match(await first, { acknowledged: 0, waitedMs: DEADLINE_MS })
})

t.test('a replica applies its own change, and has acknowledged it with that', async t => {
  const { barrier, database, tokens, entry, ended, nudge, recorder } = await startReplica()
  const receipt = barrier.wait(database.revoke(row))
  t.equal(tokens.lapse(row.digest, entry), 'entry', 'before anybody else is told')
  t.same(ended, [row.id])
  t.same(await receipt, { replicas: 1, acknowledged: 1, waitedMs: 0 })
  t.equal(nudge.announced.length, 1)
  t.equal(recorder.gauge('replicas'), 1)
})

t.test('its own change in a history it does not know waits for a poll', async t => {
  const { barrier, database, nudge, time, tokens } = await startReplica()
  await time.advance(200)
  Object.assign(database.state, { history: 'server 2/1' })
  const held = database.hold('poll')
  const receipt = outcomeOf(barrier.wait(database.revoke(row)))
  await settled()
  t.same(nudge.acknowledged, [])
  await (await held).release()
  t.equal(tokens.peek(row.digest), undefined)
  const [sent] = nudge.acknowledged
  t.equal(sent?.replyTo, nudge.announced[0]?.replyTo, 'by the way that all others take')
  if (sent) nudge.state.acknowledge(sent.acknowledgement)
  t.match(await receipt, { replicas: 1, acknowledged: 1 })
})

t.test('closed, it listens no more', async t => {
  const { barrier, nudge } = setUp()
  barrier.close()
  t.equal(nudge.state.isClosed, true)
})
