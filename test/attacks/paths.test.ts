/** What a path, a query, a method or a repository could be read as by somebody else. */
import t from 'tap'
import { A, ask, get, J, post, R, type Row, startRange, tryRows } from './support/rows.ts'

const malformed = (name: string, send: string): Row => ({ name, send, status: 400, saw: 0 })
const passed = (name: string, send: string, more: Partial<Row> = {}): Row => ({
  name,
  send,
  status: 200,
  saw: 1,
  ...more
})
const denied = (name: string, send: string, code: string, status = 403): Row => ({
  name,
  send,
  status,
  code,
  saw: 0
})

const TRAVERSALS = [
  ['CVE-2026-33494 Oathkeeper', '/pub/../admin/x'],
  ['CVE-2026-42274 Heimdall', '/pub/%2e%2e/admin/x'],
  ['CVE-2019-9901 Envoy', '/pub/.%2E/admin/x'],
  ['a dot segment', '/pub/./x'],
  ['dots at the end', '/pub/x/..'],
  ['one dot at the end', '/pub/x/.'],
  ['GHSA-p23h-xhr6-x5cw ESPv2', '/pub/..%2fadmin%2fx'],
  ['CVE-2026-85124 http-proxy', '/pub/..\\admin\\x'],
  ['an escaped backslash', '/pub/..%5cadmin'],
  ['CVE-2026-26205 OPA-Envoy', '//admin/x'],
  ['CVE-2026-2880 middie', '/api//a/special'],
  ['CVE-2026-14198 middie', '/pub//x'],
  ['CVE-2022-35949 undici', '//evil.test/x'],
  ['a backslash for the slash of a host', '/\\evil.test/x'],
  ['CVE-2026-73511 Envoy', '/pub;/../admin/x'],
  ['CVE-2026-8384 Jetty', '/pub/..;/admin/x'],
  ['CVE-2026-15573 Keycloak', '/api/a;v=1/special'],
  ['an escaped semicolon', '/pub/a%3bb'],
  ['CVE-2026-16117 http-proxy', '/%70ub/x'],
  ['GHSA-fvhj-4qfh-q2hm Traefik', '/pub/x#/../../admin/x'],
  ['CVE-2026-41059 oauth2-proxy', '/pub/#x'],
  ['CVE-2026-32811 Heimdall', '/pub/x%23y'],
  ['CVE-2026-120213 http-proxy', '/pub/x%3Fy'],
  ['CWE-158', '/pub/a%00b'],
  ['a raw NUL', '/pub/a\x00b'],
  ['a raw TAB', '/pub/a\tb'],
  ['a raw DEL', '/pub/a\x7fb'],
  ['a raw byte above ASCII', '/pub/a\xe9b'],
  ['a raw space', '/pub/a b'],
  ['CVE-2021-32637 Authelia', '/pub/%zz'],
  ['half an escape', '/pub/%2'],
  ['a percent sign', '/pub/%'],
  ['a percent sign in the query', '/pub/x?q=%'],
  ['a byte that begins no character', '/pub/%ff'],
  ['a byte in the middle of none', '/pub/%80'],
  ['a character cut short', '/pub/%e2%82'],
  ['a slash written in two bytes', '/pub/%c0%af'],
  ['quotes and angles', '/pub/"<x>'],
  ['a caret', '/pub/a^b'],
  ['a backquote', '/pub/a`b'],
  ['a slash of full width', '/pub/..%ef%bc%8fadmin'],
  ['a dot of full width', '/pub/%ef%bc%8e%ef%bc%8e/admin']
] as const

t.test(
  'P1, P2, P3, P4, P5, P6, P7, P9, P10, P11, P12, P13, P14, P15, P16, P17: a target with a second reading is refused, and reaches nobody',
  async t => {
    const range = await startRange(t)
    await tryRows(t, range, [
      ...TRAVERSALS.map(([name, target]) =>
        malformed(`${name} ${JSON.stringify(target)}`, get(target))
      ),
      malformed('CVE-2026-34908', get('/api/repo/r1%2f..%2fr2', R)),
      malformed('CVE-2026-42272 Heimdall, lower case', get('/api/a%2fspecial', A)),
      malformed('CVE-2026-42272 Heimdall, upper case', get('/api/a%2Fspecial', A)),
      malformed('an escaped letter of a literal', get('/api/%61/special', A)),
      malformed('CVE-2026-33808 @fastify/express', get('/api/a/speci%61l', A)),
      malformed('a literal in upper case', get('/api/a/SPECIAL', A)),
      malformed('a prefix in upper case', get('/API/a/1', A))
    ])
  }
)

t.test('P8: a target that is no path from the root is refused', async t => {
  const range = await startRange(t)
  const lines = [
    'GET http://evil.test/pub/x',
    'GET http://g/pub/x',
    'GET https://g:443/pub/x',
    'OPTIONS *',
    'GET *',
    'GET pub/x',
    'GET ?x'
  ]
  await tryRows(
    t,
    range,
    lines.map(line => malformed(line, ask(line)))
  )
})

