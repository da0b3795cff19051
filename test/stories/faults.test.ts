/** What clients see while a part is away: our own faults are 503, never 401, and end by themselves. */
import { readFileSync } from 'node:fs'
import { get as httpGet } from 'node:http'
import { once } from 'node:events'
import t, { type Test } from 'tap'
import { startFaultProxy } from '../support/fault-proxy.ts'
import { type Fleet, startFleet } from '../support/fleet.ts'
import {
  type Answer,
  call,
  createToken,
  eventually,
  type GateProcess,
  userJwt
} from '../support/gate.ts'
import { signedHeaders } from '../support/signer.ts'

const PATH = '/api/scans/dashboard'

function use(gate: GateProcess, token: string): Promise<Answer> {
  return call(gate.url + PATH, { bearer: token })
}

function useSigned(gate: GateProcess, token: string): Promise<Answer> {
  const headers = signedHeaders({ token, method: 'GET', path: PATH })
  return call(gate.url + PATH, { bearer: token, headers })
}

function only({ gates }: Fleet): GateProcess {
  const [gate] = gates
  if (!gate) throw new Error('no gate')
  return gate
}

function isFault(t: Test, { status, json, headers }: Answer, code: string): void {
  t.match({ status, json }, { status: 503, json: { code } })
  t.match(headers.get('retry-after'), /^\d+$/)
}

t.test('Postgres away: the cache until the lease is over, then 503; back by itself', async t => {
  const fleet = await startFleet(t)
  const gate = only(fleet)
  const { token } = await createToken(gate)
  t.equal((await use(gate, token)).status, 200)
  await fleet.postgres.kill()
  t.equal((await use(gate, token)).status, 200, 'within the lease')
  const seen = new Set<number>()
  await eventually('the lease is over', async () => {
    const { status } = await use(gate, token)
    seen.add(status)
    return status === 503
  })
  t.same(
    [...seen].filter(status => status !== 200 && status !== 503),
    []
  )
  isFault(t, await use(gate, token), 'TOKEN_STORE_UNAVAILABLE')
  t.equal((await call(`${gate.adminUrl}/readyz`)).status, 503)
  t.equal((await call(`${gate.adminUrl}/livez`)).status, 200)
  t.equal((await call(`${gate.url}${PATH}`, { bearer: 'ci_nonsense' })).status, 401, 'a verdict')
  await fleet.postgres.start()
  await eventually('the gate recovers', async () => (await use(gate, token)).status === 200)
  await eventually(
    'it is ready',
    async () => (await call(`${gate.adminUrl}/readyz`)).status === 200
  )
  const errors = gate
    .output()
    .split('\n')
    .filter(line => line.includes('"level":50'))
  t.ok(errors.length < 10, `${errors.length} error lines`)
})

t.test(
  'Redis away: signed requests 503, all others as ever; a DELETE waits for the leases',
  async t => {
    const fleet = await startFleet(t)
    const gate = only(fleet)
    const { token, id } = await createToken(gate)
    t.equal((await useSigned(gate, token)).status, 200)
    await fleet.redis.kill()
    isFault(t, await useSigned(gate, token), 'NONCE_STORE_UNAVAILABLE')
    t.equal((await use(gate, token)).status, 200)
    t.match((await call(`${gate.adminUrl}/readyz`)).json, {
      ready: true,
      parts: { nonces: 'degraded' }
    })
    const bearer = await userJwt()
    const deleted = await call(`${gate.url}/api/auth/cli-tokens/${id}`, {
      method: 'DELETE',
      bearer
    })
    t.match(deleted, { status: 200, json: { success: true } })
    t.equal((await use(gate, token)).status, 401)
    const next = await createToken(gate)
    await fleet.redis.start()
    await eventually('signed requests pass again', async () => {
      const { status, json } = await useSigned(gate, next.token)
      if (status !== 200 && status !== 503) throw new Error(`${status} ${JSON.stringify(json)}`)
      return status === 200
    })
  }
)

t.test('a database that comes late is waited for, and nothing is 401 meanwhile', async t => {
  const fleet = await startFleet(t)
  const { token } = await createToken(only(fleet))
  const link = await startFaultProxy(t, fleet.postgres.port)
  const url = fleet.database.url.replace(String(fleet.postgres.port), String(link.port))
  await link.refuse()
  const late = fleet.startGate({ DATABASE_URL: url })
  await new Promise(resolve => setTimeout(resolve, 1500))
  await link.pass()
  const gate = await late
  t.equal((await use(gate, token)).status, 200)
})

t.test('a database that answers nothing is 503 in time', async t => {
  const fleet = await startFleet(t)
  const gate = only(fleet)
  const { token } = await createToken(gate)
  t.equal((await use(gate, token)).status, 200)
  fleet.postgres.pause()
  await eventually('the lease is over', async () => (await use(gate, token)).status === 503)
  const startedMs = performance.now()
  isFault(t, await use(gate, token), 'TOKEN_STORE_UNAVAILABLE')
  t.ok(performance.now() - startedMs < 5000)
  fleet.postgres.resume()
  await eventually('the gate recovers', async () => (await use(gate, token)).status === 200)
})

const MEGABYTE = 1_048_576

function residentBytes(pid: number): number {
  const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  return Number(kilobytes) * 1024
}

t.test('200 MB pass to a slow reader in bounded memory', async t => {
  const size = 200 * MEGABYTE
  const chunk = Buffer.alloc(256 * 1024, 'x')
  const fleet = await startFleet(t, {
    upstream: {
      handle: (_request, response) => {
        response.writeHead(200, { 'content-length': String(size) })
        let left = size
        const send = () => {
          while (left > 0) {
            left -= chunk.length
            if (!response.write(chunk)) {
              response.once('drain', send)
              return
            }
          }
          response.end()
        }
        send()
      }
    }
  })
  const gate = only(fleet)
  const { token } = await createToken(gate)
  const before = residentBytes(gate.pid)
  const request = httpGet(gate.url + PATH, { headers: { authorization: `Bearer ${token}` } })
  const [response] = await once(request, 'response')
  let received = 0
  let largest = 0
  for await (const piece of response) {
    received += piece.length
    if (received % (8 * MEGABYTE) < piece.length) {
      await new Promise(resolve => setTimeout(resolve, 20))
      largest = Math.max(largest, residentBytes(gate.pid) - before)
    }
  }
  t.equal(received, size)
  // V8 collects buffers when some 64 MB of them are new; what is held does not grow.
  t.ok(largest < 110 * MEGABYTE, `${Math.round(largest / MEGABYTE)} MB more`)
})

t.test('running requests finish when the gate is stopped, new ones find nobody', async t => {
  let release = () => {}
  const fleet = await startFleet(t, {
    upstream: { respond: (_request, response) => void (release = () => response.end('late')) }
  })
  const gate = only(fleet)
  const { token } = await createToken(gate)
  const running = use(gate, token)
  await eventually('the upstream has it', () => fleet.upstream.begun === 1)
  const stopped = gate.stop()
  await eventually('it is not ready', async () => {
    const answer = await call(`${gate.adminUrl}/readyz`).catch(() => undefined)
    return answer?.status === 503 && 'parts' in answer.json
  })
  release()
  const answer = await running
  t.match(answer, { status: 200, text: 'late' })
  t.equal(await stopped, 0)
  await t.rejects(use(gate, token))
})
