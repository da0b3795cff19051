/**
 * The promise when the database is not the one it was, and when clocks are wrong: a standby answers, a
 * promoted server or an older copy has lost commits, the feed was pruned, somebody sets the time.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { startFaultProxy } from '../../support/fault-proxy.ts'
import { startFleet } from '../../support/fleet.ts'
import { call, createToken, eventually, type GateProcess, userJwt } from '../../support/gate.ts'
import { signedHeaders } from '../../support/signer.ts'
import { LEASE_MS, PATH, startLoad, TOKENS } from './fleet.ts'

t.setTimeout(110_000)

const jwt = await userJwt()
const use = (gate: GateProcess, token: string) => call(gate.url + PATH, { bearer: token })
const revoke = (gate: GateProcess, id: string) =>
  call(`${gate.url}${TOKENS}/${id}`, { method: 'DELETE', bearer: jwt })
/** The sum of a counter over the labels that are not given. */
const metric = async (gate: GateProcess, name: string, label = '') => {
  const { text } = await call(`${gate.adminUrl}/metrics`)
  return text
    .split('\n')
    .filter(line => line.startsWith(name) && line.includes(label))
    .reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0)
}

/** Until the gate gives this status; anything but 503 and `before` meanwhile fails the test. */
async function becomes(
  gate: GateProcess,
  token: string,
  status: number,
  before = 503
): Promise<void> {
  await eventually(`${status}`, async () => {
    const answer = await use(gate, token)
    if (![status, before, 503].includes(answer.status)) {
      throw new Error(`${answer.status} ${answer.text}`)
    }
    return answer.status === status
  })
}

/** Two gates that reach their database through one link. */
async function startLinked(t: Test) {
  const fleet = await startFleet(t, { gates: 0 })
  const link = await startFaultProxy(t, fleet.postgres.port)
  const url = fleet.database.url.replace(String(fleet.postgres.port), String(link.port))
  const [first, second] = await Promise.all([
    fleet.startGate({ DATABASE_URL: url }),
    fleet.startGate({ DATABASE_URL: url })
  ])
  return { ...fleet, link, first, second }
}

t.test('a standby is not believed; promoted, it is another history', async t => {
  const { postgres, link, first, second } = await startLinked(t)
  const good = await createToken(first)
  const gone = await createToken(first)
  for (const gate of [first, second]) {
    t.equal((await use(gate, good.token)).status, 200)
    t.equal((await use(gate, gone.token)).status, 200)
  }
  const standby = await postgres.startStandby()
  await standby.caughtUp()

  // The address leads to the standby: it answers, and nothing it says is used.
  link.target(standby.port)
  await becomes(first, good.token, 503, 200)
  t.equal((await revoke(second, gone.id)).status, 503)
  t.equal((await call(`${first.adminUrl}/readyz`)).status, 503)
  t.ok((await metric(first, 'tollgate_lease_renewals_total', 'result="standby"')) > 0)

  // Back at the primary one token is revoked. The standby has not heard of it when it takes over.
  link.target(postgres.port)
  await becomes(second, good.token, 200)
  await eventually('it is revoked', async () => (await revoke(first, gone.id)).status === 200)
  for (const gate of [first, second]) await becomes(gate, gone.token, 401)
  await standby.caughtUp()
  await postgres.kill()
  await standby.promote()
  link.target(standby.port)
  for (const gate of [first, second]) {
    const changes = () => metric(gate, 'tollgate_history_changes_total')
    await eventually('the change is noticed', async () => (await changes()) > 0)
    await becomes(gate, good.token, 200)
    t.equal((await use(gate, gone.token)).status, 401)
  }
  t.equal((await revoke(first, good.id)).status, 200)
  for (const gate of [first, second]) t.equal((await use(gate, good.token)).status, 401)
})

