/** Where one request ends and the next begins: what two parsers could see in two ways. */
import { createHmac, hash } from 'node:crypto'
import { connect } from 'node:net'
import t from 'tap'
import { sendRaw } from '../support/raw.ts'
import { A, get, post, type Row, startRange, tryGood, tryRows } from './support/rows.ts'

/** What stands behind the bad bytes. It must never be read as a request. */
const NEXT = get('/pub/smuggled')

const refused = (name: string, send: string): Row => ({
  name,
  send: `${send}${NEXT}`,
  status: 400,
  saw: 0
})
const POST = `POST /api/a/1 HTTP/1.1\r\nHost: g\r\n${A}`
const withLines = (name: string, lines: string, body = 'body'): Row =>
  refused(name, `${POST}${lines}\r\n\r\n${body}`)

const CHUNKED = 'Transfer-Encoding: chunked'
const EMPTY_CHUNKS = '0\r\n\r\n'

t.test('F1, F2, F3, F4: a body has one length, in one notation', async t => {
  const range = await startRange(t)
  const lengths = [
    '+4',
    '-1',
    '0x4',
    '4 4',
    '',
    '0004',
    '4, 4',
    '4.0',
    '1'.repeat(23),
    '4\t4',
    '4;4'
  ]
  await tryRows(t, range, [
    withLines('CL.TE, RFC 9112 6.3', `Content-Length: 4\r\n${CHUNKED}`, EMPTY_CHUNKS),
    withLines('TE.CL, RFC 9112 6.3', `${CHUNKED}\r\nContent-Length: 4`, EMPTY_CHUNKS),
    withLines('CVE-2026-1525 undici, equal', 'Content-Length: 4\r\nContent-Length: 4'),
    withLines('CVE-2026-1525 undici, different', 'Content-Length: 4\r\nContent-Length: 5'),
    ...lengths.map(length =>
      withLines(
        `CVE-2023-40225 HAProxy, CVE-2018-7159 Node, ${length}`,
        `Content-Length: ${length}`
      )
    ),
    withLines('CVE-2024-27982 Node, in the first header', 'X-A: b\r\n Content-Length: 4'),
    refused(
      'CVE-2024-27982 Node',
      `POST /api/a/1 HTTP/1.1\r\n Content-Length: 4\r\nHost: g\r\n\r\nbody`
    )
  ])
})

t.test('F5, F6, F7: chunked is the only transfer coding, written in one way', async t => {
  const range = await startRange(t)
  const codings = [
    'xchunked',
    '\x0bchunked',
    'gzip, chunked',
    'chunked, gzip',
    'chunked, chunked',
    'identity',
    'chunked;q=1',
    'Chunked',
    ''
  ]
  await tryRows(t, range, [
    ...codings.map(coding =>
      withLines(
        `CVE-2019-15605, CVE-2022-32213 Node, ${JSON.stringify(coding)}`,
        `Transfer-Encoding: ${coding}`,
        EMPTY_CHUNKS
      )
    ),
    withLines('twice', `${CHUNKED}\r\n${CHUNKED}`, EMPTY_CHUNKS),
    withLines('CVE-2019-18277 HAProxy', `${CHUNKED}\r\nTransfer-Encoding: identity`, EMPTY_CHUNKS),
    refused(
      'HTTP/1.0',
      `POST /api/a/1 HTTP/1.0\r\nHost: g\r\n${A}${CHUNKED}\r\n\r\n${EMPTY_CHUNKS}`
    ),
    withLines(
      'CVE-2021-22959 Node, CVE-2019-16276 Go',
      'Transfer-Encoding : chunked',
      EMPTY_CHUNKS
    ),
    withLines('CVE-2022-32215 Node', 'Transfer-Encoding:\r\n chunked', EMPTY_CHUNKS),
    withLines('a folded value', 'X-A: b\r\n c', ''),
    withLines('a folded value, with a tab', 'X-A: b\r\n\tc', '')
  ])
})

