/** P1, P2, P3 and what the access log costs: CPU per request, beside what others would run. */
import { createHash, createHmac, randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePort } from '../../test/support/gate.ts'
import { type BenchGate, type Lab, PATH } from '../lab.ts'
import { hasWrk } from '../load.ts'
import { hasLua, hasNginx, PASS, proxyTo, startNginx } from '../nginx.ts'
import { launch, listens, PROXY_CORE } from '../processes.ts'
import { type Result, skipped } from '../result.ts'
import { type Cost, costOf, type Rounds, type Side } from '../rounds.ts'

const SIGNED_PATH = '/api/scans/trigger/repo-1'
const CONNECTIONS = 32
const REFERENCES = join(import.meta.dirname, '../references')

async function startLuaGate(lab: Lab) {
  const tokens = join(lab.folder, 'tokens.txt')
  writeFileSync(tokens, `${lab.token} ${lab.tokenId} user-1 scans:read,scans:trigger\n`)
  const { http = '' } = proxyTo(lab.upstreamPort)
  return startNginx({
    core: PROXY_CORE,
    withLua: true,
    http: `${http}\n init_worker_by_lua_block { require('gate').setUp('${tokens}', ${lab.redis.port}) }`,
    server: `location / { access_by_lua_block { require('gate').check() } ${PASS} }`
  })
}

async function startPlainNginx(lab: Lab) {
  return startNginx({
    core: PROXY_CORE,
    ...proxyTo(lab.upstreamPort),
    server: `location / { ${PASS} }`
  })
}

async function startPlainProxy(lab: Lab) {
  const port = await freePort()
  const pinned = launch(
    [process.execPath, '--max-semi-space-size=8', join(REFERENCES, 'plain-proxy.ts')],
    {
      core: PROXY_CORE,
      cwd: join(REFERENCES, '../..'),
      env: { PORT: String(port), UPSTREAM_URL: `http://127.0.0.1:${lab.upstreamPort}` }
    }
  )
  await listens(port)
  return { port, pid: pinned.pid, [Symbol.asyncDispose]: () => pinned[Symbol.asyncDispose]() }
}

function text({ micros, spreadPercent, perSecond }: Cost): string {
  return `${micros.toFixed(1)} µs (± ${spreadPercent.toFixed(0)} %, ${Math.round(perSecond)}/s)`
}

/** P1 and P2, and the access log. */
export async function measureUnsigned(lab: Lab, rounds: Rounds): Promise<readonly Result[]> {
  const work = 'unsigned GET, cached token: CPU a request'
  if (!hasWrk()) return [skipped('P1', work, 'needs wrk')]
  await using stack = new AsyncDisposableStack()
  const gate = stack.use(await lab.startGate())
  const logging = stack.use(await lab.startGate({ ACCESS_LOG: 'all' }))
  const headers = [`Authorization: Bearer ${lab.token}`]
  const side = (name: string, { port, pid }: Pick<BenchGate, 'port' | 'pid'>): Side => ({
    name,
    pid,
    round: () => ({
      url: `http://127.0.0.1:${port}${PATH}`,
      seconds: rounds.seconds,
      connections: CONNECTIONS,
      headers
    })
  })
  const sides = [
    side('gate', gate),
    side('logging', logging),
    side('proxy', stack.use(await startPlainProxy(lab)))
  ]
  if (hasNginx()) sides.push(side('nginx', stack.use(await startPlainNginx(lab))))
  if (hasLua()) sides.push(side('lua', stack.use(await startLuaGate(lab))))
  const costs = await costOf(sides, rounds)
  const own = costs.get('gate')
  if (!own) throw new Error('the gate was not measured')
  const compare = (row: string, what: string, name: string, reference: string, most: number) => {
    const other = costs.get(name)
    if (!other) return skipped(row, what, `needs ${reference}`)
    const ratio = own.micros / other.micros
    return {
      row,
      work: what,
      figure: text(own),
      reference: `${reference} ${text(other)}`,
      ratio,
      goal: `≤ ${most} ×`,
      isHeld: ratio <= most
    }
  }
  const logged = costs.get('logging')
  return [
    compare('P1', work, 'lua', 'nginx + Lua gate', 1.6),
    compare('P1', work, 'nginx', 'plain nginx', 3),
    compare('P2', work, 'proxy', 'plain @fastify/http-proxy', 0.75),
    {
      row: 'P1',
      work: 'the same with ACCESS_LOG=all',
      figure: logged ? text(logged) : '',
      reference: `gate without ${text(own)}`,
      ratio: logged && logged.micros / own.micros,
      goal: '',
      isHeld: undefined
    }
  ]
}

/** Token and body, then a line a request: more than any side can send in a round. */
function writeSigned(lab: Lab, file: string, count: number): void {
  const body = JSON.stringify({ ref: 'main', note: 'x'.repeat(1000) })
  const bodyHash = createHash('sha256').update(body).digest('hex')
  const lines = Array.from({ length: count }, () => {
    const timestamp = String(Date.now())
    const nonce = randomBytes(16).toString('hex')
    const signed = `${timestamp}:${nonce}:POST:${SIGNED_PATH}:${bodyHash}`
    return `${timestamp} ${nonce} ${createHmac('sha256', lab.token).update(signed).digest('hex')}`
  })
  writeFileSync(file, [lab.token, body, ...lines].join('\n'))
}

const MOST_SIGNED_A_SECOND = 25_000

export async function measureSigned(lab: Lab, rounds: Rounds): Promise<readonly Result[]> {
  const work = 'signed POST, 1 KiB JSON, nonce in Redis: CPU a request'
  if (!hasWrk()) return [skipped('P3', work, 'needs wrk')]
  if (!hasLua()) return [skipped('P3', work, 'needs nginx with Lua')]
  await using stack = new AsyncDisposableStack()
  const gate = stack.use(await lab.startGate())
  const lua = stack.use(await startLuaGate(lab))
  const file = join(lab.folder, 'signed.txt')
  const side = (name: string, { port, pid }: Pick<BenchGate, 'port' | 'pid'>): Side => ({
    name,
    pid,
    round: () => {
      writeSigned(lab, file, rounds.seconds * MOST_SIGNED_A_SECOND)
      return {
        url: `http://127.0.0.1:${port}${SIGNED_PATH}`,
        seconds: rounds.seconds,
        connections: CONNECTIONS,
        script: [join(REFERENCES, 'signed.lua'), file]
      }
    }
  })
  const costs = await costOf([side('gate', gate), side('lua', lua)], rounds)
  const [own, other] = [costs.get('gate'), costs.get('lua')]
  if (!own || !other) throw new Error('not measured')
  const ratio = own.micros / other.micros
  return [
    {
      row: 'P3',
      work,
      figure: text(own),
      reference: `nginx + Lua gate ${text(other)}`,
      ratio,
      goal: '≤ 1.2 ×',
      isHeld: ratio <= 1.2
    }
  ]
}