t.test('a revocation that the database lost is made again', async t => {
  const { postgres, database, link, first, second } = await startLinked(t)
  const good = await createToken(first)
  const gone = await createToken(first)
  for (const gate of [first, second]) t.equal((await use(gate, gone.token)).status, 200)
  await link.refuse()
  await postgres.stop()
  const restore = postgres.keepCopy()
  await postgres.start()
  await link.pass()
  await becomes(first, good.token, 200)
  await eventually('it is revoked', async () => (await revoke(first, gone.id)).status === 200)
  await becomes(second, gone.token, 401)

  await link.refuse()
  await postgres.stop()
  restore()
  await postgres.start()
  const [row] = await database.sql('SELECT revoked_at FROM tg_token WHERE id = $1', [gone.id])
  t.equal(row?.['revoked_at'], null, 'the copy knows nothing of it')
  await link.pass()
  for (const gate of [first, second]) {
    await becomes(gate, good.token, 200)
    t.equal((await use(gate, gone.token)).status, 401)
  }
  await eventually('the row is revoked again', async () => {
    const [again] = await database.sql('SELECT revoked_at FROM tg_token WHERE id = $1', [gone.id])
    return again?.['revoked_at'] !== null
  })
  const reapplied = await Promise.all(
    [first, second].map(gate => metric(gate, 'tollgate_revocations_reapplied_total'))
  )
  t.ok(Math.max(...reapplied) > 0)
  t.match(first.output() + second.output(), /"level":50[^\n]*revo/, 'the operator is told')
})

t.test('a feed with a gap clears the cache, and then all is normal', async t => {
  const { database, link, first, second } = await startLinked(t)
  const good = await createToken(first)
  const gone = await createToken(first)
  const cleared = () => metric(second, 'tollgate_cache_clears_total', 'cause="gap"')
  for (const { token } of [good, gone]) t.equal((await use(second, token)).status, 200)
  await database.sql(`INSERT INTO tg_token (digest, preview, user_id, name, scopes)
    SELECT sha256(n::text::bytea), 'p', 'many', 'n', '{a:b}' FROM generate_series(1, 1500) n`)
  // Both are cut off while more happens than one poll can tell.
  link.hold()
  await database.sql(`DO $$ BEGIN FOR n IN 1..1500 LOOP
    UPDATE tg_token SET name = 'x' WHERE digest = sha256(n::text::bytea); END LOOP; END $$`)
  await database.sql('UPDATE tg_token SET revoked_at = clock_timestamp() WHERE id = $1', [gone.id])
  link.release()
  await eventually('the cache is cleared', async () => (await cleared()) > 0)
  await becomes(second, good.token, 200)
  t.equal((await use(second, gone.token)).status, 401)

  const before = await cleared()
  link.hold()
  await database.sql(
    `UPDATE tg_token SET name = 'y' WHERE user_id = 'many' AND digest = sha256('7')`
  )
  await database.sql('UPDATE tg_epoch SET pruned_seq = seq; ')
  await database.sql('DELETE FROM tg_invalidation')
  link.release()
  await eventually('it is cleared again', async () => (await cleared()) > before)
  await becomes(second, good.token, 200)
})

const HOUR_MS = 3_600_000

