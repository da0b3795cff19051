import * as fc from 'fast-check'
import t from 'tap'
import type { Head } from '../../src/core/head.ts'
import { isFresh, sign } from '../../src/core/signature.ts'
import {
  denySignedBody,
  denyVersion,
  isSigned,
  matchSignature,
  readSignature,
  type SignatureSettings
} from '../../src/core/signed-request.ts'
import { readTarget } from '../../src/core/target.ts'
import { headOf, NOW, TOKEN } from './examples.ts'

const SETTINGS: SignatureSettings = {
  windowMs: 300_000,
  bodyLimitBytes: 1000,
  query: 'either',
  body: 'raw-or-canonical'
}

/** One good signed request; each test spoils one thing. */
interface Request {
  readonly method: string
  readonly target: string
  readonly body: string | Uint8Array
  /** Content-Type and whatever else stands beside the three headers. */
  readonly lines: readonly string[]
}

const JSON_TYPE = 'Content-Type: application/json'
const good: Request = {
  method: 'POST',
  target: '/api/scans?dry=1',
  body: '{ "a": 1.0 }',
  lines: [JSON_TYPE]
}
const stamp = { timestamp: String(NOW), nonce: 'n1' }

function signedHead(request: Request, headers: Readonly<Record<string, string>>): Head {
  const three = Object.entries(headers).map(([name, value]) => `x-cli-${name}: ${value}`)
  return headOf({ method: request.method, lines: [...request.lines, ...three] })
}

/** The form that matched and the bytes that go on, or why none did. */
function match(
  headers: Readonly<Record<string, string>>,
  request: Request,
  settings: Partial<SignatureSettings> = {},
  token = TOKEN
) {
  const head = signedHead(request, headers)
  const given = readSignature(head)
  const target = readTarget(request.target)
  if ('kind' in given || 'kind' in target) return 'refused'
  if (!isFresh(given, Number(given.timestamp), 0)) return 'stale'
  const received = { head, target, body: Buffer.from(request.body) }
  const form = matchSignature(given, received, token, { ...SETTINGS, ...settings })
  return form && { form: `${form.target} ${form.body}`, sent: Buffer.from(form.bytes).toString() }
}

/** What becomes of a request whose signature is over these parts. */
function formOf(
  signed: Partial<Request>,
  sent: Partial<Request> = {},
  settings: Partial<SignatureSettings> = {}
) {
  const { method, target, body } = { ...good, ...sent, ...signed }
  const signature = sign(stamp, { method, path: target, body }, TOKEN)
  const matched = match({ ...stamp, signature }, { ...good, ...sent }, settings)
  return typeof matched === 'object' ? matched.form : matched
}

