/** Many tokens at once, and the embedded gate: the same promise, few queries. */
import { createHash, randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { makeToken } from '../../../src/core/token.ts'
import { effort } from '../../support/effort.ts'
import { startFleet } from '../../support/fleet.ts'
import { call, createToken, type GateProcess, startGate, userJwt } from '../../support/gate.ts'
import { percentile } from '../../support/percentile.ts'
import { noticedNothing, PATH, receiptOf, startLoad, TOKENS } from './fleet.ts'

t.setTimeout(effort(110_000, 600_000))

const COUNT = effort(500, 10_000)
/** Asked at once, then the next as many: a herd comes together. */
const HERD = 250
const jwt = await userJwt()

/** Each token once, a herd at a time; gives how often each status came. */
async function useAll(gate: GateProcess, tokens: readonly string[]) {
  const seen: Record<string, number> = {}
  for (let from = 0; from < tokens.length; from += HERD) {
    const herd = tokens.slice(from, from + HERD)
    const answers = await Promise.all(herd.map(token => call(gate.url + PATH, { bearer: token })))
    for (const { status } of answers) seen[status] = (seen[status] ?? 0) + 1
  }
  return seen
}

/** Its last character is another one, so its checksum is wrong. */
const mistyped = (token: string) => token.slice(0, -1) + (token.endsWith('0') ? '1' : '0')
const newTokens = () => Array.from({ length: COUNT }, () => makeToken(randomBytes))

t.test('R6: many tokens that are seen for the first time are read in few queries', async t => {
  const fleet = await startFleet(t, { env: { CACHE_MAX_TOKENS: String(COUNT * 2) } })
  const [gate] = fleet.gates
  if (!gate) throw new Error('no gate')
  const { token } = await createToken(gate)
  t.equal((await call(gate.url + PATH, { bearer: token })).status, 200)
  const lookUps = async () => {
    const { text } = await call(`${gate.adminUrl}/metrics`)
    return Number(/^tollgate_token_query_seconds_count (\d+)$/m.exec(text)?.[1])
  }
  const load = startLoad([gate], token)
  const before = await lookUps()
  t.same(await useAll(gate, newTokens()), { 401: COUNT })
  const unknown = (await lookUps()) - before
  const asked = await lookUps()
  t.same(await useAll(gate, newTokens().map(mistyped)), { 401: COUNT })
  t.equal(await lookUps(), asked, 'no query for a wrong checksum')

  const valid = newTokens()
  await fleet.database.sql(
    `INSERT INTO tg_token (digest, preview, user_id, name, scopes)
      SELECT decode(hex, 'hex'), 'p', 'u', 'n', '{scans:read}' FROM unnest($1::text[]) hex`,
    [valid.map(each => createHash('sha256').update(each).digest('hex'))]
  )
  const between = await lookUps()
  t.same(await useAll(gate, valid), { 200: COUNT })
  const known = (await lookUps()) - between
  t.ok(unknown <= COUNT / 8, `${unknown} queries for ${COUNT} unknown tokens`)
  t.ok(known <= COUNT / 8, `${known} queries for ${COUNT} valid ones`)
  const cached = await lookUps()
  t.same(await useAll(gate, valid), { 200: COUNT })
  t.equal(await lookUps(), cached, 'all are cached now')
  noticedNothing(t, await load.stop())
  t.comment(`${COUNT} tokens: ${unknown} queries when unknown, ${known} when valid`)
})

t.test('more living tokens than the cache holds are slower, and never refused', async t => {
  const fleet = await startFleet(t, { env: { CACHE_MAX_TOKENS: '100' } })
  const [gate] = fleet.gates
  if (!gate) throw new Error('no gate')
  const valid = newTokens().slice(0, effort(300, 1000))
  await fleet.database.sql(
    `INSERT INTO tg_token (digest, preview, user_id, name, scopes)
      SELECT decode(hex, 'hex'), 'p', 'u', 'n', '{scans:read}' FROM unnest($1::text[]) hex`,
    [valid.map(each => createHash('sha256').update(each).digest('hex'))]
  )
  t.same(await useAll(gate, [...valid, ...valid]), { 200: valid.length * 2 })
})

t.test('the embedded gate keeps the promise alone, also after it was killed', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'tollgate-herds-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const start = async () => {
    const routes = join(import.meta.dirname, '../../../config/routes.yaml')
    const gate = await startGate({ cwd: folder, env: { ROUTES_FILE: routes } })
    t.teardown(() => gate.stop('SIGKILL'))
    return gate
  }
  const round = async (gate: GateProcess) => {
    const { token, id } = await createToken(gate)
    const use = () => call(gate.url + PATH, { bearer: token }).then(({ status }) => status)
    t.equal(await use(), 200)
    const startedMs = performance.now()
    const deleted = await call(`${gate.url}${TOKENS}/${id}`, { method: 'DELETE', bearer: jwt })
    const tookMs = performance.now() - startedMs
    t.match(receiptOf(deleted), { replicas: 1, acknowledged: 1 })
    t.equal(await use(), 401)
    return tookMs
  }
  const gate = await start()
  const tookMs: number[] = []
  for (let n = 0; n < effort(10, 1000); n++) tookMs.push(await round(gate))
  t.comment(
    `DELETE p50 ${percentile(tookMs, 0.5).toFixed(1)} ms, p99 ${percentile(tookMs, 0.99).toFixed(1)} ms`
  )
  await gate.stop('SIGKILL')
  // The row of the killed one is gone: nobody waits for its lease.
  const again = await start()
  t.comment(`first DELETE after the kill: ${(await round(again)).toFixed(1)} ms`)
  t.equal(await again.stop(), 0)
})
