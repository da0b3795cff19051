import t from 'tap'
import { denyHandshake } from '../../src/core/handshake.ts'
import { headOf, type SentHead } from './examples.ts'

/** One good handshake, the one of RFC 6455 section 1.3; each test spoils one thing. */
const GOOD = {
  Connection: 'Upgrade',
  Upgrade: 'websocket',
  'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
  'Sec-WebSocket-Version': '13'
}

function verdict(
  changes: Readonly<Record<string, string | undefined>> = {},
  { lines = [], ...sent }: SentHead = {}
): string {
  const good = Object.entries({ ...GOOD, ...changes }).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}: ${value}`]
  )
  const denial = denyHandshake(headOf({ ...sent, lines: [...good, ...lines] }))
  return denial ? `${denial.status} ${denial.reason}` : 'ok'
}

t.test('a well-formed handshake passes, whatever the case of its names', async t => {
  t.equal(verdict(), 'ok')
  t.equal(verdict({ Upgrade: 'WebSocket', Connection: 'keep-alive, upgrade' }), 'ok')
  const lower = 'sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ=='
  t.equal(verdict({ 'Sec-WebSocket-Key': undefined }, { lines: [lower] }), 'ok')
  t.equal(verdict({}, { lines: ['Content-Length: 0'] }), 'ok')
})

t.test('U9: a handshake that servers could judge differently is refused', async t => {
  const refused = '400 handshake'
  t.equal(verdict({ 'Sec-WebSocket-Version': '12' }), refused)
  t.equal(verdict({ 'Sec-WebSocket-Version': '13, 8' }), refused)
  t.equal(verdict({ 'Sec-WebSocket-Version': undefined }), refused)
  t.equal(verdict({}, { lines: ['Sec-WebSocket-Version: 13'] }), refused)
  t.equal(verdict({}, { lines: ['sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ=='] }), refused)
  t.equal(verdict({}, { lines: ['Sec_WebSocket_Key: dGhlIHNhbXBsZSBub25jZQ=='] }), refused)
  t.equal(verdict({}, { lines: ['Content-Length: 1'] }), refused)
  t.equal(verdict({}, { lines: ['Transfer-Encoding: chunked'] }), refused)
  for (const method of ['POST', 'HEAD']) t.equal(verdict({}, { method }), refused, method)
  t.equal(verdict({}, { httpVersion: '1.0' }), refused)
  t.equal(verdict({ Upgrade: 'h2c, websocket' }), refused)
  t.equal(verdict({}, { lines: ['Upgrade: h2c'] }), refused)
})

t.test('a key is 16 bytes in base64, written in its one way', async t => {
  const keys = [undefined, '', 'dGhlIHNhbXBsZSBub25jZQ', 'dGhlIHNhbXBsZSBub25jZQ=', 'a b']
  const other = [
    'dGhlIHNhbXBsZSBub25jZR==',
    'dGhlIHNhbXBsZSBub25jZTEyMw==',
    'dGhlIHNhbXBsZSBub25_ZQ=='
  ]
  for (const key of [...keys, ...other]) {
    t.equal(verdict({ 'Sec-WebSocket-Key': key }), '400 handshake', key ?? 'none')
  }
})
