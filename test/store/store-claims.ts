/** What holds for tokens, leases and last uses, whichever Postgres keeps them. */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { Fault } from '../../src/core/decision.ts'
import type { Actor, NewToken, TokenStore } from '../../src/core/ports.ts'
import type { TokenRow } from '../../src/core/principal.ts'
import { digestToken } from '../../src/core/token.ts'
import type { Database, Row } from '../../src/store/database.ts'
import { createEpochStore } from '../../src/store/epochs.ts'
import { createLastUsed } from '../../src/store/last-used.ts'
import { createNonceHistory } from '../../src/store/nonce-history.ts'
import { createTokenStore } from '../../src/store/tokens.ts'
import { createLog, createRecorder } from '../redis/fixtures.ts'
import { until } from './open.ts'

export const LEASE_MS = 1000
export const DAY_MS = 86_400_000
export const OPERATOR: Actor = { kind: 'operator', id: 'op', ip: undefined, requestId: undefined }

/** Of a user nobody else in the test file has. */
export function newToken(given: Partial<NewToken> = {}): NewToken {
  const text = randomUUID()
  return {
    digest: digestToken(text),
    preview: 'ci_aaaa…zzzz',
    userId: text,
    orgId: null,
    name: 'ci',
    scopes: ['scans:read'],
    repositories: null,
    expires: null,
    requireSignature: false,
    ...given
  }
}

export async function createTokens(
  store: TokenStore,
  count: number,
  given: Partial<NewToken> = {}
): Promise<readonly TokenRow[]> {
  const rows: TokenRow[] = []
  for (let i = 0; i < count; i++) {
    rows.push(await store.create(newToken(given), OPERATOR))
    // Lists have an order by the moment of creation, which the embedded database tells in milliseconds.
    await sleep(2)
  }
  return rows
}

/** A row that must be there. */
export async function createOne(store: TokenStore, given: Partial<NewToken> = {}) {
  return store.create(newToken(given), OPERATOR)
}

export async function faultOf(work: Promise<unknown>): Promise<Fault> {
  const thrown = await work.then(
    () => undefined,
    (error: unknown) => error
  )
  if (thrown instanceof Fault) return thrown
  throw new Error('no fault', { cause: thrown })
}

/** The result of a change that found its token. */
export function made<T extends object>(result: T | string): T {
  if (typeof result === 'string') throw new Error(`nothing was changed: ${result}`)
  return result
}

export function sqlOn(database: Database) {
  return (text: string, values?: readonly unknown[]): Promise<readonly Row[]> =>
    database.session(run => run(text, values))
}

