/** Spans as a collector receives them, and what a service sees of a trace. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import { registerHooks } from 'node:module'
import t, { type Test } from 'tap'
import { WebSocket, WebSocketServer } from 'ws'
import { openTraces } from '../../src/telemetry/traces.ts'
import { call, eventually, freePort, JWT_SECRET, runTollgate } from '../support/gate.ts'
import { startProxy } from '../support/proxy.ts'
import { sendRaw } from '../support/raw.ts'
import type { UpstreamOptions } from '../support/upstream.ts'

const loaded: string[] = []
const hooks = registerHooks({
  load(url, context, next) {
    loaded.push(url)
    return next(url, context)
  }
})
t.teardown(() => hooks.deregister())

/** The bare interface comes with prom-client, with and without traces. */
function isOfTraces(url: string): boolean {
  return url.includes('/@opentelemetry/') && !url.includes('/@opentelemetry/api/')
}

const ROUTES = `
version: 1
scopes: { a:read: { title: a } }
routes:
  GET /api/a/{id}: a:read
  GET /api/socket: { scope: a:read, upgrade: websocket }
`
const TRACE = '0af7651916cd43dd8448eb211c80319c'
const PARENT = 'b7ad6b7169203331'
const SERVER = 2
const CLIENT = 3
const ERROR = 2

interface Received {
  readonly name: string
  readonly kind: number
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly startTimeUnixNano: string
  readonly endTimeUnixNano: string
  readonly status: { readonly code?: number }
  readonly attributes: readonly {
    readonly key: string
    readonly value: Readonly<Record<string, unknown>>
  }[]
}

