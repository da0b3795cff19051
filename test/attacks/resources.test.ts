/** Clients that take more than their share: of a head, a body, a connection, memory, time. */
import { createHmac, hash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { connect } from 'node:net'
import type { Writable } from 'node:stream'
import t, { type Test } from 'tap'
import { readHead } from '../../src/core/head.ts'
import { loadText } from '../support/routes.ts'
import { readTarget } from '../../src/core/target.ts'
import { eventually } from '../support/gate.ts'
import { parseAnswers, sendRaw } from '../support/raw.ts'
import { A, get, post, R, ROUTES, type Row, startRange, tryGood, tryRows } from './support/rows.ts'
import { listen } from './support/sockets.ts'

const MIB = 1_048_576

t.setTimeout(120_000)

t.test('R4, R5: a head has a size, and its lines a number', async t => {
  const range = await startRange(t)
  const over = (name: string, send: string): Row => ({
    name,
    send,
    status: 431,
    code: 'HEADERS_TOO_LARGE',
    saw: 0
  })
  const many = 'a:\r\n'.repeat(2100)
  await tryRows(t, range, [
    over(
      'CVE-2018-12121 Node, many headers',
      get('/pub/x', `X-A: ${'b'.repeat(90)}\r\n`.repeat(190))
    ),
    over('one header of 20 KiB', get('/pub/x', `X-A: ${'b'.repeat(20_480)}\r\n`)),
    over('a name of 20 KiB', get('/pub/x', `${'b'.repeat(20_480)}: b\r\n`)),
    over('a target of 20 KiB', get(`/pub/${'x'.repeat(20_480)}`)),
    over('a query of 20 KiB', get(`/pub/x?${'x'.repeat(20_480)}`)),
    over('a second Authorization behind 2100 lines', get('/api/a/1', `${A}${many}${A}`)),
    over('one line too many', get('/api/a/1', `${A}${'a:\r\n'.repeat(199)}`)),
    {
      name: 'as many lines as may be',
      send: get('/api/a/1', `${A}${'a:\r\n'.repeat(198)}`),
      status: 200,
      saw: 1
    }
  ])
})

/** Samples resident memory until it is told to stop; gives its growth in MiB. */
function watchMemory(): () => number {
  const { rss } = process.memoryUsage()
  let most = rss
  const timer = setInterval(() => (most = Math.max(most, process.memoryUsage().rss)), 20)
  return () => {
    clearInterval(timer)
    return (most - rss) / MIB
  }
}

const LARGE = 200 * MIB
const CHUNK = Buffer.alloc(64 * 1024, 'x')

/** Resolves once the number has not changed for a while. */
async function settled(read: () => number): Promise<number> {
  for (;;) {
    const before = read()
    await new Promise(resolve => setTimeout(resolve, 300))
    if (read() === before) return before
  }
}

/** Writes so much of a stream as it takes. */
async function pump(to: Writable, bytes: number, count: (bytes: number) => void): Promise<void> {
  for (let sent = 0; sent < bytes; sent += CHUNK.length) {
    const hasRoom = to.write(CHUNK)
    count(CHUNK.length)
    if (!hasRoom) await once(to, 'drain')
  }
}

/** An upstream that keeps nothing: what is measured is the gate. */
async function startPlain(
  t: Test,
  handle: (request: IncomingMessage, response: ServerResponse) => void
): Promise<string> {
  const server = createServer((request, response) => {
    if (request.url === '/api/a/other') response.end('ok')
    else handle(request, response)
  })
  const port = await listen(server)
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  return `http://127.0.0.1:${port}`
}

t.test('R8: a slow reader slows the sender down, and fills no memory', async t => {
  let sent = 0
  const upstreamUrl = await startPlain(t, (request, response) => {
    const length = Number(request.headers['x-length'])
    response.writeHead(200, { 'content-length': String(length) })
    void pump(response, length, bytes => (sent += bytes)).then(() => response.end())
  })
  const { proxy, fill } = await startRange(t, { upstreamUrl })
  const download = async (length: number) => {
    sent = 0
    const socket = connect(proxy.port, '127.0.0.1')
    await once(socket, 'connect')
    socket.pause()
    socket.write(fill(get('/api/a/1', `${A}X-Length: ${length}\r\n`)))
    await eventually('the answer has begun', () => sent > 0)
    t.ok((await settled(() => sent)) < length, 'the sender waits while nobody reads')
    const other = await sendRaw(proxy.port, fill(get('/api/a/other', A)))
    t.equal(other.answers[0]?.status, 200, 'others are served meanwhile')
    let received = 0
    let reads = 0
    socket.on('data', chunk => {
      received += chunk.length
      reads += 1
      // Reads, and rests, and reads.
      if (reads % 50 !== 0) return
      socket.pause()
      setTimeout(() => socket.resume(), 2)
    })
    socket.resume()
    await eventually('all of it arrived', () => received >= length)
    t.ok(received < length + 1024)
    socket.destroy()
  }
  // The first one fills what every later one finds.
  await download(LARGE / 2)
  const growth = watchMemory()
  await download(LARGE)
  const mib = growth()
  t.ok(mib < 64, `memory grew by ${mib.toFixed(1)} MiB`)
})

t.test('R8: a slow upstream slows the upload down, and fills no memory', async t => {
  let received = 0
  const begun: (() => void)[] = []
  const upstreamUrl = await startPlain(t, (request, response) => {
    begun.push(() => {
      request.on('data', chunk => (received += chunk.length))
      request.on('end', () => response.end('all'))
    })
  })
  const { proxy, fill } = await startRange(t, { upstreamUrl })
  const upload = async (length: number) => {
    received = 0
    const socket = connect(proxy.port, '127.0.0.1')
    let text = ''
    socket.on('data', chunk => (text += chunk.toString('latin1')))
    await once(socket, 'connect')
    socket.write(fill(`POST /api/a/1 HTTP/1.1\r\nHost: g\r\n${A}Content-Length: ${length}\r\n\r\n`))
    let written = 0
    const done = pump(socket, length, bytes => (written += bytes))
    const goOn = await eventually('the upload has begun', () => begun.pop())
    // Short of the end, by more than what the kernel keeps on its way.
    t.ok((await settled(() => written)) < length, 'the client waits while nobody reads')
    const other = await sendRaw(proxy.port, fill(get('/api/a/other', A)))
    t.equal(other.answers[0]?.status, 200, 'others are served meanwhile')
    goOn()
    await done
    await eventually('it is answered', () => text.includes('all'))
    t.equal(received, length)
    socket.destroy()
  }
  await upload(LARGE / 2)
  const growth = watchMemory()
  await upload(LARGE)
  const mib = growth()
  t.ok(mib < 64, `memory grew by ${mib.toFixed(1)} MiB`)
})

t.test('R10: a signed body has a size, known or not', async t => {
  const range = await startRange(t)
  const { proxy, fill, a } = range
  const sign = (body: string, nonce: string) => {
    const timestamp = Date.now()
    const text = `${timestamp}:${nonce}:POST:/api/signed:${hash('sha256', body, 'hex')}`
    const signature = createHmac('sha256', a.text).update(text).digest('hex')
    return `${A}X-Cli-Timestamp: ${timestamp}\r\nX-Cli-Nonce: ${nonce}\r\nX-Cli-Signature: ${signature}\r\n`
  }
  const body = 'x'.repeat(MIB + 1)
  const head = `POST /api/signed HTTP/1.1\r\nHost: g\r\n${sign(body, 'n1')}`
  const unread = await sendRaw(proxy.port, fill(`${head}Content-Length: ${body.length}\r\n\r\n`), {
    answers: 2
  })
  t.match(unread.answers[0], { status: 413, json: { code: 'BODY_TOO_LARGE' } }, 'by its head alone')
  t.ok(unread.closed)
  const expecting = `${head}Expect: 100-continue\r\nContent-Length: ${body.length}\r\n\r\n`
  t.match((await sendRaw(proxy.port, fill(expecting))).text, /^HTTP\/1\.1 413 /, 'no 100')
  const chunks = `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`
  const streamed = await sendRaw(
    proxy.port,
    fill(`${head}Transfer-Encoding: chunked\r\n\r\n${chunks}`)
  )
  t.match(
    streamed.answers[0],
    { status: 413, json: { code: 'BODY_TOO_LARGE' } },
    'while it is read'
  )
  t.equal(proxy.upstream.begun, 0)
  const largest = body.slice(1)
  const good = await sendRaw(proxy.port, fill(post('/api/signed', sign(largest, 'n2'), largest)))
  t.equal(good.answers[0]?.status, 200, 'one byte less is not too large')
  t.equal(proxy.upstream.last().text.length, MIB)
  await tryGood(t, range, 'signed bodies')
})

const PIPELINED = 10_000

t.test('R11: one connection takes one place, however much it sends at once', async t => {
  const filler = 'x'.repeat(2000)
  const range = await startRange(t, {
    upstream: { respond: ({ target }, response) => response.end(`${target} ${filler}`) }
  })
  const { proxy, fill } = range
  const targets = Array.from({ length: PIPELINED }, (_, i) => `/pub/${i}`)
  const socket = connect(proxy.port, '127.0.0.1')
  await once(socket, 'connect')
  socket.pause()
  socket.write(targets.map(target => get(target)).join(''))
  const begun = await settled(() => proxy.upstream.begun)
  t.ok(begun < PIPELINED, `${begun} went on while no answer is read`)
  t.ok(socket.bytesWritten - socket.writableLength < 4 * MIB)
  await tryGood(t, range, 'pipelining')
  const chunks: string[] = []
  socket.on('data', chunk => chunks.push(chunk.toString('latin1')))
  socket.resume()
  await eventually('the last request', () => proxy.upstream.begun === PIPELINED + 1)
  await settled(() => chunks.length)
  const answered = parseAnswers(chunks.join('')).map(
    ({ status, body }) => `${status} ${body.split(' ')[0]}`
  )
  t.same(
    answered,
    targets.map(target => `200 ${target}`),
    'in order, and none refused'
  )
  t.ok(proxy.upstream.raw().length < 4, 'one at a time')
  const seen = proxy.upstream.requests.map(({ target }) => target)
  t.same(
    seen.filter(target => target !== '/api/a/good'),
    targets,
    'and in order behind the gate'
  )
  socket.destroy()
  const broken = fill(`${post('/api/a/1', A, 'one')}${post('/api/a/2', A, 'two')}garbage\r\n\r\n`)
  const { answers, closed } = await sendRaw(proxy.port, broken, { answers: 3 })
  t.same(
    answers.map(({ status }) => status),
    [200, 200, 400]
  )
  t.ok(closed)
})

t.test('R12: brackets do not nest without an end', async t => {
  const range = await startRange(t)
  const json = `${R}Content-Type: application/json\r\n`
  const deep = ['['.repeat(MIB), '{"a":'.repeat(200_000), `{"repo":${'['.repeat(100_000)}`]
  await tryRows(
    t,
    range,
    deep.map((body): Row => ({
      name: `nested ${body.slice(0, 12)}`,
      send: post('/api/make', json, body),
      status: 400,
      saw: 0
    }))
  )
})

const SLOW_TARGETS = [
  `/pub/${'a/'.repeat(8000)}`,
  `/pub${'/..a'.repeat(4000)}`,
  `/pub/${'%c3%a9'.repeat(2600)}`,
  `/pub/${'%c3%a9'.repeat(2600)}%`,
  `/pub/${'%20a'.repeat(4000)}`,
  `/pub/${'.'.repeat(16_000)}`,
  `/pub/${'%cc%81'.repeat(2600)}`,
  `/pub/x?${'%20'.repeat(5300)}`,
  `/pub/x?${'%2'.repeat(8000)}`,
  `/api/find?${'a=b&'.repeat(4000)}`,
  `/api/a/${'%20'.repeat(5000)}x/${'y/'.repeat(200)}`,
  `/${'api/a/'.repeat(2600)}`
]

const SLOW_HEADERS: readonly (readonly [string, string])[] = [
  ['Authorization', `Bearer ${'a.'.repeat(7900)}`],
  ['Authorization', `Bearer ci_${'a'.repeat(15_000)}`],
  ['Authorization', `${' '.repeat(15_000)}x`],
  ['Authorization', `Bearer${' '.repeat(15_000)}x`],
  ['Connection', 'a,'.repeat(7900)],
  ['Connection', `${' '.repeat(15_000)},`],
  ['Content-Length', '1'.repeat(15_000)],
  ['Host', 'a.'.repeat(7900)],
  ['Host', `[${':'.repeat(15_000)}`],
  ['X-Org-Id', ' ,'.repeat(7900)],
  ['x_'.repeat(7500), 'x'],
  ['X-Cli-Nonce', 'n'.repeat(15_000)],
  ['Upgrade', 'websocket,'.repeat(1500)]
]

/** The shortest of some runs, in ms: what the work takes, without what else the machine does. */
function shortestMs(run: () => unknown): number {
  const times = Array.from({ length: 7 }, () => {
    const start = performance.now()
    run()
    return performance.now() - start
  })
  return Math.min(...times)
}

t.test('R13: no text takes long to decide about', t => {
  const { table } = loadText(ROUTES)
  for (const raw of SLOW_TARGETS) {
    const ms = shortestMs(() => {
      const target = readTarget(raw)
      if (!('kind' in target)) table.match('GET', target)
    })
    t.ok(ms < 5, `CVE-2024-45813 find-my-way, ${raw.slice(0, 30)}: ${ms.toFixed(2)} ms`)
  }
  for (const [name, value] of SLOW_HEADERS) {
    const rawHeaders = [...(name === 'Host' ? [] : ['Host', 'g']), name, value]
    const ms = shortestMs(() =>
      readHead({ method: 'GET', rawTarget: '/pub/x', httpVersion: '1.1', rawHeaders })
    )
    t.ok(ms < 5, `${name.slice(0, 20)}: ${value.slice(0, 20)}: ${ms.toFixed(2)} ms`)
  }
  const folded = ['X_A', 'b'].flatMap(() => ['X_A', 'b'])
  const rawHeaders = ['Host', 'g', ...Array.from({ length: 99 }, () => folded).flat()]
  const many = shortestMs(() =>
    readHead({ method: 'GET', rawTarget: '/pub/x', httpVersion: '1.1', rawHeaders })
  )
  t.ok(many < 5, `many headers: ${many.toFixed(2)} ms`)
  t.end()
})

t.test('R13: the longest of everything is answered quickly on the wire', async t => {
  const range = await startRange(t)
  for (const target of SLOW_TARGETS) {
    const started = performance.now()
    const { answers } = await sendRaw(range.proxy.port, range.fill(get(target.slice(0, 15_000), A)))
    t.ok([200, 400, 403, 431].includes(answers[0]?.status ?? 0), target.slice(0, 30))
    t.ok(performance.now() - started < 500, 'without a noticeable wait')
  }
  await tryGood(t, range, 'long targets')
})

/** One request on each of so many connections; `answers` are those of which the body has begun. */
function openMany(t: Test, port: number, text: string, count: number) {
  const all = Array.from({ length: count }, () => {
    const socket = connect(port, '127.0.0.1')
    const kept = { socket, text: '' }
    socket.on('error', () => undefined)
    socket.on('data', chunk => (kept.text += chunk.toString('latin1')))
    socket.write(text)
    return kept
  })
  t.teardown(() => all.forEach(({ socket }) => socket.destroy()))
  return {
    end: () => all.forEach(({ socket }) => socket.destroy()),
    answers: () => all.map(kept => kept.text).filter(answer => /\r\n\r\n./.test(answer))
  }
}

t.test('R15: an upstream that hangs fills a bounded number of places', async t => {
  const held: (() => void)[] = []
  let isHanging = true
  const range = await startRange(t, {
    upstream: {
      handle: (_request, response) => {
        if (isHanging) held.push(() => response.end('late'))
        else response.end('ok')
      }
    }
  })
  const { proxy, fill } = range
  const growth = watchMemory()
  // 10,000 in waves: the kernel lets so many wait to be accepted, and makes others try again after a second.
  const [waves, size] = [18, 500]
  const first = openMany(t, proxy.port, fill(get('/api/a/1', A)), 1024)
  await eventually('as many as may be are under way', () => held.length === 1024)
  for (let i = 0; i < waves; i++) {
    const wave = openMany(t, proxy.port, fill(get('/api/a/1', A)), size)
    await eventually('all are refused', () => wave.answers().length === size)
    const [refused] = parseAnswers(wave.answers()[0] ?? '')
    t.match(refused, { status: 503, json: { code: 'OVERLOADED' } })
    t.match(refused?.headers['retry-after'], /^[123]$/)
    t.ok(wave.answers().every(answer => answer.startsWith('HTTP/1.1 503 ')))
    wave.end()
  }
  t.equal(proxy.upstream.begun, 1024, 'no more went on')
  const grown = growth()
  t.ok(grown < 256, `${Math.round(grown)} MiB, for both ends of 10,000 connections`)
  isHanging = false
  for (const release of held) release()
  await eventually('the first are answered', () => first.answers().length === 1024)
  const { answers } = await sendRaw(proxy.port, fill(get('/api/a/1', A)))
  t.equal(answers[0]?.status, 200)
})
