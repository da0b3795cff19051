/** P4: tokens that are all seen for the first time, beside as many single-row queries. */
import { createHash } from 'node:crypto'
import { Pool as Postgres } from 'pg'
import { Pool } from 'undici'
import { call } from '../../test/support/gate.ts'
import { type Lab, PATH } from '../lab.ts'
import type { Result } from '../result.ts'
import type { Rounds } from '../rounds.ts'

const TOKENS = 10_000
const CONNECTIONS = 64
const SLOWEST_MS = 250

/** Every item once, so many at a time; gives the slowest of them in ms, and all together. */
async function inParallel<T>(items: readonly T[], run: (item: T) => Promise<void>) {
  const left = items.values()
  let slowestMs = 0
  const startedMs = performance.now()
  const workers = Array.from({ length: CONNECTIONS }, async () => {
    for (const item of left) {
      const fromMs = performance.now()
      await run(item)
      slowestMs = Math.max(slowestMs, performance.now() - fromMs)
    }
  })
  await Promise.all(workers)
  return { slowestMs, totalMs: performance.now() - startedMs }
}

export async function measureHerd(lab: Lab, _rounds: Rounds): Promise<readonly Result[]> {
  await using gate = await lab.startGate({ CACHE_MAX_TOKENS: String(TOKENS * 2) })
  const tokens = await lab.makeTokens(TOKENS)
  const queries = async () => {
    const { text } = await call(`http://127.0.0.1:${gate.adminPort}/metrics`)
    return Number(/^tollgate_token_query_seconds_count (\d+)$/m.exec(text)?.[1])
  }
  const before = await queries()
  // The cheapest client there is: what it takes from the machine is in every request's time.
  const clients = new Pool(gate.url, { connections: CONNECTIONS, pipelining: 1 })
  const first = await inParallel(tokens, async token => {
    const headers = { authorization: `Bearer ${token}` }
    const { statusCode, body } = await clients.request({ path: PATH, method: 'GET', headers })
    await body.dump()
    if (statusCode !== 200) throw new Error(`a new token: ${statusCode}`)
  })
  await clients.close()
  const asked = (await queries()) - before
  const postgres = new Postgres({ connectionString: lab.database.url, max: 4 })
  const text = 'SELECT * FROM tg_token WHERE digest = $1'
  const single = await inParallel(tokens, async token => {
    const digest = createHash('sha256').update(token).digest()
    await postgres.query({ name: 'one', text, values: [digest] })
  })
  await postgres.end()
  return [
    {
      row: 'P4',
      work: `${TOKENS} tokens seen for the first time, ${CONNECTIONS} connections`,
      figure: `${asked} round trips, slowest request ${first.slowestMs.toFixed(0)} ms, all ${(first.totalMs / 1000).toFixed(1)} s`,
      reference: `pg alone, one row each: ${TOKENS} round trips, slowest ${single.slowestMs.toFixed(0)} ms, all ${(single.totalMs / 1000).toFixed(1)} s`,
      ratio: asked / TOKENS,
      goal: `≤ 0.125 × round trips, none over ${SLOWEST_MS} ms`,
      isHeld: asked <= TOKENS / 8 && first.slowestMs <= SLOWEST_MS
    }
  ]
}
