/** The sample clients of the README, run as a reader would run them. */
import { execFile, execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { isFresh, isGenuine, isWellFormed } from '../../src/core/signature.ts'

const TOKEN = 'ci_GoldenVector0OnlyForTests000001xNBA0'
const WINDOW_MS = 300_000

interface Client {
  readonly file: string
  readonly run: readonly string[]
  /** Programs without which it cannot run here. */
  readonly needs: readonly string[]
}

const CLIENTS: readonly Client[] = [
  { file: 'sign.mjs', run: [process.execPath], needs: [] },
  { file: 'sign.py', run: ['python3'], needs: ['python3'] },
  { file: 'sign.go', run: ['go', 'run'], needs: ['go'] },
  { file: 'sign.sh', run: ['bash'], needs: ['bash', 'curl', 'openssl'] }
]

const REQUESTS = [
  { method: 'GET', path: '/api/scans/dashboard', body: '' },
  { method: 'GET', path: '/api/drifts/?status=detected&severity=high', body: '' },
  { method: 'POST', path: '/api/scans/trigger/caf%C3%A9', body: '{"note":"Prüfung ✓"}' },
  { method: 'DELETE', path: '/api/repo-configs/github:acme:infra', body: '' }
] as const

/** `valid`, or what is wrong, by the gate's own functions. */
function judge(request: IncomingMessage, body: Buffer, nonces: Set<string>): string {
  const { method = '', url = '', headers } = request
  const header = (name: string) => String(headers[name])
  const given = {
    signature: header('x-cli-signature'),
    timestamp: header('x-cli-timestamp'),
    nonce: header('x-cli-nonce')
  }
  if (header('authorization') !== `Bearer ${TOKEN}`) return 'no token'
  if (!isWellFormed(given)) return 'malformed'
  if (!isFresh(given, Date.now(), WINDOW_MS)) return 'stale'
  if (!isGenuine(given, { method, path: url, body }, TOKEN)) return `mismatch for ${url}`
  if (nonces.has(given.nonce)) return 'replayed'
  nonces.add(given.nonce)
  return `valid ${method} ${url} ${body.toString('utf8')}`
}

async function startVerifier(t: Test): Promise<string> {
  const nonces = new Set<string>()
  const server = createServer((request, response) => {
    const chunks: Uint8Array[] = []
    request.on('data', chunk => chunks.push(chunk))
    request.on('end', () => response.end(judge(request, Buffer.concat(chunks), nonces)))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  const address = server.address()
  return `http://127.0.0.1:${address !== null && typeof address === 'object' ? address.port : 0}`
}

function isThere(program: string): boolean {
  try {
    execFileSync('sh', ['-c', 'command -v "$0"', program], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

// Compiling the Go client for the first time takes longest.
t.setTimeout(180_000)

for (const { file, run, needs } of CLIENTS) {
  const missing = needs.filter(program => !isThere(program))
  const skip = missing.length > 0 && `not on this machine: ${missing.join(', ')}`
  t.test(`${file} signs what the gate verifies`, { skip }, async t => {
    const env = { ...process.env, GATE_URL: await startVerifier(t), CONTROLINFRA_TOKEN: TOKEN }
    const cwd = mkdtempSync(join(tmpdir(), 'tollgate-client-'))
    t.teardown(() => rmSync(cwd, { recursive: true, force: true }))
    const [program = '', ...before] = run
    const source = join(import.meta.dirname, file)
    for (const { method, path, body } of REQUESTS) {
      const args = [...before, source, method, path, ...(body ? [body] : [])]
      const { stdout } = await promisify(execFile)(program, args, { env, cwd })
      t.match(stdout, `valid ${method} ${path} ${body}`)
      t.match(stdout, '200')
    }
  })
}
