import { METHODS } from 'node:http'
import * as fc from 'fast-check'
import t from 'tap'
import { bearerOf, readHead } from '../../src/core/head.ts'
import { headOf, rawHeadersOf, TOKEN } from './examples.ts'

/** One good request; each test spoils one thing. */
const GOOD = ['Host: gate.example.com', 'Accept: */*']

interface Sent {
  readonly method?: string
  readonly httpVersion?: string
  readonly lines?: readonly string[]
}

/** `ok`, or the refusal's status and reason. */
function verdict({ method = 'POST', httpVersion = '1.1', lines = [] }: Sent): string {
  const rawHeaders = rawHeadersOf([...GOOD, ...lines])
  const head = readHead({ method, rawTarget: '/pub/x', httpVersion, rawHeaders })
  return 'kind' in head ? `${head.status} ${head.reason ?? head.code}` : 'ok'
}

const verdictOf = (...lines: readonly string[]) => verdict({ lines })

t.test('what the gate decides by is read from its one line', async t => {
  const lines = [
    'Authorization: Bearer x',
    'content-type: application/json',
    'Content-Encoding: gzip',
    'Content-Length: 12',
    'EXPECT: 100-Continue',
    'X-Org-Id: o1',
    'x-cli-signature: ab',
    'x-cli-timestamp: 1',
    'X-Cli-Nonce:',
    'x-cli-signature-version: 1',
    'Connection: keep-alive, X-A',
    'connection: ,close'
  ]
  const rawHeaders = rawHeadersOf([...GOOD, ...lines])
  const sent = { method: 'POST', rawTarget: '/pub/x?y', httpVersion: '1.1', rawHeaders }
  t.same(readHead(sent), {
    ...sent,
    host: 'gate.example.com',
    authorization: 'Bearer x',
    contentType: 'application/json',
    contentEncoding: 'gzip',
    contentLength: 12,
    isChunked: false,
    expectsContinue: true,
    orgId: 'o1',
    signature: 'ab',
    timestamp: '1',
    nonce: '',
    signatureVersion: '1',
    hasBodyDigest: false,
    wantsWebSocket: false,
    nominated: ['keep-alive', 'x-a', 'close']
  })
})

t.test('what is not sent is not there', async t => {
  const { rawHeaders, ...head } = headOf()
  t.same(rawHeaders, ['Host', 'gate'])
  t.same(head, {
    method: 'GET',
    rawTarget: '/api/a/1',
    httpVersion: '1.1',
    host: 'gate',
    authorization: undefined,
    contentType: undefined,
    contentEncoding: undefined,
    contentLength: undefined,
    isChunked: false,
    expectsContinue: false,
    orgId: undefined,
    signature: undefined,
    timestamp: undefined,
    nonce: undefined,
    signatureVersion: undefined,
    hasBodyDigest: false,
    wantsWebSocket: false,
    nominated: []
  })
})

/** A good line of each header that the gate decides by. */
const DECIDING = [
  'Host: gate',
  'Authorization: Bearer x',
  'Content-Length: 4',
  'Content-Type: application/json',
  'Content-Encoding: gzip',
  'Transfer-Encoding: chunked',
  'Expect: 100-continue',
  'X-Org-Id: o1',
  'X-Cli-Signature: ab',
  'X-Cli-Timestamp: 1',
  'X-Cli-Nonce: n',
  'X-Cli-Signature-Version: 1'
]

t.test('H11, H12: a deciding header that stands twice is refused, equal or not', async t => {
  for (const line of DECIDING) {
    const name = line.slice(0, line.indexOf(':'))
    const twins = name === 'Host' ? [] : [line]
    t.equal(verdictOf(...twins, line), '400 repeated-header', line)
    t.equal(verdictOf(...twins, `${name.toLowerCase()}: other`), '400 repeated-header', line)
    t.equal(verdictOf(...twins, `${name}:`), '400 repeated-header', line)
  }
})

t.test('H13: a deciding header in a spelling that servers fold is refused', async t => {
  for (const line of DECIDING) {
    const colon = line.indexOf(':')
    const name = line.slice(0, colon)
    if (!name.includes('-')) continue
    for (const folded of [name.replace('-', '_'), name.replaceAll('-', '.').toLowerCase()]) {
      t.equal(verdictOf(folded + line.slice(colon)), '400 folded-header', folded)
    }
  }
})