// printf %s "$text" | openssl dgst -sha256 -hmac "$TOKEN", with the timestamp of 2026-01-01.
const VECTORS = [
  [
    'V1',
    'GET',
    '/api/scans/dashboard',
    '',
    '00112233445566778899aabbccddeeff',
    'full none',
    'adf3b74cebe4b3abd3827da8eeec924900bc28b21052938fce68ac95faf93c9e'
  ],
  [
    'V2',
    'GET',
    '/api/drifts/?status=detected&severity=high',
    '',
    '9b2f6c1e-6f0e-4c53-8d57-0c4a1f1f7d02',
    'full none',
    '49c022457b4e34a825cf41066685b87ad709509876799a6730d8b71c0805e579'
  ],
  [
    'V3',
    'GET',
    '/api/drifts/?status=detected&severity=high',
    '',
    '9b2f6c1e-6f0e-4c53-8d57-0c4a1f1f7d03',
    'path none',
    '5c25add43d4f4c834875f5436901635df87f8009bdd5717317a8c2b4c1ff654f'
  ],
  [
    'V4',
    'POST',
    '/api/scans/trigger/repo-config-id-1',
    '{}',
    'AbC-_~.',
    'full raw',
    '1512cfe95e8554eaff94cbb98c24376e452ffe9c5420c240958694662c4e37e2'
  ],
  [
    'V5',
    'POST',
    '/api/scans/trigger/repo-config-id-1',
    '{"runnerId":"r-1","note":"Prüfung ✓"}',
    'q+/Zm9vYmFyMTIzNDU2Nzg5MA==',
    'full raw',
    '3571ecd2b4cc355041a13d49cd480ad20783db360954574fd6b08047bb96ece5'
  ],
  [
    'V6',
    'POST',
    '/api/runners/',
    '{ "b": 1.0,\n  "a": "\\u00e9" }',
    'v6-canonical',
    'full canonical',
    '166f94c335c511c0c4f54d74f4e5fd7599ef7cd55161461a65b54d3b9233e32e'
  ],
  [
    'V7',
    'PUT',
    '/api/runners/r-1',
    Buffer.from('00017f80ff0a0d', 'hex'),
    'v7',
    'full raw',
    '97f25ea84c2d7b37f8411420d73cd5ffe128c8fefcd2a2b84637329bba1d7b7d'
  ],
  [
    'V8',
    'GET',
    '/api/repo-configs/caf%C3%A9%20%e2%9c%93',
    '',
    'v8',
    'full none',
    '7f646e8760da51faff0a89c83ddf1868db3a3db5e3f0581b7675f9ae8c4e222f'
  ],
  [
    'V9',
    'POST',
    '/api/scans/65f0c0ffee65f0c0ffee65f0/cancel',
    '',
    'v9',
    'full none',
    '8ba696cd44eba9496e6f3459669b4ef1fb2f0aeb9ee5ba60200b68acbf6dfa49'
  ],
  [
    'V10',
    'DELETE',
    '/api/repo-configs/github:acme:infra',
    '',
    'v10',
    'full none',
    '542e574938a32f506aaf2f8fb6cb0f6b5fd46802dc5b1571f3a74b42f3bea1cb'
  ],
  [
    'V11',
    'POST',
    '/api/scans/trigger/repo-config-id-1',
    'null',
    'v11',
    'full raw',
    '7ca5ddd9db57ba1c66c3bcdeb7b6ba5f50ec19119041f7b9a05ea55f133430c0'
  ]
] as const

t.test('the signatures of published clients match, and what they signed goes on', async t => {
  for (const [name, method, target, body, nonce, form, signature] of VECTORS) {
    const type =
      name === 'V7' ? 'Content-Type: application/octet-stream' : `${JSON_TYPE}; charset=utf-8`
    const request = { method, target, body, lines: [type] }
    const headers = { timestamp: '1767225600000', nonce, signature }
    const sent = name === 'V6' ? '{"b":1,"a":"é"}' : Buffer.from(body).toString()
    t.same(match(headers, request), { form, sent }, name)
    const upper = { ...headers, signature: signature.toUpperCase() }
    t.same(match(upper, request), { form, sent }, `${name} in upper case`)
    t.equal(match(headers, request, {}, `${TOKEN}x`), undefined, `${name} of another token`)
    const strict = match(headers, request, { query: 'required', body: 'raw' })
    const isLoose = name === 'V3' || name === 'V6'
    t.same(strict, isLoose ? undefined : { form, sent }, `${name} under the strict settings`)
  }
})

t.test('one of the three headers, even empty, makes a request a signed one', async t => {
  t.equal(isSigned(headOf()), false)
  for (const name of ['signature', 'timestamp', 'nonce']) {
    t.equal(isSigned(signedHead(good, { [name]: '' })), true, name)
  }
  t.equal(isSigned(signedHead(good, { 'signature-version': '1' })), false)
})

