import t from 'tap'
import { digestToken } from '../../src/core/token.ts'
import { outcomeOf, startReplica } from './support/replica.ts'
import { NOW, settled } from './support/virtual-time.ts'

const HOUR = 3_600_000

/** Revoked, heard of by poll; then the database is another one, which knows nothing of it. */
async function afterLostCommit() {
  const replica = await startReplica()
  const { database, time, row } = replica
  database.revoke(row)
  await time.advance(500)
  database.state.rows.set(row.digest, row)
  database.state.events.pop()
  Object.assign(database.state, { history: 'server 2/2', seq: 10 })
  await time.advance(500)
  return replica
}

t.test('a revocation that the database lost stays in force, and is made again', async t => {
  const { database, tokens, row, state, recorder, nudge } = await afterLostCommit()
  t.match(await tokens.find(row.digest), { row: { id: row.id, revokedAtMs: Number } })
  await settled()
  t.same(database.last('revoke'), [
    row.id,
    { kind: 'replica', id: state().id, ip: undefined, requestId: undefined }
  ])
  t.equal(database.state.rows.get(row.digest)?.revokedAtMs, NOW)
  t.equal(nudge.announced.length, 1, 'the other replicas are told')
  t.equal(recorder.total('revocations_reapplied_total'), 1)
  t.match(recorder.lines.at(-1), { level: 'error', message: 'a revocation had been undone' })
})

t.test('it is repaired once, however many ask', async t => {
  const { database, tokens, row, nudge } = await afterLostCommit()
  const held = database.hold('revoke')
  await tokens.find(row.digest)
  await held
  nudge.state.nudge({
    kind: 'change',
    seq: 11,
    ids: [row.id],
    history: 'server 2/2',
    replyTo: 'revoker',
    challenge: 'challenge'
  })
  t.match(await tokens.find(row.digest), { row: { revokedAtMs: Number } })
  t.equal(database.count('revoke'), 1)
  await (await held).release()
})

t.test('a repair that fails is tried again', async t => {
  const { database, tokens, row, time, recorder } = await afterLostCommit()
  database.state.down.add('revoke')
  await tokens.find(row.digest)
  await time.advance(4999)
  database.state.down.clear()
  t.equal(database.count('revoke'), 1)
  await time.advance(1)
  t.equal(database.count('revoke'), 2)
  t.equal(recorder.total('revocations_reapplied_total'), 1)
})

t.test('a row that is gone meanwhile needs no repair', async t => {
  const { database, tokens, row, nudge } = await afterLostCommit()
  const found = tokens.find(row.digest)
  await settled()
  t.match(await found, { row: { revokedAtMs: Number } })
  const again = await afterLostCommit()
  const held = again.database.hold('lookUp')
  const answer = again.tokens.find(row.digest)
  const reply = await held
  again.database.state.rows.clear()
  await reply.release()
  t.match(await answer, { row: { revokedAtMs: Number } })
  t.equal(again.database.count('revoke'), 1)
  t.equal(again.nudge.announced.length, 0)
  t.equal(nudge.announced.length, 1)
  t.equal(database.count('revoke'), 1)
})

t.test('a replica remembers its own revocations', async t => {
  const { database, tokens, row, barrier, time } = await startReplica()
  await barrier.wait(database.revoke(row))
  database.state.rows.set(row.digest, row)
  await time.advance(10)
  t.match(await tokens.find(row.digest), { row: { revokedAtMs: Number } })
})

t.test('what only a nudge said is not remembered: it may be forged', async t => {
  const { database, tokens, row, nudge } = await startReplica()
  nudge.state.nudge({
    kind: 'revoke',
    seq: 11,
    ids: [row.id],
    history: 'server 1/1',
    replyTo: 'revoker',
    challenge: 'challenge'
  })
  t.match(await tokens.find(row.digest), { row: { revokedAtMs: null } })
  t.equal(database.count('revoke'), 0)
})

t.test('a change is no revocation', async t => {
  const { database, tokens, row, time } = await startReplica()
  database.announce('change', row)
  await time.advance(500)
  t.match(await tokens.find(row.digest), { row: { revokedAtMs: null } })
})

t.test('after an hour the database is believed', async t => {
  const { database, tokens, row, time } = await startReplica()
  database.revoke(row)
  await time.advance(500)
  database.state.rows.set(row.digest, row)
  await time.advance(HOUR + 1)
  t.match(await tokens.find(row.digest), { row: { revokedAtMs: null } })
  t.equal(database.count('revoke'), 0)
})

t.test('10 000 revocations are remembered, the latest ones', async t => {
  const { database, tokens, row, time } = await startReplica()
  database.revoke(row)
  await time.advance(500)
  database.state.rows.set(row.digest, row)
  for (let i = 0; i < 10; i++) {
    const ids = Array.from({ length: 1000 }, (_, j) => `other-${i}-${j}`)
    database.state.seq += 1
    database.state.events.push({ kind: 'revoke', seq: database.state.seq, ids })
  }
  await time.advance(500)
  t.match(await tokens.find(row.digest), { row: { revokedAtMs: null } })
  t.equal(await outcomeOf(tokens.find(digestToken('nobody'))), 'unknown')
})
