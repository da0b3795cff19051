/** The token API as bytes at a whole gate: callers that want more than a token of their own. */
import { randomBytes } from 'node:crypto'
import t, { type Test } from 'tap'
import type { OwnRoutes } from '../../src/core/own-routes.ts'
import type { TokenRow } from '../../src/core/principal.ts'
import { createTokenApi } from '../../src/tokens/api.ts'
import { loadText } from '../support/routes.ts'
import { sendRaw } from '../support/raw.ts'
import { memoryStore } from '../support/token-api.ts'
import { A, ask, get, J, ROUTES, type Row, startRange, tryRows } from './support/rows.ts'

const TOKENS = '/api/auth/cli-tokens'
const JSON_TYPE = 'Content-Type: application/json\r\n'
const GOOD = '{"name":"ci","scopes":["a:read"]}'

async function startApi(t: Test) {
  const rows = new Map<string, TokenRow>()
  const { table } = loadText(ROUTES)
  let barriers = 0
  let hold: Promise<void> | undefined
  const quiet = () => undefined
  const own: OwnRoutes = createTokenApi({
    store: memoryStore(rows),
    barrier: {
      async wait() {
        barriers += 1
        await hold
        return { replicas: 1, acknowledged: 1, waitedMs: 1 }
      }
    },
    clock: { nowMs: () => Date.now(), wallMs: () => Date.now(), isTrusted: () => true },
    routes: () => table,
    randomBytes,
    log: { info: quiet, warn: quiet, error: quiet }
  })
  const range = await startRange(t, { own })
  /** A row of this user. */
  const addRow = async (userId: string) => {
    const { answers } = await sendRaw(range.proxy.port, range.fill(create(GOOD)))
    const id = String(answers[0]?.json['id'])
    const row = rows.get(id)
    if (!row) throw new Error('no row')
    rows.set(id, { ...row, userId })
    return id
  }
  return {
    range,
    rows,
    addRow,
    barriers: () => barriers,
    holdBarriers: (until: Promise<void>) => void (hold = until)
  }
}

function create(body: string, lines = `${J}${JSON_TYPE}`): string {
  const length = Buffer.byteLength(body, 'latin1')
  return `POST ${TOKENS} HTTP/1.1\r\nHost: g\r\n${lines}Content-Length: ${length}\r\n\r\n${body}`
}

const refused = (name: string, send: string, status: number, code: string): Row => ({
  name,
  send,
  status,
  code,
  saw: 0
})

/** Fields beside a good name and a good scope. */
const withField = (name: string, json: string): Row =>
  refused(name, create(`{"name":"ci","scopes":["a:read"],${json}}`), 400, 'INVALID_REQUEST')
const withScopes = (json: string): Row =>
  refused(`scopes ${json}`, create(`{"name":"ci","scopes":${json}}`), 400, 'INVALID_REQUEST')
const withName = (json: string): Row =>
  refused(`name ${json}`, create(`{"name":${json},"scopes":["a:read"]}`), 400, 'INVALID_REQUEST')