t.test('the three headers come together, and each in its shape', async t => {
  const all = { ...stamp, signature: 'Ab'.repeat(32) }
  const errorOf = (headers: Readonly<Record<string, string>>) => {
    const read = readSignature(signedHead(good, headers))
    return 'kind' in read ? `${read.status} ${String(read.body['error'])}` : read
  }
  t.same(errorOf(all), all)
  for (const [missing, ...others] of [
    ['signature', 'timestamp', 'nonce'],
    ['timestamp', 'nonce', 'signature'],
    ['nonce', 'signature', 'timestamp']
  ] as const) {
    const two = Object.fromEntries(others.map(name => [name, all[name]]))
    t.equal(errorOf(two), '401 Incomplete signature headers', missing)
    t.equal(errorOf({ ...all, [missing]: '' }), `401 Invalid ${missing} format`)
  }
  const stamps = ['1800000000', '1.7e12', '0x1a2b3c4d5e6', '+180000000000', '180000 000000']
  for (const timestamp of [...stamps, '180000000000', '18000000000000', '١٨٠٠٠٠٠٠٠٠٠٠٠']) {
    t.equal(errorOf({ ...all, timestamp }), '401 Invalid timestamp format', timestamp)
  }
  for (const nonce of ['n'.repeat(129), 'n:GET:/a', 'a b', 'a,b', 'ä']) {
    t.equal(errorOf({ ...all, nonce }), '401 Invalid nonce format', nonce)
  }
  t.same(errorOf({ ...all, nonce: 'n'.repeat(128) }), { ...all, nonce: 'n'.repeat(128) })
})

t.test('only the first version of signatures exists', async t => {
  t.equal(denyVersion(headOf()), undefined)
  t.equal(denyVersion(signedHead(good, { 'signature-version': '1' })), undefined)
  for (const version of ['2', '', '1.0', '01', '1, 1']) {
    const denial = denyVersion(signedHead(good, { 'signature-version': version }))
    t.match(denial, { status: 401, body: { error: 'Unsupported signature version' } }, version)
  }
})

t.test('a signed GET or HEAD has no body, and no signed body is encoded', async t => {
  const answer = (method: string, ...lines: readonly string[]) =>
    denySignedBody(headOf({ method, lines }))?.code
  for (const framing of ['Content-Length: 4', 'Transfer-Encoding: chunked']) {
    t.equal(answer('GET', framing), 'MALFORMED_REQUEST')
    t.equal(answer('HEAD', framing), 'MALFORMED_REQUEST')
    t.equal(answer('DELETE', framing), undefined)
    t.equal(answer('OPTIONS', framing), undefined)
  }
  t.equal(answer('GET'), undefined)
  t.equal(answer('GET', 'Content-Length: 0'), undefined)
  t.equal(answer('POST', 'Content-Encoding: Identity'), undefined)
  for (const coding of ['gzip', '', 'identity, gzip']) {
    t.equal(answer('POST', `Content-Encoding: ${coding}`), 'UNSUPPORTED_CONTENT_ENCODING', coding)
  }
})

t.test('the query is signed or left out whole, never changed', async t => {
  t.equal(formOf({}), 'full raw')
  t.equal(formOf({ target: '/api/scans' }), 'path raw')
  t.equal(formOf({ target: '/api/scans' }, {}, { query: 'required' }), undefined)
  t.equal(formOf({ target: '/api/scans?' }), undefined)
  t.equal(formOf({ target: '/api/scans?dry=1' }, { target: '/api/scans' }), undefined)
  t.equal(formOf({ target: '/api/scans?dry=1' }, { target: '/api/scans?dry=0' }), undefined)
  t.equal(formOf({ target: '/api/scans' }, { target: '/api/scans?' }), 'path raw')
  t.equal(formOf({ target: '/a' }, { target: '/a/' }), undefined)
  t.equal(formOf({ target: '/%41' }, { target: '/A' }), undefined)
})

t.test('what JSON.stringify makes of the body may be signed in its place', async t => {
  const body = '{"a":1}'
  t.equal(formOf({ body }), 'full canonical')
  t.equal(formOf({ body, target: '/api/scans' }), 'path canonical')
  t.equal(formOf({ body, target: '/api/scans' }, {}, { query: 'required' }), undefined)
  t.equal(formOf({ body }, {}, { body: 'raw' }), undefined)
  t.equal(formOf({ body: '{"a":2}' }), undefined)
  for (const type of [
    'application/problem+json',
    'APPLICATION/JSON',
    'application/json;charset=utf-8',
    'application/json \t; charset="UTF-8"\t'
  ]) {
    t.equal(formOf({ body }, { lines: [`Content-Type: ${type}`] }), 'full canonical', type)
  }
})