t.test(
  'F8, F9, F10: a line ends with CR LF, and holds a name, a colon and a clean value',
  async t => {
    const range = await startRange(t)
    await tryRows(t, range, [
      refused('CVE-2022-32214 Node, everywhere', get('/pub/x').replaceAll('\r\n', '\n')),
      refused('CVE-2022-35256 Node, in one header', get('/pub/x', 'X-A: b\nX-C: d\r\n')),
      refused('after the last header', 'GET /pub/x HTTP/1.1\r\nHost: g\r\n\n'),
      refused('after the request line', 'GET /pub/x HTTP/1.1\nHost: g\r\n\r\n'),
      refused('a bare CR in a value', get('/pub/x', 'X-A: b\rX-C: d\r\n')),
      refused('CVE-2023-30589 Node', get('/pub/x', 'X-A: b\r\rX-C: d\r\n')),
      refused('CVE-2025-23167 Node', 'GET /pub/x HTTP/1.1\r\nHost: g\r\n\rX'),
      refused('CVE-2023-25725 HAProxy', get('/pub/x', ': b\r\n')),
      refused('NUL in a value', get('/pub/x', 'X-A: b\0c\r\n')),
      refused('a line without a colon', get('/pub/x', 'X-A\r\n')),
      refused('a bracket in a name', get('/pub/x', 'X(A: b\r\n')),
      refused('a space in a name', get('/pub/x', 'X A: b\r\n')),
      refused('a byte above ASCII in a name', get('/pub/x', 'X\xe9: b\r\n'))
    ])
  }
)