/** `database` may be shared: nothing here looks at rows that it did not make. */
export function testStores(t: Test, database: Database): void {
  const store = createTokenStore(database)
  const epochs = createEpochStore(database)
  const sql = sqlOn(database)
  const replica = randomUUID()
  const poll = (afterSeq = 0) => epochs.poll(replica, afterSeq, 2000)
  const lookUp = (...rows: readonly { readonly digest: TokenRow['digest'] }[]) =>
    epochs.lookUp(
      replica,
      rows.map(({ digest }) => digest),
      2000
    )

  t.test('a token is kept as it was given, with the time of the database', async t => {
    const given = newToken({
      orgId: 'o1',
      name: 'Größe "x" \\ {a,b} 🚀',
      scopes: ['scans:read', 'scans:trigger'],
      repositories: ['r 1', '"', ''],
      requireSignature: true
    })
    const row = await store.create(given, OPERATOR)
    const { expires, ...kept } = given
    t.same(row, {
      ...kept,
      id: row.id,
      createdAtMs: row.createdAtMs,
      lastUsedAtMs: null,
      expiresAtMs: expires,
      revokedAtMs: null
    })
    const { dbNowMs, rows } = await lookUp(given)
    t.same(rows, [row])
    t.ok(row.createdAtMs <= dbNowMs && row.createdAtMs > dbNowMs - 10_000)
  })

  t.test('a token ends after a span, at an instant, or never', async t => {
    const inDays = await createOne(store, { expires: { inDays: 30 } })
    const after = Number(inDays.expiresAtMs) - inDays.createdAtMs
    t.ok(Math.abs(after - 30 * DAY_MS) < 1000, `${after} ms`)
    const atMs = inDays.createdAtMs + 12_345
    t.equal((await createOne(store, { expires: { atMs } })).expiresAtMs, atMs)
    t.equal((await createOne(store)).expiresAtMs, null)
  })

  t.test('no token is kept twice, and no token is a Fault', async t => {
    const given = newToken()
    await store.create(given, OPERATOR)
    const fault = await faultOf(store.create(given, OPERATOR))
    t.equal(fault.code, 'TOKEN_STORE_UNAVAILABLE')
    const [row] = await store.list({ userId: given.userId, includeInactive: true })
    t.equal(row?.digest, given.digest)
    t.equal((await createOne(store)).name, 'ci', 'the next statement works')
  })

  t.test('a list is newest first, and one user’s or one organisation’s', async t => {
    const { userId } = newToken()
    const [a, b, c] = await createTokens(store, 3, { userId, orgId: `org of ${userId}` })
    const other = await createOne(store, { orgId: `org of ${userId}` })
    const ids = async (filter: { userId?: string; orgId?: string }) =>
      (await store.list({ ...filter, includeInactive: false })).map(({ id }) => id)
    t.same(await ids({ userId }), [c?.id, b?.id, a?.id])
    t.same(await ids({ orgId: `org of ${userId}` }), [other.id, c?.id, b?.id, a?.id])
    t.same(await ids({ userId, orgId: 'another' }), [])
    t.ok((await ids({})).includes(other.id), 'an operator sees everybody’s')
  })

  t.test('a list has revoked and expired tokens when it is asked for them', async t => {
    const { userId } = newToken()
    const [a, b, c] = await createTokens(store, 3, { userId })
    await store.revoke(a?.id ?? '', userId, OPERATOR)
    await sql(`UPDATE tg_token SET expires_at = now() - interval '1 s' WHERE id = $1`, [b?.id])
    const list = async (includeInactive: boolean) =>
      (await store.list({ userId, includeInactive })).map(({ id }) => id)
    t.same(await list(false), [c?.id])
    t.same(await list(true), [c?.id, b?.id, a?.id])
  })

  t.test('a revocation is there when it answers, and gives what its barrier needs', async t => {
    const row = await createOne(store)
    const before = await poll()
    const { revokedAtMs, change } = made(await store.revoke(row.id, row.userId, OPERATOR))
    const { history, seq } = before
    t.same(change, {
      kind: 'revoke',
      ids: [row.id],
      seq: seq + 1,
      waitMs: LEASE_MS,
      history
    })
    const after = await poll(seq)
    t.same(after.events, [{ seq: seq + 1, kind: 'revoke', ids: [row.id] }])
    const found = await lookUp(row)
    t.equal(found.rows[0]?.revokedAtMs, revokedAtMs)
    t.equal(found.seq, change.seq, 'a look-up has the number of its own snapshot')
    t.ok(Math.abs(revokedAtMs - after.dbNowMs) < 5000)
  })

  t.test('a repeated revocation keeps its time and never gives a lower number', async t => {
    const row = await createOne(store)
    const first = made(await store.revoke(row.id, row.userId, OPERATOR))
    const again = made(await store.revoke(row.id, row.userId, OPERATOR))
    t.same(again, first)
    await store.revoke((await createOne(store)).id, undefined, OPERATOR)
    const third = made(await store.revoke(row.id, undefined, OPERATOR))
    t.equal(third.revokedAtMs, first.revokedAtMs)
    t.equal(third.change.seq, first.change.seq + 1)
  })

  t.test('a user revokes own tokens alone, an operator everybody’s', async t => {
    const row = await createOne(store)
    t.equal(await store.revoke(row.id, 'somebody else', OPERATOR), 'not-found')
    t.equal(await store.revoke(randomUUID(), undefined, OPERATOR), 'not-found')
    t.equal((await lookUp(row)).rows[0]?.revokedAtMs, null)
    t.not(await store.revoke(row.id, undefined, OPERATOR), 'not-found')
  })

  t.test('many tokens are revoked as one event', async t => {
    const { userId } = newToken()
    const orgId = `org of ${userId}`
    const mine = await createTokens(store, 3, { userId, orgId })
    const others = await createTokens(store, 2, { orgId })
    const { seq } = await poll()
    const byUser = await store.revokeMany({ userId, orgId }, OPERATOR)
    t.same(byUser.ids.toSorted(), mine.map(({ id }) => id).toSorted())
    t.match(byUser.change, { kind: 'revoke', ids: byUser.ids, seq: seq + 1, waitMs: LEASE_MS })
    const { events } = await poll(seq)
    t.equal(events.length, 1)
    t.same(events[0]?.ids.toSorted(), byUser.ids.toSorted())
    const byOrg = await store.revokeMany({ orgId }, OPERATOR)
    t.same(byOrg.ids.toSorted(), others.map(({ id }) => id).toSorted())
    const none = await store.revokeMany({ orgId }, OPERATOR)
    t.same(none, { ids: [], change: undefined })
  })

  t.test('many tokens are revoked by the time they were created', async t => {
    const { userId } = newToken()
    const [a] = await createTokens(store, 1, { userId })
    await sql(`UPDATE tg_token SET created_at = to_timestamp(1000) WHERE id = $1`, [a?.id])
    await createOne(store, { userId })
    const at = (createdBeforeMs: number) => store.revokeMany({ userId, createdBeforeMs }, OPERATOR)
    t.same((await at(1_000_000)).ids, [], 'the very instant is not before it')
    t.same((await at(1_000_001)).ids, [a?.id])
  })

  t.test('nothing is revoked without a filter', async t => {
    const row = await createOne(store)
    t.equal((await faultOf(store.revokeMany({}, OPERATOR))).code, 'TOKEN_STORE_UNAVAILABLE')
    t.equal((await lookUp(row)).rows[0]?.revokedAtMs, null)
  })

  t.test('a rotated token has the same rights, and the old one ends after the grace', async t => {
    const old = await createOne(store, {
      orgId: 'o1',
      scopes: ['scans:read', 'scans:trigger'],
      repositories: ['r1'],
      requireSignature: true,
      expires: { inDays: 9 }
    })
    const fresh = { digest: newToken().digest, preview: 'ci_new', graceSeconds: 60 }
    const { seq } = await poll()
    const { row, change } = made(await store.rotate(old.id, old.userId, fresh, OPERATOR))
    const { createdAtMs, id } = row
    t.same(row, { ...old, id, createdAtMs, digest: fresh.digest, preview: 'ci_new' })
    t.not(id, old.id)
    t.match(change, { kind: 'change', ids: [old.id], seq: seq + 1, waitMs: LEASE_MS })
    t.same((await poll(seq)).events, [{ seq: seq + 1, kind: 'change', ids: [old.id] }])
    const { rows, dbNowMs } = await lookUp(old)
    t.ok(Math.abs(Number(rows[0]?.expiresAtMs) - dbNowMs - 60_000) < 5000)
    t.equal(rows[0]?.revokedAtMs, null)
  })

  t.test('a rotation never lets a token live longer', async t => {
    const old = await createOne(store, { expires: { inDays: 1 } })
    const fresh = { digest: newToken().digest, preview: 'p', graceSeconds: 30 * 86_400 }
    const { row } = made(await store.rotate(old.id, old.userId, fresh, OPERATOR))
    t.equal(row.expiresAtMs, old.expiresAtMs)
    t.equal((await lookUp(old)).rows[0]?.expiresAtMs, old.expiresAtMs)
  })

  t.test('what is not there, revoked or over is not rotated', async t => {
    const rotate = (id: string, userId: string) =>
      store.rotate(
        id,
        userId,
        { digest: newToken().digest, preview: 'p', graceSeconds: 0 },
        OPERATOR
      )
    const row = await createOne(store)
    t.equal(await rotate(randomUUID(), row.userId), 'not-found')
    t.equal(await rotate(row.id, 'somebody else'), 'not-found')
    made(await rotate(row.id, row.userId))
    t.equal(await rotate(row.id, row.userId), 'inactive', 'no grace was left')
    const revoked = await createOne(store)
    await store.revoke(revoked.id, revoked.userId, OPERATOR)
    t.equal(await rotate(revoked.id, revoked.userId), 'inactive')
    t.equal((await store.list({ userId: revoked.userId, includeInactive: true })).length, 1)
  })

  t.test('a change is confirmed while it is there, in the same history', async t => {
    const row = await createOne(store)
    const { change } = made(await store.revoke(row.id, row.userId, OPERATOR))
    t.equal(await store.confirm(change), true)
    t.equal(await store.confirm({ ...change, history: 'another' }), false)
    t.equal(await store.confirm({ ...change, seq: change.seq + 1 }), false)
    await sql('UPDATE tg_token SET revoked_at = NULL WHERE id = $1', [row.id])
    t.equal(await store.confirm(change), false, 'the revocation was undone')
    t.equal(await store.confirm({ ...change, kind: 'change' }), true)
    await sql('DELETE FROM tg_token WHERE id = $1', [row.id])
    t.equal(await store.confirm(change), true, 'what is gone is in force')
  })

  t.test('a look-up gives what it finds, and the epoch also where it finds nothing', async t => {
    const rows = await createTokens(store, 3)
    const found = await lookUp(...rows, newToken())
    t.same(new Set(found.rows.map(({ id }) => id)), new Set(rows.map(({ id }) => id)))
    const { rows: none, ...epoch } = await lookUp(newToken())
    t.same(none, [])
    const { events: _, ...polled } = await poll()
    t.same({ ...epoch, dbNowMs: 0 }, { ...polled, dbNowMs: 0 })
    t.match(epoch, { isStandby: false, leaseMs: LEASE_MS, member: undefined })
    t.match(epoch.history, /^\d+(?:\.\d+)?\/[\dA-F]{8}$/)
    t.ok(Math.abs(epoch.dbNowMs - Date.now()) < 5000)
  })

  t.test('a replica is in the list from its joining to its leaving', async t => {
    const [id, other] = [randomUUID(), randomUUID()]
    const key = new Uint8Array(32).fill(7)
    const memberOf = async () => (await epochs.poll(id, 0, 2000)).member
    t.equal(await memberOf(), undefined)
    await epochs.join(id, key)
    await epochs.join(other, key)
    t.equal(await memberOf(), 'live')
    t.equal((await faultOf(epochs.join(id, key))).code, 'TOKEN_STORE_UNAVAILABLE')
    const mine = (await epochs.members(60_000)).find(member => member.id === id)
    t.same(mine && { ...mine, ackKey: new Uint8Array(mine.ackKey) }, {
      id,
      ackKey: key,
      state: 'live'
    })
    await epochs.remove([id])
    t.equal(await memberOf(), 'live', 'only who is leaving is removed')
    await epochs.leave(id)
    t.equal(await memberOf(), undefined)
    await epochs.leave(id)
    const left = (await epochs.members(60_000)).map(member => member.id)
    t.ok(left.includes(other) && !left.includes(id))
    await epochs.leave(other)
  })

  t.test('who is silent is marked as leaving, and still listed until it is removed', async t => {
    const [silent, lively] = [randomUUID(), randomUUID()]
    for (const id of [silent, lively]) await epochs.join(id, new Uint8Array(32))
    await sql(`UPDATE tg_replica SET seen_at = now() - interval '1 h' WHERE id IN ($1, $2)`, [
      silent,
      lively
    ])
    await epochs.beat(lively)
    const stateOf = async (id: string) =>
      (await epochs.members(10_000)).find(member => member.id === id)?.state
    t.equal(await stateOf(silent), 'leaving', 'seen by the very statement that lists it')
    t.equal(await stateOf(lively), 'live')
    await epochs.beat(silent)
    t.equal(await stateOf(silent), 'leaving', 'there is no way back')
    t.equal((await epochs.poll(silent, 0, 2000)).member, 'leaving')
    t.equal((await epochs.lookUp(silent, [], 2000)).member, 'leaving')
    await epochs.remove([silent, lively])
    t.equal(await stateOf(silent), undefined)
    t.equal(await stateOf(lively), 'live')
    await epochs.leave(lively)
  })

  t.test('whether nonces were ever kept is remembered for good', async t => {
    const history = createNonceHistory(database)
    t.equal(await history.wasEverUsed(), false)
    await history.noteUse()
    t.equal(await history.wasEverUsed(), true)
    const since = () => sql('SELECT nonce_since::text FROM tg_epoch')
    const first = await since()
    await history.noteUse()
    t.same(await since(), first)
  })

  t.test('times of last use are written as a batch, and the latest one counts', async t => {
    const { userId } = newToken()
    const [a, b] = await createTokens(store, 2, { userId })
    const { seq } = await poll()
    const lastUsed = createLastUsed({ database, observer: createRecorder(), log: createLog() })
    const [idA, idB] = [a?.id ?? '', b?.id ?? '']
    for (const atMs of [2000, 3000, 1000]) lastUsed.used(idA, atMs)
    lastUsed.used(idB, 5000)
    lastUsed.used(randomUUID(), 1 /* a token that is gone */)
    await lastUsed.stop()
    const times = async () =>
      (await store.list({ userId, includeInactive: false })).map(row => row.lastUsedAtMs)
    t.same(await times(), [5000, 3000])
    lastUsed.used(idA, 2500)
    lastUsed.used(idB, 6000)
    await lastUsed.stop()
    t.same(await times(), [6000, 3000], 'another replica may be behind')
    t.equal((await poll()).seq, seq, 'a use is no change')
  })

  t.test('times of last use are written every so often', async t => {
    const row = await createOne(store)
    const options = { database, observer: createRecorder(), log: createLog(), everyMs: 10 }
    const lastUsed = createLastUsed(options)
    lastUsed.start()
    for (const atMs of [1000, 2000]) {
      lastUsed.used(row.id, atMs)
      await until(async () => {
        const [listed] = await store.list({ userId: row.userId, includeInactive: false })
        return listed?.lastUsedAtMs === atMs
      })
    }
    await lastUsed.stop()
    t.pass()
  })

  t.test('a batch that could not be written comes with the next one', async t => {
    const { userId } = newToken()
    const [a, b] = await createTokens(store, 2, { userId })
    let isDown = true
    const log = createLog()
    const flaky: Database = {
      ...database,
      query: async (...given) => {
        if (isDown) throw new Fault('TOKEN_STORE_UNAVAILABLE')
        return database.query(...given)
      }
    }
    const lastUsed = createLastUsed({ database: flaky, observer: createRecorder(), log })
    lastUsed.used(a?.id ?? '', 1000)
    await lastUsed.stop()
    t.same(log.lines, ['warn times of last use are not written yet'])
    lastUsed.used(b?.id ?? '', 2000)
    isDown = false
    await lastUsed.stop()
    const rows = await store.list({ userId, includeInactive: false })
    t.same(
      rows.map(row => row.lastUsedAtMs),
      [2000, 1000]
    )
  })

  t.test('beyond a bound a use is dropped and counted', async t => {
    const { userId } = newToken()
    const [a, b, c] = await createTokens(store, 3, { userId })
    const observer = createRecorder()
    const lastUsed = createLastUsed({ database, observer, log: createLog(), capacity: 2 })
    for (const row of [a, b, c, c, a]) lastUsed.used(row?.id ?? '', 1000)
    t.equal(observer.total('last_used_dropped_total'), 2)
    await lastUsed.stop()
    const rows = await store.list({ userId, includeInactive: false })
    t.same(
      rows.map(row => row.lastUsedAtMs),
      [null, 1000, 1000]
    )
  })

  t.test('a deleted token leaves no time of use behind', async t => {
    const row = await createOne(store)
    const lastUsed = createLastUsed({ database, observer: createRecorder(), log: createLog() })
    lastUsed.used(row.id, 1000)
    await lastUsed.stop()
    const count = async () =>
      (await sql('SELECT token_id FROM tg_last_use WHERE token_id = $1', [row.id])).length
    t.equal(await count(), 1)
    await sql('DELETE FROM tg_token WHERE id = $1', [row.id])
    t.equal(await count(), 0)
  })
}
