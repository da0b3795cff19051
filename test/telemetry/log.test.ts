import t from 'tap'
import { Fault } from '../../src/core/decision.ts'
import type { AccessLine, AccessMode } from '../../src/telemetry/access.ts'
import { createLog, type LogLevel } from '../../src/telemetry/log.ts'

const NOW = 1_800_000_000_000 // ms; the clock of every test starts here
const TOKEN = 'ci_GoldenVector0OnlyForTests000001xNBA0'
const JWT = 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1MSJ9.c2lnbmF0dXJlX29mX3RoZV90ZXN0'
const HOUR = 3_600_000

const line: AccessLine = {
  requestId: 'r-1',
  route: 'POST /api/scans/{id}',
  method: 'POST',
  status: 202,
  code: 'OK',
  auth: 'cli-token',
  tokenId: 't1',
  userId: 'u1',
  orgId: 'o1',
  signed: true,
  repositories: 3,
  upstream: 'default',
  upstreamMs: 41.23,
  totalMs: 41.96,
  bytesIn: 11,
  bytesOut: 212,
  ip: '10.1.2.3'
}

function makeLog(level: LogLevel = 'info', accessLog: AccessMode = 'all') {
  const lines: string[] = []
  let nowMs = NOW
  const stream = {
    write: (text: string) => void lines.push(text),
    flush: async () => void lines.push('flushed')
  }
  const log = createLog({ level, accessLog, stream, nowMs: () => nowMs })
  const parsed = (): readonly Readonly<Record<string, unknown>>[] =>
    lines.map(text => JSON.parse(text))
  return { log, lines, parsed, advance: (ms: number) => void (nowMs += ms) }
}

t.test('a request is one JSON object on one line', async t => {
  const { log, lines, parsed } = makeLog()
  log.access(line)
  t.equal(lines.length, 1)
  t.match(lines[0], /^\{.*\}\n$/)
  const { time, ...rest } = parsed()[0] ?? {}
  t.type(time, 'number')
  t.same(rest, { level: 30, msg: 'request', ...line, upstreamMs: 41.2, totalMs: 42 })
})

t.test('what does not apply is not there', async t => {
  const { log, parsed } = makeLog()
  log.access({ ...line, tokenId: undefined, upstream: undefined, upstreamMs: undefined })
  const names = Object.keys(parsed()[0] ?? {})
  t.ok(names.includes('userId'))
  for (const name of ['tokenId', 'upstream', 'upstreamMs']) t.notOk(names.includes(name), name)
})

t.test('a refusal of ours is told by its level: fault or verdict', async t => {
  const { log, parsed } = makeLog()
  log.access({ ...line, status: 503, code: 'TOKEN_STORE_UNAVAILABLE' })
  log.access({ ...line, status: 403, code: 'INSUFFICIENT_SCOPE' })
  log.access({ ...line, status: 503, code: 'OK' })
  t.same(
    parsed().map(entry => entry['level']),
    [40, 30, 30],
    "the upstream's own 503 is none of ours"
  )
})

t.test('access lines can be limited to refusals, or left out', async t => {
  const refused = makeLog('info', 'refused')
  refused.log.access(line)
  refused.log.access({ ...line, status: 404, code: 'OK' })
  refused.log.access({ ...line, status: 403, code: 'ROUTE_DENIED' })
  t.same(
    refused.parsed().map(entry => entry['code']),
    ['ROUTE_DENIED']
  )
  const off = makeLog('info', 'off')
  off.log.access({ ...line, status: 503, code: 'OVERLOADED' })
  t.same(off.lines, [])
})