t.test('F11, F12: one version, one Host', async t => {
  const range = await startRange(t)
  const hosts = [
    '',
    'a, b',
    'a@b',
    'a/b',
    'a b',
    'a?b',
    'a#b',
    'a\\b',
    'g:',
    'g:x',
    '[::1',
    'h:999999'
  ]
  await tryRows(t, range, [
    refused('HTTP/0.9', 'GET /pub/x\r\n\r\n'),
    ...['HTTP/2.0', 'HTTP/1.2', 'HTTP/0.9', 'HTTP/1.10', 'HTTP/11', 'http/1.1', 'HTTPS/1.1'].map(
      version => refused(version, `GET /pub/x ${version}\r\nHost: g\r\n\r\n`)
    ),
    refused('the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
    refused('no Host', 'GET /pub/x HTTP/1.1\r\n\r\n'),
    refused('no Host, HTTP/1.0', 'GET /pub/x HTTP/1.0\r\n\r\n'),
    refused('two Host', 'GET /pub/x HTTP/1.1\r\nHost: g\r\nHost: g\r\n\r\n'),
    ...hosts.map(host => refused(`Host: ${host}`, `GET /pub/x HTTP/1.1\r\nHost: ${host}\r\n\r\n`))
  ])
})

const chunked = (body: string) => `${POST}${CHUNKED}\r\n\r\n${body}`

t.test(
  'F13, F14: a broken chunk ends the connection, and what it began is never complete',
  async t => {
    const range = await startRange(t)
    const broken = (name: string, body: string): Row => ({
      name,
      send: `${chunked(body)}${NEXT}`,
      status: [400, 413, undefined],
      saw: 'none complete'
    })
    await tryRows(t, range, [
      ...['0x3', '-1', '3 ', ' 3', 'g', '', '1'.repeat(17)].map(size =>
        broken(`a size of ${JSON.stringify(size)}`, `${size}\r\nabc\r\n0\r\n\r\n`)
      ),
      broken('CVE-2015-3183 httpd', '3\nabc\r\n0\r\n\r\n'),
      broken('a size line with a bare CR', '3\rabc\r\n0\r\n\r\n'),
      broken('data without its end', '3\r\nabcd\r\n0\r\n\r\n'),
      broken('data that ends with LF', '3\r\nabc\n0\r\n\r\n'),
      broken('an end without its end', '0\r\nX'),
      broken('CVE-2025-55315 Kestrel', '3;a\nabc\r\n0\r\n\r\n'),
      broken('an extension with a bare CR', '3;a\rabc\r\n0\r\n\r\n'),
      broken('CVE-2024-22019 Node', `3;${'a'.repeat(65_536)}\r\nabc\r\n0\r\n\r\n`)
    ])
  }
)

t.test('F15, F16: neither extensions nor trailers of chunks go on', async t => {
  const range = await startRange(t)
  await tryRows(t, range, [
    {
      name: 'CVE-2021-22960 Node',
      send: chunked('3;a=b\r\nabc\r\n0\r\n\r\n'),
      status: 200,
      saw: 1,
      body: 'abc'
    }
  ])
  t.notMatch(range.proxy.upstream.raw().join(''), ';a=b')
  for (const line of ['Authorization: Bearer x', 'x-ci-user-id: root', 'Content-Length: 3']) {
    const { answers } = await sendRaw(
      range.proxy.port,
      range.fill(chunked(`3\r\nabc\r\n0\r\n${line}\r\n\r\n`))
    )
    t.ok([200, 400].includes(answers[0]?.status ?? 0), line)
    t.notMatch(range.proxy.upstream.raw().join(''), `${line}\r\n`, line)
    await tryGood(t, range, line)
  }
})

t.test('F17, F18: a body is never the next request', async t => {
  const range = await startRange(t)
  const { proxy, fill } = range
  const inner = get('/pub/inner')
  const refusedBody = await sendRaw(proxy.port, post('/admin/x', '', inner), {
    answers: 2,
    waitMs: 300
  })
  t.same(
    refusedBody.answers.map(({ status }) => status),
    [403]
  )
  t.equal(proxy.upstream.begun, 0)
  const bodies = [
    ['0.CL', `Content-Length: ${inner.length}\r\n\r\n${inner}`],
    ['chunked', `${CHUNKED}\r\n\r\n${inner.length.toString(16)}\r\n${inner}\r\n0\r\n\r\n`],
    ['null, as some clients send it', 'Content-Length: 4\r\n\r\nnull']
  ] as const
  for (const [name, body] of bodies) {
    const from = proxy.upstream.requests.length
    const send = fill(`GET /api/a/1 HTTP/1.1\r\nHost: g\r\n${A}${body}${get('/pub/next')}`)
    const { answers } = await sendRaw(proxy.port, send, { answers: 3, waitMs: 300 })
    t.same(
      answers.map(({ status }) => status),
      [200, 200],
      name
    )
    const seen = proxy.upstream.requests.slice(from)
    t.same(seen.map(({ target }) => target).toSorted(), ['/api/a/1', '/pub/next'], name)
    for (const request of seen) {
      t.equal(request.text, '', name)
      t.same([...request.all('content-length'), ...request.all('transfer-encoding')], [], name)
    }
    await tryGood(t, range, name)
  }
})

t.test('F19, F20: 100 Continue is said to nobody who is refused', async t => {
  const range = await startRange(t)
  const { proxy, fill } = range
  const expecting = (auth: string, value = '100-continue') =>
    fill(post('/api/a/1', `${auth}Expect: ${value}\r\n`, 'body'))
  const nobody = await sendRaw(proxy.port, expecting(''))
  t.match(nobody.text, /^HTTP\/1\.1 401 /)
  t.equal(proxy.upstream.begun, 0)
  const good = await sendRaw(proxy.port, expecting(A), { answers: 2 })
  t.same(
    good.answers.map(({ status }) => status),
    [100, 200]
  )
  t.same(proxy.upstream.last().all('expect'), [])
  t.equal(proxy.upstream.last().text, 'body')
  t.equal(proxy.upstream.begun, 1)
  const odd = await sendRaw(proxy.port, expecting(A, 'x'))
  t.match(odd.answers[0], { status: 417, json: { code: 'EXPECTATION_FAILED' } })
  t.equal(proxy.upstream.begun, 1)
  await tryGood(t, range, 'Expect')
})

t.test('F21: an identity belongs to a request, not to a connection', async t => {
  const { proxy, fill } = await startRange(t)
  const good = get('/api/a/1', A)
  const { answers } = await sendRaw(proxy.port, fill(`${good}${get('/api/a/1')}${good}`), {
    answers: 3
  })
  t.same(
    answers.map(({ status }) => status),
    [200, 401, 200]
  )
  t.equal(proxy.upstream.requests.length, 2)
})

function sign(token: string, body: string, nonce: string): string {
  const timestamp = Date.now()
  const text = `${timestamp}:${nonce}:POST:/api/signed:${hash('sha256', body, 'hex')}`
  const signature = createHmac('sha256', token).update(text).digest('hex')
  return `X-Cli-Timestamp: ${timestamp}\r\nX-Cli-Nonce: ${nonce}\r\nX-Cli-Signature: ${signature}\r\n`
}

t.test('F22: a body that breaks off is never complete, and spends no nonce', async t => {
  const range = await startRange(t)
  const { proxy, a, fill } = range
  const whole = (target: string, lines: string) => fill(post(target, `${A}${lines}`, '0123456789'))
  const cutOff = async (send: string) => {
    const socket = connect(proxy.port, '127.0.0.1')
    socket.on('error', () => undefined)
    socket.end(send.slice(0, -7))
    await new Promise(resolve => socket.once('close', resolve).resume())
  }
  await cutOff(whole('/api/a/1', ''))
  t.equal(proxy.upstream.requests.length, 0)
  await tryGood(t, range, 'unsigned')
  const signed = whole('/api/signed', sign(a.text, '0123456789', 'n1'))
  await cutOff(signed)
  await tryGood(t, range, 'signed')
  const { answers } = await sendRaw(proxy.port, signed)
  t.equal(answers[0]?.status, 200, 'its nonce is still new')
  t.equal((await sendRaw(proxy.port, signed)).answers[0]?.status, 401, 'and is not any more')
})

t.test('a refused client that stays keeps no connection open', async t => {
  const { proxy, fill } = await startRange(t)
  for (const send of ['garbage\r\n\r\n', fill(chunked('g\r\nabc\r\n'))]) {
    const socket = connect({ port: proxy.port, host: '127.0.0.1', allowHalfOpen: true })
    const closed = new Promise<string>(resolve => {
      socket.on('error', error => resolve(String('code' in error && error.code)))
    })
    socket.resume().write(send)
    await new Promise(resolve => socket.once('end', resolve))
    await new Promise(resolve => setTimeout(resolve, 1300))
    // The first bytes to a socket that is gone are answered with a reset.
    socket.write('x')
    setTimeout(() => socket.write('x'), 50)
    const timer = setTimeout(() => socket.destroy(new Error('still open')), 1000)
    t.match(await closed, /^(?:ECONNRESET|EPIPE)$/, send.slice(0, 20))
    clearTimeout(timer)
    socket.destroy()
  }
})

t.test('F23: where the bytes are split makes no difference', async t => {
  const { proxy, fill } = await startRange(t)
  const whole = fill(`${POST}${CHUNKED}\r\n\r\n3;a=b\r\nabc\r\n2\r\nde\r\n0\r\n\r\n`)
  const splits = Array.from({ length: whole.length - 1 }, (_, i) => [
    whole.slice(0, i + 1),
    whole.slice(i + 1)
  ])
  for (const parts of [...splits, Array.from(whole)]) {
    const before = proxy.upstream.begun
    const { answers } = await sendRaw(proxy.port, parts)
    const { begun } = proxy.upstream
    const seen = proxy.upstream.last()
    const got = [answers[0]?.status, begun - before, seen.target, seen.text]
    t.same(got, [200, 1, '/api/a/1', 'abcde'], `${parts[0]?.length} bytes, then the rest`)
  }
})