t.test('H5: a deciding header that Connection names is refused, sent or not', async t => {
  for (const line of DECIDING) {
    const name = line.slice(0, line.indexOf(':'))
    t.equal(verdictOf(`Connection: ${name}`), '400 nominated-header', name)
    t.equal(verdictOf(`Connection: close ,\t${name.toUpperCase()}`), '400 nominated-header', name)
    t.equal(verdictOf('Connection: close', `Connection: ${name}`), '400 nominated-header', name)
    t.equal(verdictOf(`Connection: ${name.replace('-', '_')}`), '400 nominated-header', name)
  }
  t.equal(verdictOf('Connection: close, x-ci-user-id, x-forwarded-for'), 'ok')
})

t.test('headers that decide nothing may stand as often as they like', async t => {
  t.equal(verdictOf('Cookie: a=b', 'Cookie: c=d', 'X-A: 1', 'X_A: 2', 'X-Ci-User-Id: root'), 'ok')
})

t.test('F12: Host is one name or address, with a port or without', async t => {
  const ask = (lines: readonly string[]) => {
    const rawHeaders = rawHeadersOf(lines)
    const head = readHead({ method: 'GET', rawTarget: '/', httpVersion: '1.1', rawHeaders })
    return 'kind' in head ? `${head.status} ${head.reason}` : head.host
  }
  for (const good of [
    'gate',
    'ADMIN.',
    'other:1',
    '10.0.0.1:65535',
    '[::1]',
    '[::1]:80',
    'a_b~c'
  ]) {
    t.equal(ask([`Host: ${good}`]), good)
  }
  const odd = ['', 'a, b', 'a@b', 'a/b', 'a b', 'a:', 'a:b', ':80', 'a:123456', '[::1', '::1', 'é']
  for (const host of odd) t.equal(ask([`Host: ${host}`]), '400 host', host)
  t.equal(ask([]), '400 host')
})

t.test('F11: versions other than 1.0 and 1.1 are refused', async t => {
  for (const httpVersion of ['0.9', '1.2', '2.0', '1', '']) {
    t.equal(verdict({ httpVersion }), '400 version', httpVersion)
  }
  t.equal(verdict({ httpVersion: '1.0' }), 'ok')
})

t.test('P24: a method is one that the parser knows, in upper case', async t => {
  for (const method of METHODS) t.equal(verdict({ method }), 'ok', method)
  for (const method of ['get', 'Get', 'FOO', '', 'GET ', 'constructor']) {
    t.equal(verdict({ method }), '400 method', method)
  }
})

t.test('F1, F5: a body is framed by chunks or by a length, never by both', async t => {
  const chunked = 'Transfer-Encoding: chunked'
  t.equal(headOf({ lines: [chunked] }).isChunked, true)
  t.equal(headOf({ lines: [chunked] }).contentLength, undefined)
  t.equal(verdictOf(chunked, 'Content-Length: 4'), '400 framing')
  t.equal(verdictOf('Content-Length: 4', chunked), '400 framing')
  t.equal(verdict({ httpVersion: '1.0', lines: [chunked] }), '400 framing')
  for (const coding of ['xchunked', '\vchunked', 'gzip, chunked', 'chunked, gzip', 'Chunked', '']) {
    const rawHeaders = ['Host', 'gate', 'Transfer-Encoding', coding]
    const head = readHead({ method: 'POST', rawTarget: '/', httpVersion: '1.1', rawHeaders })
    t.match(head, { status: 400, reason: 'framing' }, JSON.stringify(coding))
  }
})

t.test('F2, F3: a length is written in one way', async t => {
  for (const length of [0, 1, 10, 999_999_999_999_999]) {
    t.equal(headOf({ lines: [`Content-Length: ${length}`] }).contentLength, length)
  }
  const odd = ['+4', '-1', '0x4', '4 4', '', '0004', '00', '1'.repeat(16), '1'.repeat(23), '4, 4']
  for (const length of [...odd, '1e3', '4.0', '٤']) {
    t.equal(verdictOf(`Content-Length: ${length}`), '400 content-length', length)
  }
})

t.test('F20: the only expectation that is met is 100-continue', async t => {
  t.equal(headOf({ lines: ['Expect: 100-CONTINUE'] }).expectsContinue, true)
  for (const expect of ['x', '', '100-continue, x', '200-ok']) {
    t.equal(verdictOf(`Expect: ${expect}`), '417 EXPECTATION_FAILED', expect)
  }
  const old = headOf({ httpVersion: '1.0', lines: ['Expect: 100-continue'] })
  t.equal(old.expectsContinue, false)
})

t.test('200 header lines are read, not one more', async t => {
  const lines = (count: number) => Array.from({ length: count - GOOD.length }, () => 'a:')
  t.equal(verdictOf(...lines(200)), 'ok')
  t.equal(verdictOf(...lines(201)), '431 HEADERS_TOO_LARGE')
})

