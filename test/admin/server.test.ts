import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { createReadiness } from '../../src/admin/readiness.ts'
import { type AdminServerOptions, createAdminServer } from '../../src/admin/server.ts'

const replica = { id: 'r1', leaseAgeMs: 12, appliedSeq: 7, routesHash: 'abc' }

interface World {
  readonly readiness: ReturnType<typeof createReadiness>
  readonly errors: unknown[]
  /** Status, headers and parsed (else plain) body of a GET. */
  readonly get: (
    path: string,
    method?: string
  ) => Promise<{ status: number; headers: Headers; body: unknown }>
}

async function start(t: Test, spoiled: Partial<AdminServerOptions> = {}): Promise<World> {
  const readiness = createReadiness()
  const errors: unknown[] = []
  const server = createAdminServer({
    host: '127.0.0.1',
    port: 0,
    readiness,
    metrics: { contentType: 'text/plain; version=0.0.4', render: async () => 'tollgate_x 1\n' },
    replica: () => replica,
    coverage: () => ({ rules: [] }),
    appProbes: {},
    log: {
      info: () => undefined,
      warn: () => undefined,
      error: (_message, fields) => void errors.push(fields?.['cause'])
    },
    ...spoiled
  })
  t.teardown(() => server[Symbol.asyncDispose]())
  const port = await server.listen()
  const get = async (path: string, method = 'GET') => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { method })
    const text = await response.text()
    const isJson = response.headers.get('content-type')?.includes('json')
    const body: unknown = isJson ? JSON.parse(text) : text
    return { status: response.status, headers: response.headers, body }
  }
  return { readiness, errors, get }
}

async function startApp(t: Test, listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => (server.closeAllConnections(), server.close()))
  const address: AddressInfo | string | null = server.address()
  return `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`
}

t.test('the process lives from the first moment on', async t => {
  const { get } = await start(t)
  t.match(await get('/livez'), { status: 200, body: { live: true } })
})

t.test(
  'start-up is over when settings, routes and listeners are there, whatever the stores do',
  async t => {
    const { get, readiness } = await start(t)
    t.match(await get('/startupz'), { status: 503, body: { started: false } })
    readiness.markStarted()
    t.match(await get('/startupz'), { status: 200, body: { started: true } })
    t.match(await get('/readyz'), { status: 503 })
  }
)

t.test('a gate is ready when all its parts are, and says which one is not', async t => {
  const { get, readiness } = await start(t)
  let lease: 'ok' | 'expired' = 'ok'
  readiness.markStarted()
  for (const part of ['database', 'schema', 'clock'] as const) readiness.watch(part, () => 'ok')
  t.match(await get('/readyz'), { status: 503, body: { parts: { lease: 'starting' } } })
  readiness.watch('lease', () => lease)
  readiness.watch('nonces', () => 'degraded')
  const parts = {
    process: 'ok',
    database: 'ok',
    schema: 'ok',
    lease: 'ok',
    clock: 'ok',
    nonces: 'degraded'
  }
  t.match(await get('/readyz'), { status: 200, body: { ready: true, parts } })
  lease = 'expired'
  const answer = await get('/readyz')
  t.equal(answer.status, 503)
  t.same(answer.body, { ready: false, parts: { ...parts, lease: 'expired' } })
})

t.test('a gate that drains is not ready any more', async t => {
  const { get, readiness } = await start(t)
  readiness.markStarted()
  for (const part of ['database', 'schema', 'lease', 'clock'] as const)
    readiness.watch(part, () => 'ok')
  t.equal((await get('/readyz')).status, 200)
  t.equal(readiness.isDraining(), false)
  readiness.beginDraining()
  t.match(await get('/readyz'), { status: 503, body: { parts: { process: 'draining' } } })
  t.equal(readiness.isDraining(), true)
  t.equal((await get('/startupz')).status, 200, 'it did start')
  t.equal((await get('/livez')).status, 200)
})

t.test('metrics are plain text', async t => {
  const { get } = await start(t)
  const { status, headers, body } = await get('/metrics')
  t.equal(status, 200)
  t.equal(headers.get('content-type'), 'text/plain; version=0.0.4')
  t.equal(headers.get('cache-control'), 'no-store')
  t.equal(body, 'tollgate_x 1\n')
})

t.test('a replica tells what it holds for true, and which rules were used', async t => {
  const { get } = await start(t)
  t.match(await get('/replicas'), { status: 200, body: replica })
  t.match(await get('/coverage'), { status: 200, body: { rules: [] } })
})

t.test('everything else is not found, and nothing can be changed', async t => {
  const { get } = await start(t)
  const notFound = { status: 404, body: { message: 'Not found', code: 'NOT_FOUND' } }
  for (const path of ['/', '/metricsx', '/livez/', '/api/auth/cli-tokens', '/app-probe/x']) {
    t.match(await get(path), notFound, path)
  }
  for (const method of ['POST', 'PUT', 'DELETE']) t.match(await get('/livez', method), notFound)
})

t.test('a failure behind an answer is logged and says nothing to the caller', async t => {
  const failure = new Error('hunter2')
  const { get, errors } = await start(t, {
    replica: () => {
      throw failure
    }
  })
  const answer = await get('/replicas')
  t.equal(answer.status, 500)
  t.same(answer.body, { message: 'The answer could not be made', code: 'INTERNAL_ERROR' })
  t.same(errors, [failure])
})

t.test("the application's own probes are answered with its status and nothing else", async t => {
  const asked: (string | undefined)[] = []
  const url = await startApp(t, (request, response) => {
    asked.push(request.url)
    response.writeHead(request.url === '/ready' ? 204 : 500).end('secret of the application')
  })
  const appProbes = { 'web/readiness': `${url}/ready`, 'web/liveness': `${url}/live?x=1` }
  const { get } = await start(t, { appProbes })
  t.match(await get('/app-probe/web/readiness'), { status: 204, body: '' })
  t.match(await get('/app-probe/web/liveness?other=1'), { status: 500, body: '' })
  t.same(asked, ['/ready', '/live?x=1'], 'the configured targets, not what the caller adds')
  for (const name of ['web/startup', 'web', '__proto__', 'constructor']) {
    t.equal((await get(`/app-probe/${name}`)).status, 404, name)
  }
})

t.test('an application out of reach fails its probe, one that is silent does in time', async t => {
  const url = await startApp(t, () => undefined)
  const { get } = await start(t, {
    appProbes: { 'web/readiness': 'http://127.0.0.1:1/', 'web/liveness': url }
  })
  t.equal((await get('/app-probe/web/readiness')).status, 502)
  const askedAtMs = performance.now()
  t.equal((await get('/app-probe/web/liveness')).status, 504)
  t.ok(performance.now() - askedAtMs >= 950)
})

t.test('a port that is taken is an error, not a silence', async t => {
  const url = await startApp(t, () => undefined)
  await t.rejects(start(t, { port: Number(new URL(url).port) }), { code: 'EADDRINUSE' })
})