t.test('unsigned use is told once an hour and token, in every mode', async t => {
  const { log, parsed, advance } = makeLog('info', 'off')
  const unsigned = { ...line, signed: false }
  log.access(unsigned)
  log.access(unsigned)
  log.access(unsigned)
  log.access({ ...unsigned, tokenId: 't2' })
  log.access(line)
  log.access({ ...unsigned, auth: 'jwt', signed: undefined })
  advance(HOUR - 1)
  log.access(unsigned)
  advance(1)
  log.access(unsigned)
  t.match(parsed(), [
    { level: 40, msg: 'unsigned use', tokenId: 't1', count: 1 },
    { level: 40, msg: 'unsigned use', tokenId: 't2', count: 1 },
    { level: 40, msg: 'unsigned use', tokenId: 't1', count: 4 }
  ])
  t.equal(parsed().length, 3)
})

t.test('the memory of unsigned use is bounded: the oldest token is told anew', async t => {
  const { log, lines } = makeLog('info', 'off')
  const use = (tokenId: string) => log.access({ ...line, signed: false, tokenId })
  for (let i = 0; i <= 10_000; i++) use(`t${i}`)
  t.equal(lines.length, 10_001)
  use('t0')
  use('t10000')
  t.equal(lines.length, 10_002)
})

t.test('an outage is one error line a code and ten seconds, with the number left out', async t => {
  const { log, parsed, advance } = makeLog()
  const cause = new Fault('TOKEN_STORE_UNAVAILABLE')
  for (let i = 0; i < 5; i++)
    log.error('look-up failed', { code: 'TOKEN_STORE_UNAVAILABLE', cause })
  log.error('another message, the same code', { code: 'TOKEN_STORE_UNAVAILABLE' })
  log.error('no code at all')
  advance(10_000)
  log.error('look-up failed', { code: 'TOKEN_STORE_UNAVAILABLE' })
  advance(10_000)
  log.error('look-up failed', { code: 'TOKEN_STORE_UNAVAILABLE' })
  t.same(
    parsed().map(entry => [entry['msg'], entry['suppressed']]),
    [
      ['look-up failed', undefined],
      ['no code at all', undefined],
      ['look-up failed', 5],
      ['look-up failed', undefined]
    ]
  )
})

t.test('the memory of errors is bounded', async t => {
  const { log, lines } = makeLog()
  for (let i = 0; i < 1001; i++) log.error(`error ${i}`)
  log.error('error 0')
  t.equal(lines.length, 1002, 'forgotten, so written again')
})

t.test('levels hold', async t => {
  const { log, parsed } = makeLog('warn')
  log.info('started')
  log.access(line)
  log.warn('lease lapsed', { ms: 5 })
  log.error('broken')
  t.match(parsed(), [
    { level: 40, msg: 'lease lapsed', ms: 5 },
    { level: 50, msg: 'broken' }
  ])
  const silent = makeLog('silent')
  silent.log.error('broken')
  t.same(silent.lines, [])
})

t.test('no line holds a secret, whatever is handed over', async t => {
  const { log, lines } = makeLog()
  const secrets = {
    authorization: `Bearer ${TOKEN}`,
    headers: { cookie: 'sid=hunter2' },
    cookie: 'sid=hunter2',
    body: 'hunter2',
    query: 'hunter2',
    rawTarget: '/x?hunter2',
    token: 'hunter2',
    password: 'hunter2'
  }
  const cause = Object.assign(new Error(`connect redis://:hunter2@r with ${TOKEN}`), {
    command: { args: ['hunter2'] }
  })
  log.info(`failed for ${TOKEN}`, { ...secrets, note: `Bearer ${JWT}` })
  log.warn('warned', { ...secrets, list: [TOKEN, JWT] })
  log.error('broken', { ...secrets, cause, url: 'postgres://gate:hunter2@db/x' })
  const smuggled = { ...line, ...secrets, requestId: TOKEN }
  log.access(smuggled)
  log.access({ ...line, requestId: JWT })
  t.equal(lines.length, 5)
  t.notMatch(lines.join(''), /GoldenVector|eyJzdWI|hunter2/)
  t.match(lines[2], /\[redacted\]|\[url\]/i, 'the rest of the line is there')
})

t.test('a flush is handed on to the stream', async t => {
  const { log, lines } = makeLog()
  await log.flush()
  t.same(lines, ['flushed'])
})