t.test('whoever sets a clock gets one renewal, and no valid token a 401', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'tollgate-clock-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const file = join(folder, 'shift.json')
  const shift = (wallMs: number, bootMs = 0) => {
    writeFileSync(file, JSON.stringify({ wallMs, bootMs }))
  }
  shift(0)
  const fleet = await startFleet(t, { gates: 0 })
  const preload = join(import.meta.dirname, '../../support/clock-shift.mjs')
  const gate = await fleet.startGate({
    NODE_OPTIONS: `--import=${preload}`,
    CLOCK_SHIFT_FILE: file
  })
  const { token } = await createToken(gate)
  const expiring = await createToken(gate, {
    expiresAt: new Date(Date.now() + HOUR_MS / 2).toISOString()
  })
  const seen = new Set<string>()
  const ask = async () => {
    for (const text of [token, expiring.token]) {
      const plain = await use(gate, text)
      const headers = signedHeaders({ token: text, method: 'GET', path: PATH })
      const signed = await call(gate.url + PATH, { bearer: text, headers })
      for (const { status, json } of [plain, signed]) {
        seen.add(status === 200 ? '200' : `${status} ${String(json['code'] ?? json['message'])}`)
      }
    }
  }
  await ask()
  t.same([...seen], ['200'])
  const load = startLoad([gate], token)
  for (const [wallMs, bootMs] of [
    [HOUR_MS, 0],
    [-HOUR_MS, 0],
    [10_000, 0],
    [-10_000, 0],
    [0, 10_000],
    [0, 0]
  ] as const) {
    shift(wallMs, bootMs)
    await sleep(10)
    for (let n = 0; n < 5; n++) await ask()
    if (Math.abs(wallMs) === 10_000) {
      // The time is the database's: by this machine's, the one or the other would be wrong.
      const nowSeconds = Math.floor(Date.now() / 1000)
      const [over, good] = await Promise.all(
        [-8, 8].map(seconds => userJwt({ exp: nowSeconds + seconds }))
      )
      t.equal((await use(gate, over ?? '')).status, 401, `${wallMs}: a JWT that is over`)
      t.equal((await use(gate, good ?? '')).status, 200, `${wallMs}: a JWT that is good`)
      await eventually('the offset is told', async () => {
        const offset = await metric(gate, 'tollgate_clock_offset_seconds')
        return Math.abs(offset + wallMs / 1000) < 2
      })
    }
    if (Math.abs(wallMs) === HOUR_MS) {
      await eventually('it is not ready', async () => {
        const ready = await call(`${gate.adminUrl}/readyz`)
        return ready.status === 503 && JSON.stringify(ready.json).includes('clock')
      })
      // Here nobody can say which of the two clocks is wrong.
      const old = String(Date.now() - 10 * 60_000)
      const headers = signedHeaders({ token, method: 'GET', path: PATH, timestamp: old })
      const stale = await call(gate.url + PATH, { bearer: token, headers })
      t.match(stale, { status: 503, json: { code: 'CLOCK_UNSYNCHRONISED' } })
    }
  }
  await eventually('it is ready again', async () => {
    return (await call(`${gate.adminUrl}/readyz`)).status === 200
  })
  await ask()
  const traffic = await load.stop()
  t.same(
    [...seen, ...Object.keys(traffic)].filter(each => each !== '200' && !each.startsWith('503')),
    [],
    JSON.stringify([...seen])
  )
  t.ok((traffic['200'] ?? 0) > 0)
  t.comment(`lease of ${LEASE_MS} ms; seen: ${JSON.stringify(traffic)}, ${[...seen].join(', ')}`)
})

t.test('C6: a cached token ends at its expiry, by the time of the database', async t => {
  const fleet = await startFleet(t, { gates: 0 })
  const folder = mkdtempSync(join(tmpdir(), 'tollgate-clock-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  // One is 20 s ahead, one behind: by their own clocks they would be early and late.
  const gates = await Promise.all(
    [20_000, -20_000].map(wallMs => {
      const file = join(folder, `${wallMs}.json`)
      writeFileSync(file, JSON.stringify({ wallMs, bootMs: 0 }))
      const preload = join(import.meta.dirname, '../../support/clock-shift.mjs')
      return fleet.startGate({ NODE_OPTIONS: `--import=${preload}`, CLOCK_SHIFT_FILE: file })
    })
  )
  const [first] = gates
  if (!first) throw new Error('no gate')
  const { token, id } = await createToken(first)
  await fleet.database.sql(
    `UPDATE tg_token SET expires_at = clock_timestamp() + interval '4 s' WHERE id = $1`,
    [id]
  )
  const isOver = async () => {
    const [row] = await fleet.database.sql(
      'SELECT clock_timestamp() >= expires_at AS over FROM tg_token WHERE id = $1',
      [id]
    )
    return row?.['over'] === true
  }
  for (const gate of gates) await becomes(gate, token, 200)
  const seen = { early: 0, late: 0, good: 0, refused: 0 }
  while (seen.refused < 10) {
    const wasOver = await isOver()
    const answers = await Promise.all(gates.map(gate => use(gate, token)))
    const isOverNow = await isOver()
    for (const { status } of answers) {
      if (status === 401) seen[isOverNow ? 'refused' : 'early'] += 1
      else if (status === 200) seen[wasOver ? 'late' : 'good'] += 1
    }
    await sleep(10)
  }
  t.match(seen, { early: 0, late: 0 }, JSON.stringify(seen))
  t.ok(seen.good > 10, JSON.stringify(seen))
})