t.test(
  'T1, T2, T3, T4, T10: a body that asks for more than may be asked makes no token',
  async t => {
    const { range, rows } = await startApi(t)
    const hostile = [
      'userId',
      'orgId',
      'id',
      'token',
      'hash',
      'createdAt',
      'revokedAt',
      'constructor'
    ]
    const many = JSON.stringify(Array.from({ length: 101 }, (_, i) => `r${i}`))
    await tryRows(t, range, [
      ...[...hostile, '__proto__'].map(field => withField(field, `"${field}":"x"`)),
      ...['["*"]', '["x:y"]', '["a:read","a:read"]', '"a:read,b:read"', '[["a:read"]]', '[]'].map(
        withScopes
      ),
      withField('all and some', '"allRepositories":true,"repositories":["r1"]'),
      withField('not all, and none', '"allRepositories":false'),
      withField('101 of them', `"allRepositories":false,"repositories":${many}`),
      ...['a,b', 'a/b', 'a\\r\\nb', ''].map(id =>
        withField(`repository ${id}`, `"allRepositories":false,"repositories":["${id}"]`)
      ),
      ...[
        '"a\\r\\nb"',
        '"a\\u0000b"',
        '"a\\u202eb"',
        '"\\ud800"',
        '""',
        `"${'x'.repeat(101)}"`
      ].map(withName),
      ...['0', '3651', '1.5', '"30"', 'null'].map(days =>
        withField(`expiresInDays ${days}`, `"expiresInDays":${days}`)
      ),
      withField('two ends', '"expiresInDays":1,"expiresAt":"2999-01-01T00:00:00Z"'),
      withField('an end that is past', '"expiresAt":"2001-01-01T00:00:00Z"'),
      withField('an end without zone', '"expiresAt":"2999-01-01T00:00:00"'),
      refused('include=x', get(`${TOKENS}?include=x`, J), 400, 'INVALID_REQUEST'),
      refused(
        'include twice',
        get(`${TOKENS}?include=inactive&include=inactive`, J),
        400,
        'INVALID_REQUEST'
      )
    ])
    t.equal(rows.size, 0, 'no row')
  }
)

t.test('T8, T9, T12: a body is JSON that says so, once, or it is not read', async t => {
  const { range, rows } = await startApi(t)
  const types = [
    'application/json\t; x',
    'application/jsonx',
    'application/json x',
    'text/plain',
    'application/x-www-form-urlencoded'
  ]
  const bodies = [
    '{"name":"a","name":"b","scopes":["a:read"]}',
    `\xef\xbb\xbf${GOOD}`,
    `${GOOD} x`,
    '{"name":NaN}',
    '['.repeat(50_000),
    '[]'
  ]
  await tryRows(t, range, [
    ...types.map(type =>
      refused(
        `CVE-2026-25223, CVE-2026-3419, CVE-2026-33806 fastify, ${JSON.stringify(type)}`,
        create(GOOD, `${J}Content-Type: ${type}\r\n`),
        415,
        'UNSUPPORTED_MEDIA_TYPE'
      )
    ),
    refused('CVE-2025-32442 fastify, no type', create(GOOD, J), 415, 'UNSUPPORTED_MEDIA_TYPE'),
    refused(
      'an encoding',
      create(GOOD, `${J}${JSON_TYPE}Content-Encoding: gzip\r\n`),
      415,
      'UNSUPPORTED_CONTENT_ENCODING'
    ),
    ...bodies.map(body => refused(body.slice(0, 30), create(body), 400, 'INVALID_REQUEST')),
    refused('over 64 KiB', create(GOOD.padEnd(65_537)), 413, 'BODY_TOO_LARGE'),
    refused(
      'CVE-2022-41919 fastify, another site with cookies',
      create(
        GOOD,
        'Cookie: session=1\r\nOrigin: https://evil.test\r\nContent-Type: text/plain\r\n'
      ),
      401,
      'NO_TOKEN'
    )
  ])
  t.equal(rows.size, 0, 'no row')
})