t.test(
  'P18, P19, P20, P21: the path decides, whatever the query says, and goes on as it came',
  async t => {
    const range = await startRange(t)
    await tryRows(t, range, [
      passed('GHSA-7rh7-c77v-6434 oauth2-proxy', get('/pub/x?/../../admin/x')),
      passed('a rule’s path in the query', get('/api/a/1?/api/a/special', A)),
      passed('CVE-2026-40912 Traefik', get('/pub/x/')),
      passed('an escaped colon', get('/api/a/x%3Ay', A)),
      denied('a prefix before a rule', get('/x/api/a/1', A), 'ROUTE_DENIED'),
      denied('a segment after a rule', get('/api/a/1/more', A), 'ROUTE_DENIED'),
      denied('a segment less', get('/api/a', A), 'ROUTE_DENIED'),
      denied('a last slash', get('/api/a/special/', A), 'INSUFFICIENT_SCOPE'),
      denied('no last slash', get('/api/a/special', A), 'INSUFFICIENT_SCOPE')
    ])
  }
)

t.test('P22, P23, P24, P25: a method means itself and nothing else', async t => {
  const range = await startRange(t)
  const overrides = ['X-HTTP-Method-Override', 'X-HTTP-Method', 'X-Method-Override']
  await tryRows(t, range, [
    denied('a method without a rule', ask('PUT /api/a/1', A), 'ROUTE_DENIED'),
    denied('HEAD asks for what GET asks', ask('HEAD /api/a/special', A), 'INSUFFICIENT_SCOPE'),
    denied('TRACE', ask('TRACE /pub/x'), 'ROUTE_DENIED'),
    denied('PROPFIND', ask('PROPFIND /pub/x'), 'ROUTE_DENIED'),
    denied('OPTIONS', ask('OPTIONS /pub/x'), 'ROUTE_DENIED'),
    malformed('a method in lower case', ask('get /pub/x')),
    malformed('a method of nobody', ask('FOO /pub/x')),
    ...overrides.map(name =>
      passed(`CVE-2023-30845 ESPv2, ${name}`, get('/api/a/1', `${A}${name}: DELETE\r\n`), {
        lacks: overrides.map(other => other.toLowerCase())
      })
    )
  ])
})

t.test('P26, P27: no header moves a request to another path or host', async t => {
  const range = await startRange(t)
  const names = ['X-Original-URL', 'X-Rewrite-URL', 'X-Forwarded-Uri', 'X-Forwarded-Prefix']
  const hosts = ['ADMIN.', 'other:1']
  await tryRows(t, range, [
    ...names.map(name =>
      passed(`CVE-2018-14773 Symfony, ${name}`, get('/pub/x', `${name}: /admin/x\r\n`), {
        lacks: [name.toLowerCase()]
      })
    ),
    ...hosts.flatMap(host => [
      passed(`CVE-2026-42273 Heimdall, ${host}`, `GET /pub/x HTTP/1.1\r\nHost: ${host}\r\n\r\n`, {
        has: { host: [host] }
      }),
      denied(
        `${host} and no rule`,
        `GET /admin/x HTTP/1.1\r\nHost: ${host}\r\n\r\n`,
        'ROUTE_DENIED'
      )
    ])
  ])
})

t.test('P28: the gate’s own paths are no prefix, and have one spelling', async t => {
  const range = await startRange(t)
  await tryRows(t, range, [
    denied('more segments', get('/api/auth/cli-tokens/x/y', J), 'ROUTE_DENIED'),
    denied('another method', ask('PUT /api/auth/cli-tokens', J), 'ROUTE_DENIED'),
    malformed('another spelling', get('/api/auth/CLI-tokens', J))
  ])
})

t.test('P29, P30, P31: a token reaches its own repositories alone', async t => {
  const range = await startRange(t)
  const other = ['/api/repo/r2', '/api/repo/R1', '/api/repo/r1,r2']
  const absent = ['/api/find', '/api/find?repo=', '/api/find?xrepo=r1']
  const twins = [
    '/api/find?repo=r1&repo=r2',
    '/api/find?repo[]=r2&repo=r1',
    '/api/find?repo=r1;repo=r2',
    '/api/find?Repo=r2&repo=r1'
  ]
  await tryRows(t, range, [
    passed('its own', get('/api/repo/r1', R)),
    passed('its own, in the query', get('/api/find?x=1&repo=r1', R)),
    ...[...other, ...absent].map(target => denied(target, get(target, R), 'REPOSITORY_DENIED')),
    ...twins.map(target => malformed(target, get(target, R)))
  ])
})

t.test('P32, P33: a body is read as JSON that has one reading, or refused', async t => {
  const range = await startRange(t)
  const json = `${R}Content-Type: application/json\r\n`
  const bodies = [
    '{"repo":"r1","repo":"r2"}',
    '{"repo":"r1","Repo":"r2"}',
    '{"repo":"r1","\\u0072epo":"r2"}',
    '{"repo":["r1"]}',
    '\xef\xbb\xbf{"repo":"r1"}',
    '{"repo":"r1"} x',
    '{"repo":"r1"}{"repo":"r2"}'
  ]
  const types = [
    'Content-Type: application/x-www-form-urlencoded',
    'Content-Type: text/plain',
    'Content-Type: application/json\r\nContent-Encoding: gzip'
  ]
  await tryRows(t, range, [
    passed('one reading', post('/api/make', json, '{"repo":"r1"}')),
    denied('another repository', post('/api/make', json, '{"repo":"r2"}'), 'REPOSITORY_DENIED'),
    ...bodies.map(body => malformed(body, post('/api/make', json, body))),
    ...types.map(type =>
      denied(
        type,
        post('/api/make', `${R}${type}\r\n`, '{"repo":"r1"}'),
        type.includes('gzip') ? 'UNSUPPORTED_CONTENT_ENCODING' : 'UNSUPPORTED_MEDIA_TYPE',
        415
      )
    )
  ])
})
