/** P6 and P7: what a replica weighs, and how long it takes to be ready. */
import { spawnSync } from 'node:child_process'
import { cpSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { call, freePort } from '../../test/support/gate.ts'
import { DIST, type Lab, NODE_FLAGS, PATH } from '../lab.ts'
import { hasWrk, load } from '../load.ts'
import { launch, listens, PROXY_CORE, residentMiB } from '../processes.ts'
import { median, type Result, skipped } from '../result.ts'
import type { Rounds } from '../rounds.ts'

const TOKENS = 10_000
const SETTLE_MS = 3000

export async function measureMemory(lab: Lab, { seconds }: Rounds): Promise<readonly Result[]> {
  await using stack = new AsyncDisposableStack()
  const gate = stack.use(await lab.startGate())
  const port = await freePort()
  const file = join(import.meta.dirname, '../references/bare-fastify.ts')
  // Emitted code beside emitted code: stripping types at start costs memory.
  const bare = stack.use(
    launch([process.execPath, ...NODE_FLAGS, file], {
      core: PROXY_CORE,
      cwd: join(import.meta.dirname, '../..'),
      env: { PORT: String(port), NODE_ENV: 'production' }
    })
  )
  await listens(port)
  await sleep(SETTLE_MS)
  const idle = { own: residentMiB(gate.pid), bare: residentMiB(bare.pid) }
  const rows: Result[] = [
    {
      row: 'P6',
      work: 'resident memory, idle',
      figure: `${idle.own.toFixed(0)} MiB`,
      reference: `bare Fastify ${idle.bare.toFixed(0)} MiB`,
      ratio: idle.own / idle.bare,
      goal: '≤ 1.6 ×',
      isHeld: idle.own <= idle.bare * 1.6
    }
  ]
  if (!hasWrk()) return [...rows, skipped('P6', 'resident memory, loaded', 'needs wrk')]
  for (const token of await lab.makeTokens(TOKENS)) {
    await call(gate.url + PATH, { bearer: token })
  }
  const connections = 200
  const headers = [`Authorization: Bearer ${lab.token}`]
  await load({ url: gate.url + PATH, seconds: seconds * 2, connections, headers })
  await load({ url: `http://127.0.0.1:${port}${PATH}`, seconds: seconds * 2, connections })
  const loaded = { own: residentMiB(gate.pid), bare: residentMiB(bare.pid) }
  rows.push({
    row: 'P6',
    work: `resident memory, ${TOKENS} cached tokens, ${connections} connections under load`,
    figure: `${loaded.own.toFixed(0)} MiB`,
    reference: `bare Fastify ${loaded.bare.toFixed(0)} MiB`,
    ratio: loaded.own / loaded.bare,
    goal: '≤ 2.2 ×',
    isHeld: loaded.own <= loaded.bare * 2.2
  })
  return rows
}

export async function measureStart(lab: Lab, { count }: Rounds): Promise<readonly Result[]> {
  // As the image has it, and beside it a copy of which no code is kept.
  const cold = join(lab.folder, 'dist')
  cpSync(join(DIST, '../package.json'), join(lab.folder, 'package.json'))
  cpSync(DIST, cold, { recursive: true, filter: path => !path.endsWith('.code') })
  const [kept, fresh, bare]: [number[], number[], number[]] = [[], [], []]
  for (let n = 0; n < count * 2; n++) {
    kept.push(await timeToReady(lab, DIST))
    fresh.push(await timeToReady(lab, cold))
    const startedMs = performance.now()
    spawnSync('taskset', ['-c', String(PROXY_CORE), process.execPath, '-e', '0'])
    bare.push(performance.now() - startedMs)
  }
  const [ready, node] = [median(kept), median(bare)]
  return [
    {
      row: 'P7',
      work: 'from exec to /readyz 200, with kept code',
      figure: `${ready.toFixed(0)} ms (without it ${median(fresh).toFixed(0)} ms)`,
      reference: `node -e 0: ${node.toFixed(0)} ms`,
      ratio: ready / node,
      goal: '≤ 400 ms',
      isHeld: ready <= 400
    }
  ]
}

async function timeToReady(lab: Lab, dist: string): Promise<number> {
  const startedMs = performance.now()
  const gate = await lab.startGate({}, dist)
  const tookMs = performance.now() - startedMs
  await gate[Symbol.asyncDispose]()
  return tookMs
}
