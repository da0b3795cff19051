/** P8: a gigabyte each way. */
import { request } from 'node:http'
import { once } from 'node:events'
import { join } from 'node:path'
import { freePort } from '../../test/support/gate.ts'
import type { Lab } from '../lab.ts'
import { hasNginx, PASS, proxyTo, startNginx } from '../nginx.ts'
import { launch, listens, LOAD_CORE, PROXY_CORE, residentMiB } from '../processes.ts'
import { type Result, skipped } from '../result.ts'
import type { Rounds } from '../rounds.ts'

const MIB = 1_048_576
const PATH = '/api/scans/trigger/repo-1'

/** Sends so many bytes, takes as many back; gives MiB a second each way. */
async function transfer(port: number, token: string, bytes: number, watch: () => void) {
  const chunk = Buffer.alloc(256 * 1024, 'x')
  const upMs = performance.now()
  const upload = request({
    port,
    host: '127.0.0.1',
    method: 'POST',
    path: PATH,
    headers: { authorization: `Bearer ${token}`, 'content-length': bytes }
  })
  const answered = once(upload, 'response')
  for (let left = bytes; left > 0; left -= chunk.length) {
    if (!upload.write(chunk)) await once(upload, 'drain')
    if (left % (32 * MIB) === 0) watch()
  }
  upload.end()
  const [response] = await answered
  const downMs = performance.now()
  let received = 0
  for await (const piece of response) {
    received += piece.length
    if (received % (32 * MIB) < piece.length) watch()
  }
  const endMs = performance.now()
  if (response.statusCode !== 200 || received !== bytes) {
    throw new Error(`${response.statusCode}: ${received} of ${bytes} bytes came back`)
  }
  const rate = (ms: number) => bytes / MIB / (ms / 1000)
  return { up: rate(downMs - upMs), down: rate(endMs - downMs) }
}

export async function measureBulk(lab: Lab, { count }: Rounds): Promise<readonly Result[]> {
  const work = '1 GiB up, then 1 GiB down, unsigned'
  if (!hasNginx()) return [skipped('P8', work, 'needs nginx')]
  await using stack = new AsyncDisposableStack()
  const echoPort = await freePort()
  const file = join(import.meta.dirname, '../references/echo.ts')
  const env = { PORT: String(echoPort) }
  stack.use(launch([process.execPath, file], { core: LOAD_CORE, env }))
  await listens(echoPort)
  const gate = stack.use(await lab.startGate({ UPSTREAM_URL: `http://127.0.0.1:${echoPort}` }))
  const buffering = 'proxy_request_buffering off; proxy_buffering off;'
  const nginx = stack.use(
    await startNginx({
      core: PROXY_CORE,
      ...proxyTo(echoPort),
      server: `location / { ${buffering} ${PASS} }`
    })
  )
  const bytes = count < 5 ? 256 * MIB : 1024 * MIB
  await transfer(gate.port, lab.token, 64 * MIB, () => undefined)
  const before = residentMiB(gate.pid)
  let most = before
  const own = await transfer(gate.port, lab.token, bytes, () => {
    most = Math.max(most, residentMiB(gate.pid))
  })
  const other = await transfer(nginx.port, lab.token, bytes, () => undefined)
  const ratio = Math.min(own.up / other.up, own.down / other.down)
  const grown = most - before
  return [
    {
      row: 'P8',
      work: `${bytes / MIB} MiB up, then as much down, unsigned`,
      figure: `${own.up.toFixed(0)} MiB/s up, ${own.down.toFixed(0)} down; memory + ${grown.toFixed(0)} MiB`,
      reference: `nginx ${other.up.toFixed(0)} up, ${other.down.toFixed(0)} down`,
      ratio,
      goal: '≥ 0.5 ×, + ≤ 32 MiB',
      isHeld: ratio >= 0.5 && grown <= 32
    }
  ]
}
