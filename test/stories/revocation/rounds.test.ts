/**
 * The promise by the numbers: a token that works on three replicas under load is dead on all of them
 * when DELETE answers, each time; and so is whatever else narrows a token.
 */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { builtCli } from '../../support/built.ts'
import { effort } from '../../support/effort.ts'
import { call, createToken, eventually } from '../../support/gate.ts'
import { percentile } from '../../support/percentile.ts'
import {
  isDeadEverywhere,
  noticedNothing,
  startLinkedFleet,
  startLoad,
  TOKENS,
  WAIT_MS,
  wasAcknowledged
} from './fleet.ts'

t.setTimeout(effort(100_000, 1_500_000))

const fleet = await startLinkedFleet(t)
const { gates, database, jwt } = fleet
const [first, second, third] = gates
const living = await createToken(first)

/** On each replica at once; who is told to ask again does. */
const statuses = (token: string) =>
  Promise.all(
    gates.map(gate =>
      eventually('a verdict', async () => {
        const { status } = await fleet.use(gate, token)
        return status !== 503 && status
      })
    )
  )

/** 503 is no verdict, and no acceptance either: it is looked at again. */
const isDead = async (t: Test, token: string) => {
  await isDeadEverywhere(t, fleet, token, ['401', '503'])
  const verdicts = await statuses(token)
  if (verdicts.some(status => status !== 401)) t.fail(`dead, and yet: ${verdicts.join(' ')}`)
}

t.test('no replica accepts a token after its DELETE was answered, round after round', async t => {
  const rounds = effort(40, 1000)
  const load = startLoad(gates, living.token)
  const tookMs: number[] = []
  for (let round = 0; round < rounds; round++) {
    const { id, token } = await createToken(gates[round % 3] ?? first)
    const before = await statuses(token)
    if (before.some(status => status !== 200)) t.fail(`before: ${before.join(' ')}`)
    const startedMs = performance.now()
    const deleted = await fleet.revoke(gates[(round + 1) % 3] ?? second, id)
    tookMs.push(performance.now() - startedMs)
    if (deleted.status !== 200) t.fail(`DELETE: ${deleted.status} ${deleted.text}`)
    await isDead(t, token)
  }
  const seen = await load.stop()
  noticedNothing(t, seen)
  const [p50, p99] = [percentile(tookMs, 0.5), percentile(tookMs, 0.99)]
  t.comment(
    `${rounds} rounds, 0 acceptances after the answer, ${seen['200']} other requests; ` +
      `DELETE p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms`
  )
})

t.test('a rotation without grace ends the old token as a revocation does', async t => {
  for (let round = 0; round < effort(3, 50); round++) {
    const { id, token } = await createToken(first)
    t.same(await statuses(token), [200, 200, 200])
    const rotated = await call(`${second.url}${TOKENS}/${id}/rotate`, {
      method: 'POST',
      bearer: jwt,
      body: { graceSeconds: 0 }
    })
    t.equal(rotated.status, 201)
    await isDead(t, token)
    t.same(await statuses(String(rotated.json['token'])), [200, 200, 200])
  }
})

const run = promisify(execFile)

/** As an operator runs it, on the same database and Redis. */
async function tollgate(...args: readonly string[]): Promise<string> {
  const env = {
    PATH: process.env['PATH'] ?? '',
    DATABASE_URL: database.url,
    REDIS_URL: fleet.redis.url
  }
  const { stdout } = await run(process.execPath, [builtCli(), ...args], { env })
  return stdout
}

t.test('a bulk revocation by the command line is one change and one barrier', async t => {
  for (let round = 0; round < effort(1, 50); round++) {
    const made = await Promise.all([1, 2, 3].map(() => createToken(first)))
    for (const { token } of made) t.same(await statuses(token), [200, 200, 200])
    const seqOf = async () => Number((await database.sql('SELECT seq FROM tg_epoch'))[0]?.['seq'])
    const before = await seqOf()
    const out = await tollgate('tokens', 'revoke', '--all-of-user', 'user-1', '--output', 'json')
    const printed: unknown = JSON.parse(out)
    t.match(printed, { success: true, barrier: { replicas: 3, acknowledged: 3 } })
    t.equal(await seqOf(), before + 1)
    for (const { token } of made) await isDead(t, token)
  }
  t.same(await statuses(living.token), [401, 401, 401], 'it is a token of that user, too')
})

t.test('a token is revoked by the command line as by the API', async t => {
  for (let round = 0; round < effort(1, 50); round++) {
    const { id, token } = await createToken(third)
    t.same(await statuses(token), [200, 200, 200])
    t.match(await tollgate('tokens', 'revoke', id), '3 of 3 replicas acknowledged')
    await isDead(t, token)
  }
})

t.test('what SQL narrows is in force everywhere without anybody being told', async t => {
  const changes = [
    [`UPDATE tg_token SET scopes = '{drifts:read}' WHERE id = $1`, 403],
    [`UPDATE tg_token SET require_signature = true WHERE id = $1`, 401],
    [`UPDATE tg_token SET org_id = 'other' WHERE id = $1`, 200],
    [`UPDATE tg_token SET expires_at = clock_timestamp() WHERE id = $1`, 401],
    [`DELETE FROM tg_token WHERE id = $1`, 401]
  ] as const
  const made = await Promise.all(changes.map(() => createToken(first)))
  const many = await Promise.all(Array.from({ length: 5 }, () => createToken(second)))
  for (const { token } of [...made, ...many]) t.same(await statuses(token), [200, 200, 200])
  await database.sql(
    `INSERT INTO tg_token (digest, preview, user_id, name, scopes)
      SELECT sha256(n::text::bytea), 'p', 'many', 'n', '{scans:read}' FROM generate_series(1, 2000) n`
  )
  for (const [index, [text]] of changes.entries()) await database.sql(text, [made[index]?.id])
  // More than a thousand at once are announced as "all".
  await database.sql(
    `UPDATE tg_token SET revoked_at = clock_timestamp()
    WHERE user_id = 'many' OR id = ANY ($1)`,
    [many.map(({ id }) => id)]
  )
  const committedMs = performance.now()
  await eventually('the time of a revoker is over', () => performance.now() - committedMs > WAIT_MS)
  for (const [index, [text, status]] of changes.entries()) {
    t.same(await statuses(made[index]?.token ?? ''), [status, status, status], text)
  }
  for (const { token } of many) await isDead(t, token)
})

t.test('the lease is raised and lowered while tokens are revoked', async t => {
  const round = async () => {
    const { id, token } = await createToken(first)
    t.same(await statuses(token), [200, 200, 200])
    wasAcknowledged(t, await fleet.revoke(second, id))
    await isDead(t, token)
  }
  await t.rejects(database.sql('UPDATE tg_epoch SET lease_ms = 3000'), /check constraint/)
  await database.sql('UPDATE tg_epoch SET lease_ms = 3000, wait_ms = 3000')
  await round()
  await t.rejects(database.sql('UPDATE tg_epoch SET wait_ms = 500'), /check constraint/)
  await database.sql('UPDATE tg_epoch SET lease_ms = 500')
  await round()
  await database.sql('UPDATE tg_epoch SET wait_ms = 500')
  await round()
})