t.test('a promised digest of the body is noticed in every spelling', async t => {
  for (const name of ['Content-Digest', 'repr-digest', 'Digest', 'Content-MD5', 'content_md5']) {
    t.equal(headOf({ lines: [`${name}: x`] }).hasBodyDigest, true, name)
  }
})

t.test('a WebSocket is wanted where both headers say so', async t => {
  const wants = (...lines: readonly string[]) => headOf({ lines }).wantsWebSocket
  t.equal(wants('Connection: Upgrade', 'Upgrade: WebSocket'), true)
  t.equal(wants('Connection: keep-alive, upgrade', 'Upgrade: h2c, websocket'), true)
  t.equal(
    wants('Connection: close', 'Connection: upgrade', 'Upgrade: h2c', 'Upgrade: websocket'),
    true
  )
  t.equal(wants('Upgrade: websocket'), false)
  t.equal(wants('Connection: upgrade'), false)
  t.equal(wants('Connection: upgrade', 'Upgrade: h2c'), false)
  t.equal(wants('Connection: upgrade', 'Upgrade: websocket2'), false)
})

/** The kind of what Authorization holds. */
function kindOf(authorization?: string): string {
  return bearerOf(
    headOf({ lines: authorization === undefined ? [] : [`Authorization: ${authorization}`] })
  ).kind
}

t.test('H16, H17: a bearer credential is one word behind its scheme', async t => {
  for (const none of [
    undefined,
    '',
    'Bearer',
    'Basic dTpw',
    'Digest x',
    TOKEN,
    `Bearerx ${TOKEN}`
  ]) {
    t.equal(kindOf(none), 'none', none ?? 'none sent')
  }
  for (const unusable of ['a b', 'abc', 'x'.repeat(10_000), 'CI_x', `x${TOKEN}`, `"${TOKEN}"`]) {
    t.equal(kindOf(`Bearer ${unusable}`), 'unusable', unusable.slice(0, 20))
  }
  for (const scheme of ['Bearer', 'bearer', 'BEARER']) {
    t.same(bearerOf(headOf({ lines: [`Authorization: ${scheme} ${TOKEN}`] })), {
      kind: 'cli-token',
      text: TOKEN
    })
  }
})

t.test('J10, J13, J17: a JWT is three words of base64url, 8 KiB at most', async t => {
  t.same(bearerOf(headOf({ lines: ['Authorization: Bearer a-b.c_d.e'] })), {
    kind: 'jwt',
    text: 'a-b.c_d.e'
  })
  const unusable = [
    'a.b',
    'a.b.',
    '.b.c',
    'a.b.c.d',
    'a.b.c=',
    ' a.b.c',
    'x a.b.c',
    'a.b.ç',
    '.'.repeat(8000)
  ]
  for (const text of unusable) t.equal(kindOf(`Bearer ${text}`), 'unusable', text.slice(0, 20))
  t.equal(kindOf(`Bearer ${'a'.repeat(8188)}.b.c`), 'jwt')
  t.equal(kindOf(`Bearer ${'a'.repeat(8189)}.b.c`), 'unusable')
  t.equal(kindOf('Bearer ci_a.b.c'), 'cli-token')
})

t.test('whatever is sent besides, the gate reads one value or none', async t => {
  const name = fc.constantFrom(
    ...DECIDING.map(line => line.slice(0, line.indexOf(':'))),
    'Connection',
    'X-A'
  )
  const spelling = fc.constantFrom<(name: string) => string>(
    name => name,
    name => name.toLowerCase(),
    name => name.toUpperCase(),
    name => name.replaceAll('-', '_')
  )
  const line = fc.tuple(
    name,
    spelling,
    fc.constantFrom('chunked', '4', 'x-org-id', '100-continue', 'close')
  )
  const law = fc.property(fc.array(line, { maxLength: 6 }), sent => {
    const rawHeaders = [
      'Host',
      'gate',
      ...sent.flatMap(([name, spell, value]) => [spell(name), value])
    ]
    const head = readHead({ method: 'POST', rawTarget: '/', httpVersion: '1.1', rawHeaders })
    if ('kind' in head) return
    const orgs = sent.filter(([name]) => name === 'X-Org-Id').map(([, , value]) => value)
    t.same(orgs, head.orgId === undefined ? [] : [head.orgId])
    t.equal(head.isChunked && head.contentLength !== undefined, false)
    t.equal(head.nominated.includes('x-org-id'), false)
  })
  fc.assert(law)
})