async function startCollector(t: Test) {
  const texts: string[] = []
  const server = createServer((request, response) => {
    let text = ''
    request.setEncoding('utf8').on('data', (piece: string) => (text += piece))
    request.on('end', () => {
      texts.push(`${request.url}\n${text}`)
      response.setHeader('content-type', 'application/json').end('{}')
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const address = server.address()
  const port = typeof address === 'object' ? address?.port : undefined
  return {
    url: `http://127.0.0.1:${port}`,
    texts,
    spans(): readonly Received[] {
      return texts.flatMap(text => {
        const { resourceSpans } = JSON.parse(text.slice(text.indexOf('\n')))
        return resourceSpans.flatMap((of: { scopeSpans: { spans: Received[] }[] }) =>
          of.scopeSpans.flatMap(({ spans }) => spans)
        )
      })
    }
  }
}

function attributesOf(span: Received | undefined): Readonly<Record<string, unknown>> {
  const pairs = (span?.attributes ?? []).map(({ key, value }) => [key, Object.values(value)[0]])
  return Object.fromEntries(pairs)
}

function settingsOf(endpoint: string | undefined, rootShare: number) {
  return {
    OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
    OTEL_SERVICE_NAME: 'here',
    OTEL_TRACES_SAMPLER_ARG: rootShare
  }
}

async function startTraced(
  t: Test,
  endpoint: string,
  rootShare = 1,
  upstream: UpstreamOptions = {}
) {
  const errors: unknown[] = []
  const note = () => undefined
  const log = { info: note, warn: note, error: (...line: unknown[]) => void errors.push(line) }
  const traces = await openTraces({ settings: settingsOf(endpoint, rootShare), version: '1', log })
  const proxy = await startProxy(t, { routes: ROUTES, traces, upstream })
  return { proxy, errors, close: async () => traces?.[Symbol.asyncDispose]() }
}

const ask = (port: number, token: string, more = '') =>
  sendRaw(
    port,
    `GET /api/a/hidden?q=hidden HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${token}\r\n${more}\r\n`
  )

t.test('without a collector nothing is loaded, and the headers pass as they came', async t => {
  await import('../../src/app.ts')
  const log = { info: () => undefined, warn: () => undefined, error: () => undefined }
  const options = { settings: settingsOf(undefined, 1), version: '1', log }
  t.equal(await openTraces(options), undefined)
  const proxy = await startProxy(t, { routes: ROUTES })
  const token = proxy.addToken()
  const given = `00-${TRACE}-${PARENT}-01`
  await ask(
    proxy.port,
    token.text,
    `TraceParent: ${given}\r\nTraceState: a=1\r\ntracestate: b=2\r\n`
  )
  t.same(proxy.upstream.last().all('traceparent'), [given])
  t.same(proxy.upstream.last().all('tracestate'), ['a=1', 'b=2'])
  t.ok(
    loaded.some(url => url.includes('/src/app.ts')),
    'what is loaded is seen'
  )
  t.same(loaded.filter(isOfTraces), [])
})

t.test('a request is a span below its parent, its sending one below that', async t => {
  const collector = await startCollector(t)
  const { proxy, close } = await startTraced(t, collector.url, 0)
  t.ok(loaded.some(isOfTraces))
  const token = proxy.addToken()
  const given = `traceparent: 00-${TRACE}-${PARENT}-01\r\ntracestate: a=1\r\n`
  const { answers } = await ask(proxy.port, token.text, given)
  t.equal(answers[0]?.status, 200)
  await proxy.waitForLine()
  await close()
  const spans = collector.spans()
  t.equal(spans.length, 2)
  const server = spans.find(({ kind }) => kind === SERVER)
  const client = spans.find(({ kind }) => kind === CLIENT)
  t.match(server, { traceId: TRACE, parentSpanId: PARENT, name: 'GET /api/a/{id}' })
  t.match(client, { traceId: TRACE, parentSpanId: server?.spanId })
  t.same(attributesOf(server), {
    'http.request.method': 'GET',
    'http.response.status_code': 200,
    'http.route': 'GET /api/a/{id}',
    'tollgate.code': 'OK',
    'tollgate.token_id': token.id,
    'tollgate.signed': false
  })
  t.same(attributesOf(client), { 'http.request.method': 'GET', 'http.response.status_code': 200 })
  const seen = proxy.upstream.last()
  t.same(seen.all('traceparent'), [`00-${TRACE}-${client?.spanId}-01`])
  t.same(seen.all('tracestate'), ['a=1'])
  const text = collector.texts.join('')
  t.match(text, /^\/v1\/traces\n/)
  t.match(text, 'here')
  t.notMatch(text, /hidden|Bearer/)
  t.notOk(text.includes(token.text))
})

t.test('what is sent twice has a span for each time, and the first one failed', async t => {
  const collector = await startCollector(t)
  const parents: string[] = []
  const { proxy, close } = await startTraced(t, collector.url, 0, {
    handle: (request, response) => {
      parents.push(String(request.headers['traceparent']))
      // The kept connection breaks before any byte of an answer.
      if (parents.length === 2) request.socket.destroy()
      else response.end('ok')
    }
  })
  const token = proxy.addToken()
  await ask(proxy.port, token.text)
  const given = `traceparent: 00-${TRACE}-${PARENT}-01\r\n`
  const { answers } = await ask(proxy.port, token.text, given)
  t.equal(answers[0]?.status, 200)
  t.match(await proxy.waitForLine(1), { retried: true })
  await close()
  const spans = collector.spans()
  const server = spans.find(({ kind }) => kind === SERVER)
  const sendings = spans.filter(({ kind }) => kind === CLIENT)
  t.same(
    sendings.map(({ parentSpanId, status }) => [parentSpanId, status.code === ERROR]),
    [
      [server?.spanId, true],
      [server?.spanId, false]
    ]
  )
  t.same(
    parents.slice(1),
    sendings.map(({ spanId }) => `00-${TRACE}-${spanId}-01`)
  )
  t.equal(attributesOf(sendings[0])['http.response.status_code'], undefined)
  t.match(attributesOf(sendings[1]), { 'http.response.status_code': 200 })
  t.match(attributesOf(server), { 'http.response.status_code': 200, 'tollgate.code': 'OK' })
})

t.test('the span of a tunnel is as long as the tunnel', async t => {
  const collector = await startCollector(t)
  const sockets = new WebSocketServer({ noServer: true })
  const { proxy, close } = await startTraced(t, collector.url, 1, {
    upgrade: (request, socket, early) => {
      sockets.handleUpgrade(request, socket, early, peer => peer.send('hello'))
    }
  })
  const headers = { authorization: `Bearer ${proxy.addToken().text}` }
  const socket = new WebSocket(`ws://127.0.0.1:${proxy.port}/api/socket`, { headers })
  await once(socket, 'message')
  const heldMs = 60
  await new Promise(resolve => setTimeout(resolve, heldMs))
  socket.close()
  await proxy.waitForLine(1)
  await close()
  const spans = collector.spans()
  t.same(new Set(spans.map(({ kind }) => kind)), new Set([SERVER, CLIENT]))
  for (const span of spans) {
    const { endTimeUnixNano, startTimeUnixNano } = span
    t.match(attributesOf(span), { 'http.response.status_code': 101 })
    const tookMs = Number(BigInt(endTimeUnixNano) - BigInt(startTimeUnixNano)) / 1e6
    t.ok(tookMs >= heldMs - 1, `${tookMs} ms`)
  }
})

t.test('a refusal is a span with its code, and nothing is sent', async t => {
  const collector = await startCollector(t)
  const { proxy, close } = await startTraced(t, collector.url)
  await ask(proxy.port, 'no-token', `traceparent: 00-${TRACE}-${PARENT}-zz\r\n`)
  const { code } = await proxy.waitForLine()
  await close()
  const [span, ...others] = collector.spans()
  t.same(others, [])
  t.not(span?.traceId, TRACE, 'what cannot be read is no parent')
  t.match(attributesOf(span), { 'http.response.status_code': 401, 'tollgate.code': code })
  t.same(proxy.upstream.requests, [])
})

t.test('a trace that nobody samples goes on unsampled, and is not reported', async t => {
  const collector = await startCollector(t)
  const { proxy, close } = await startTraced(t, collector.url, 0)
  const token = proxy.addToken()
  await ask(proxy.port, token.text, `traceparent: 00-${TRACE}-${PARENT}-00\r\n`)
  await ask(proxy.port, token.text)
  const parent = `traceparent: 00-${TRACE}-${PARENT}-01\r\n`
  await ask(proxy.port, token.text, parent + parent)
  await proxy.waitForLine(2)
  await close()
  const sent = proxy.upstream.requests.map(request => request.all('traceparent').join())
  t.match(sent[0], new RegExp(`^00-${TRACE}-(?!${PARENT})[0-9a-f]{16}-00$`))
  t.match(sent[1], /^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/)
  t.match(sent[2], /^00-(?!0af7)[0-9a-f]{32}-[0-9a-f]{16}-00$/, 'of two parents none counts')
  t.same(collector.texts, [])
})

t.test('a collector that is not there costs a line of the log', async t => {
  const { proxy, errors, close } = await startTraced(t, 'http://127.0.0.1:9')
  const token = proxy.addToken()
  const { answers } = await ask(proxy.port, token.text)
  t.equal(answers[0]?.status, 200)
  await proxy.waitForLine()
  const before = performance.now()
  await close()
  t.ok(performance.now() - before < 3000)
  t.ok(errors.length <= 1)
})

t.test('a gate sends its spans before it ends', async t => {
  const collector = await startCollector(t)
  const port = await freePort()
  const { child, output } = runTollgate({
    env: {
      JWT_SECRET,
      PORT: String(port),
      ADMIN_PORT: '0',
      UPSTREAM_URL: 'http://127.0.0.1:9',
      // Nothing here needs a store.
      DATABASE_URL: 'postgres://a:b@127.0.0.1:9/c',
      REDIS_URL: 'redis://127.0.0.1:9',
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
      OTEL_SERVICE_NAME: 'gate-of-a-test',
      OTEL_TRACES_SAMPLER_ARG: '1'
    }
  })
  t.teardown(() => child.kill('SIGKILL'))
  const ended = once(child, 'exit')
  const url = `http://127.0.0.1:${port}/api/scans/dashboard`
  const { status } = await eventually('the gate answers', () => call(url).catch(() => undefined))
  t.equal(status, 401)
  child.kill('SIGTERM')
  t.equal((await ended)[0], 0, output())
  t.match(attributesOf(collector.spans()[0]), { 'http.response.status_code': 401 })
  t.match(collector.texts.join(''), 'gate-of-a-test')
})