t.test(
  'T5, T7, T10: an id of somebody else, of nobody, or that is none, is one answer',
  async t => {
    const { range, rows, addRow } = await startApi(t)
    const theirs = await addRow('somebody-else')
    const ids = [
      theirs,
      '0190c5a0-0000-7000-8000-00000000ffff',
      '%27',
      "'%20OR%201=1--",
      'x'.repeat(10_240)
    ]
    const bodies = new Set<string>()
    for (const id of ids) {
      for (const line of [`DELETE ${TOKENS}/${id}`, `POST ${TOKENS}/${id}/rotate`]) {
        const { answers } = await sendRaw(range.proxy.port, range.fill(ask(line, J)))
        t.equal(answers[0]?.status, 404, line.slice(0, 60))
        bodies.add(JSON.stringify({ ...answers[0]?.json, requestId: '' }))
      }
    }
    t.equal(bodies.size, 1, [...bodies].join('\n'))
    t.equal(rows.get(theirs)?.revokedAtMs, null, 'it still works')
    const { answers } = await sendRaw(range.proxy.port, range.fill(get(TOKENS, J)))
    t.notMatch(answers[0]?.body, theirs, 'nor is it listed')
    const mine = await addRow('u7')
    const rotate = (body: string): Row =>
      refused(
        body,
        `POST ${TOKENS}/${mine}/rotate HTTP/1.1\r\nHost: g\r\n${J}${JSON_TYPE}Content-Length: ${body.length}\r\n\r\n${body}`,
        400,
        'INVALID_REQUEST'
      )
    await tryRows(t, range, [
      refused('a dot segment', ask(`DELETE ${TOKENS}/../x`, J), 400, 'MALFORMED_REQUEST'),
      ...['-1', '2592001', '"0"'].map(grace => rotate(`{"graceSeconds":${grace}}`))
    ])
  }
)

t.test('T6: no token manages tokens, good or not, and nobody is asked about it', async t => {
  const { range, rows } = await startApi(t)
  const bad = 'Authorization: Bearer ci_x\r\n'
  await tryRows(
    t,
    range,
    [A, bad].flatMap(auth =>
      [
        get(TOKENS, auth),
        create(GOOD, `${auth}${JSON_TYPE}`),
        ask(`DELETE ${TOKENS}/x`, auth),
        ask(`POST ${TOKENS}/x/rotate`, auth)
      ].map(send => refused(`API5:2023 ${send.slice(0, 20)}`, send, 403, 'JWT_REQUIRED'))
    )
  )
  t.equal(rows.size, 0)
  t.equal(range.proxy.counts.get('tokens_refused_total malformed'), undefined)
})

t.test(
  'T11: the one answer that holds a token is the one that made it, and none is kept',
  async t => {
    const { range, addRow, rows } = await startApi(t)
    const mine = await addRow('u7')
    const asked = [get(TOKENS, J), get(`${TOKENS}?include=inactive`, J), get(`${TOKENS}?x`, J)]
    const others = [ask(`DELETE ${TOKENS}/${mine}`, J), ask(`DELETE ${TOKENS}/x`, J), create('{}')]
    for (const send of [...asked, ...others]) {
      const { text, answers } = await sendRaw(range.proxy.port, range.fill(send))
      t.equal(answers[0]?.headers['cache-control'], 'no-store', send.slice(0, 40))
      t.notMatch(text, /ci_[0-9A-Za-z]{10}/, 'no token')
      for (const { digest } of rows.values()) t.notMatch(text, digest, 'no digest')
    }
    const { answers } = await sendRaw(range.proxy.port, range.fill(create(GOOD)))
    t.match(answers[0], { status: 201, headers: { 'cache-control': 'no-store' } })
  }
)

t.test('T13: two DELETEs at once each wait for a barrier of their own', async t => {
  const { range, addRow, barriers, holdBarriers } = await startApi(t)
  const mine = await addRow('u7')
  const held = Promise.withResolvers<void>()
  holdBarriers(held.promise)
  const send = range.fill(ask(`DELETE ${TOKENS}/${mine}`, J))
  const both = [sendRaw(range.proxy.port, send), sendRaw(range.proxy.port, send)]
  const first = await Promise.race([...both, new Promise(resolve => setTimeout(resolve, 200))])
  t.equal(first, undefined, 'no answer before the barrier')
  t.equal(barriers(), 2)
  held.resolve()
  for (const { answers } of await Promise.all(both)) t.equal(answers[0]?.status, 200)
  t.equal((await sendRaw(range.proxy.port, send)).answers[0]?.status, 200, 'and once more')
  t.equal(barriers(), 3)
})