t.test('a body is read as JSON only where its type says so and no digest promises it', async t => {
  const body = '{"a":1}'
  for (const type of [
    'application/jsonx',
    'application/json x',
    'application/json, text/plain',
    'application/json; charset=latin1',
    'application/json; charset=utf-8; x=y',
    'text/json',
    'a/b/c+json',
    'application/x-www-form-urlencoded',
    ''
  ]) {
    t.equal(formOf({ body }, { lines: [`Content-Type: ${type}`] }), undefined, type)
    t.equal(formOf({}, { lines: [`Content-Type: ${type}`] }), 'full raw', type)
  }
  t.equal(formOf({ body }, { lines: [] }), undefined)
  for (const digest of ['Content-Digest', 'Repr-Digest', 'Digest', 'Content-MD5']) {
    const lines = [JSON_TYPE, `${digest}: x`]
    t.equal(formOf({ body }, { lines }), undefined, digest)
    t.equal(formOf({}, { lines }), 'full raw', digest)
  }
})

t.test('JSON that two parsers could read differently matches by its own bytes alone', async t => {
  const nested = (depth: number) => `${'['.repeat(depth)} 1${']'.repeat(depth)}`
  for (const [received, canonical] of [
    ['{"a":1,"a":2}', '{"a":2}'],
    ['{"a":1,"\\u0061":2}', '{"a":2}'],
    ['[{"b":{"a":1,"a":2}}]', '[{"b":{"a":2}}]'],
    ['\ufeff{"a": 1}', '{"a":1}'],
    ['{"__proto__": 1}', '{"__proto__":1}'],
    [nested(65), nested(65).replace(' ', '')],
    ['{"a":1} {"a":2}', '{"a":1}']
  ] as const) {
    t.equal(formOf({ body: canonical }, { body: received }), undefined, received)
    t.equal(formOf({ body: received }, { body: received }), 'full raw', received)
  }
  t.equal(formOf({ body: nested(64).replace(' ', '') }, { body: nested(64) }), 'full canonical')
})

t.test('no body is the hash of no bytes, and nothing else is', async t => {
  t.equal(formOf({ body: '' }, { body: '' }), 'full none')
  for (const body of ['{}', 'null', '""']) {
    t.equal(formOf({ body }, { body: '' }), undefined, body)
    t.equal(formOf({ body: '' }, { body }), undefined, body)
    t.equal(formOf({ body }, { body }), 'full raw', body)
  }
})

t.test('whatever JSON is sent, the bytes that go on are the bytes that were signed', async t => {
  const json = fc.json()
  const text = fc.oneof(
    json,
    json.map(text => ` ${text}\n`),
    fc.string()
  )
  const law = fc.property(text, text, fc.boolean(), (body, other, isCanonical) => {
    let signed = other
    try {
      signed = isCanonical ? JSON.stringify(JSON.parse(body)) : body
    } catch {}
    const signature = sign(stamp, { method: 'POST', path: good.target, body: signed }, TOKEN)
    const matched = match({ ...stamp, signature }, { ...good, body })
    if (typeof matched === 'object') t.equal(matched.sent, signed)
    else t.not(body, signed)
  })
  fc.assert(law)
})

t.test('two different requests never share a signature', async t => {
  const request = fc.record(
    {
      nonce: fc.constantFrom('n', 'GET', 'POST', 'a', 'b', 'n/a'),
      method: fc.constantFrom('GET', 'POST'),
      path: fc.stringMatching(/^\/[ab:]{0,3}(?:POST|GET)?:?\/?[ab]{0,2}$/),
      body: fc.constantFrom('', 'a', 'b')
    },
    { noNullPrototype: true }
  )
  const law = fc.property(request, request, (one, two) => {
    const signatureOf = ({ nonce, ...parts }: typeof one) =>
      sign({ timestamp: stamp.timestamp, nonce }, parts, TOKEN)
    const areEqual = JSON.stringify(one) === JSON.stringify(two)
    t.equal(signatureOf(one) === signatureOf(two), areEqual)
  })
  fc.assert(law)
})
