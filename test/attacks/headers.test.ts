/** Headers that claim who the caller is, and headers that take other headers away. */
import t from 'tap'
import { sendRaw } from '../support/raw.ts'
import { A, ask, get, J, post, type Row, startRange, tryRows } from './support/rows.ts'

const refused = (name: string, send: string): Row => ({ name, send, status: 400, saw: 0 })
const passed = (name: string, send: string, more: Partial<Row> = {}): Row => ({
  name,
  send,
  status: 200,
  saw: 1,
  ...more
})

t.test('H1, H2, H3: nobody but the gate says who the caller is, in no spelling', async t => {
  const range = await startRange(t)
  const claims = 'x-ci-user-id: root\r\nx-ci-new-thing: 1\r\n'
  const token = { 'x-ci-auth': ['cli-token'], 'x-ci-user-id': ['u1'], 'x-ci-scopes': ['a:read'] }
  await tryRows(t, range, [
    passed('CVE-2026-39998 APISIX, nobody', get('/pub/x', claims), {
      has: { 'x-ci-auth': ['none'] }
    }),
    passed('CVE-2026-44087 APISIX, a token', get('/api/a/1', `${A}${claims}`), { has: token }),
    passed('a user', get('/api/people', `${J}${claims}`), {
      has: { 'x-ci-auth': ['jwt'], 'x-ci-user-id': ['u7'], 'x-ci-scopes': ['*'] }
    }),
    ...['X_CI_User_Id', 'X-Ci_Scopes', 'x_ci-scopes', 'X.CI.User.Id', 'X-CI-USER-ID'].map(name =>
      passed(`CVE-2026-33433 Traefik, ${name}`, get('/api/a/1', `${A}${name}: root\r\n`), {
        has: token,
        lacks: name.includes('_') || name.includes('.') ? [name.toLowerCase()] : []
      })
    ),
    passed('CVE-2021-41130 ESP', get('/api/a/1', `${A}${'x-ci-token-id: t\r\n'.repeat(3)}`), {
      has: { 'x-ci-token-id': [range.a.id] }
    })
  ])
})

t.test('H4, H5, H6: Connection takes away what is hop-by-hop, and nothing of ours', async t => {
  const range = await startRange(t)
  const nominated = ['authorization', 'x-org-id', 'content-length', 'host', 'x-cli-nonce']
  const hops = [
    'Keep-Alive: timeout=9',
    'TE: trailers',
    'Proxy-Authorization: Basic abc',
    'Proxy-Connection: keep-alive',
    'Trailer: x-end',
    'Upgrade: foo/2'
  ]
  await tryRows(t, range, [
    passed(
      'CVE-2024-45410 Traefik, CVE-2025-48865 Fabio',
      get('/api/a/1', `${A}Connection: close, x-ci-user-id, x-ci-scopes, x-forwarded-for\r\n`),
      {
        has: { 'x-ci-user-id': ['u1'], 'x-ci-scopes': ['a:read'], 'x-forwarded-for': ['127.0.0.1'] }
      }
    ),
    ...nominated.map(name =>
      refused(`nominates ${name}`, get('/api/a/1', `${A}Connection: ${name}\r\n`))
    ),
    refused('nominates in another spelling', get('/api/a/1', `${A}Connection: X_Org_Id\r\n`)),
    passed('a nominated header', get('/api/a/1', `${A}Connection: x-a\r\nX-A: 1\r\n`), {
      lacks: ['x-a']
    }),
    ...hops.map(line =>
      passed(line, get('/api/a/1', `${A}${line}\r\n`), {
        lacks: [line.slice(0, line.indexOf(':')).toLowerCase()]
      })
    )
  ])
})

t.test('H7: what the upstream nominates stays between the two of us', async t => {
  const { proxy } = await startRange(t, {
    upstream: {
      respond: (_request, response) => {
        response.writeHead(200, { connection: 'x-inner', 'x-inner': '1', 'content-length': '0' })
        response.end()
      }
    }
  })
  const { answers, text } = await sendRaw(proxy.port, get('/pub/x'))
  t.equal(answers[0]?.status, 200, 'GHSA-79qm-7rj5-m7r9 Hono')
  t.notMatch(text, /x-inner/i)
  t.equal(proxy.upstream.requests.length, 1)
})

t.test('H8: where a request comes from is what the socket says', async t => {
  const range = await startRange(t)
  const lies = [
    ['CVE-2026-3635 fastify', 'X-Forwarded-For: 1.2.3.4'],
    ['CVE-2026-16732 fastify', 'X-Forwarded-Proto: https'],
    ['another host', 'X-Forwarded-Host: evil'],
    ['RFC 7239', 'Forwarded: for=1.2.3.4;host=evil;proto=https'],
    ['an address', 'X-Real-IP: 1.2.3.4'],
    ['a folded spelling', 'X_Forwarded_For: 1.2.3.4']
  ] as const
  const truth = {
    'x-forwarded-for': ['127.0.0.1'],
    'x-forwarded-proto': ['http'],
    'x-forwarded-host': ['g']
  }
  await tryRows(t, range, [
    ...lies.map(([name, line]) => passed(name, get('/pub/x', `${line}\r\n`), { has: truth })),
    passed('all at once', get('/pub/x', lies.map(([, line]) => `${line}\r\n`).join('')), {
      has: truth,
      lacks: ['forwarded', 'x-real-ip', 'x_forwarded_for']
    })
  ])
})

t.test('H10: no client speaks for a proxy or a certificate', async t => {
  const range = await startRange(t)
  const lines = [
    ['CVE-2016-5385 httpoxy', 'Proxy: http://evil.test'],
    ['RFC 9440', 'Client-Cert: :MIIB:'],
    ['a certificate', 'X-Client-Cert: MIIB'],
    ['nginx', 'X-SSL-Client-Verify: SUCCESS'],
    ['CVE-2026-46579 OpenShift router', 'X-Forwarded-Client-Cert: By=spiffe://evil']
  ] as const
  await tryRows(
    t,
    range,
    lines.map(([name, line]) =>
      passed(name, get('/pub/x', `${line}\r\n`), {
        lacks: [line.slice(0, line.indexOf(':')).toLowerCase()]
      })
    )
  )
})

const TWICE = [
  ['Host', 'g', 'h'],
  ['Content-Length', '0', '1'],
  ['Content-Type', 'text/plain', 'application/json'],
  ['Content-Encoding', 'identity', 'gzip'],
  ['Transfer-Encoding', 'chunked', 'identity'],
  ['Expect', '100-continue', '100-Continue'],
  ['X-Org-Id', 'o1', 'o2'],
  ['X-Cli-Signature', 'a'.repeat(64), 'b'.repeat(64)],
  ['X-Cli-Timestamp', '1700000000000', '1700000000001'],
  ['X-Cli-Nonce', 'n1', 'n2'],
  ['X-Cli-Signature-Version', '1', '2']
] as const

t.test('H11, H12, H13: what is decided by stands once, in its own spelling', async t => {
  const range = await startRange(t)
  const other = 'Authorization: Bearer ci_bad\r\n'
  const pairs = [
    ['good first', `${A}${other}`],
    ['good last', `${other}${A}`],
    ['the same twice', `${A}${A}`]
  ] as const
  const folded = [
    'X_Org_Id: other',
    'X.Org.Id: other',
    'Content_Length: 5',
    'Transfer_Encoding: chunked',
    'x_cli_nonce: 1'
  ]
  await tryRows(t, range, [
    ...['/api/a/1', '/pub/x'].flatMap(target =>
      pairs.map(([name, lines]) =>
        refused(`two Authorization, ${name} ${target}`, get(target, lines))
      )
    ),
    ...TWICE.flatMap(([name, one, two]) =>
      [one, two].map(value =>
        refused(
          `${name} twice: ${one}, ${value}`,
          `POST /api/a/1 HTTP/1.1\r\n${name === 'Host' ? '' : 'Host: g\r\n'}${A}${name}: ${one}\r\n${name}: ${value}\r\n\r\n`
        )
      )
    ),
    ...folded.map(line => refused(line, ask('POST /api/a/1', `${A}${line}\r\n`)))
  ])
})

t.test('H14: a token of one organisation asks for no other', async t => {
  const range = await startRange(t)
  const token = range.proxy.addToken({ orgId: 'o1' })
  const head = `Authorization: Bearer ${token.text}\r\n`
  await tryRows(t, range, [
    ...['o2', 'o1,o2', 'O1', ''].map((org): Row => ({
      name: `CVE-2026-31838 Istio, ${org}`,
      send: get('/api/a/1', `${head}X-Org-Id: ${org}\r\n`),
      status: 403,
      code: 'ORGANIZATION_DENIED',
      saw: 0
    })),
    passed('its own', get('/api/a/1', `${head}X-Org-Id: o1\r\n`), {
      has: { 'x-ci-org-id': ['o1'] }
    })
  ])
})

t.test('H15: on a public route a token is not looked at, and stays here', async t => {
  const range = await startRange(t)
  const credentials = [
    'bearer {A}',
    'BEARER {A}',
    '{A}',
    'Bearer ci_bad',
    'Basic {A}',
    'Bearer  {A}'
  ]
  const signature = 'X-Cli-Nonce: n\r\nX-Cli-Timestamp: 1\r\nX-Cli-Signature: s\r\n'
  await tryRows(
    t,
    range,
    credentials.map(value =>
      passed(value, get('/pub/x', `Authorization: ${value}\r\n${signature}`), {
        lacks: ['authorization']
      })
    )
  )
})

t.test('H16: a token counts in one place only', async t => {
  const range = await startRange(t)
  const places = [
    get('/api/a/1?access_token={A}'),
    get('/api/a/1?token={A}'),
    get('/api/a/1', 'Cookie: token={A}\r\n'),
    get('/api/a/1', 'Proxy-Authorization: Bearer {A}\r\n'),
    post('/api/a/1', 'Content-Type: application/json\r\n', '{"token":"ci_000000"}')
  ]
  await tryRows(
    t,
    range,
    places.map((send): Row => ({
      name: `a token elsewhere: ${send.split('\r\n').at(0)}`,
      send,
      status: 401,
      code: 'NO_TOKEN',
      message: 'No token provided',
      saw: 0
    }))
  )
})

t.test('H17: a credential that is none is refused without a look-up', async t => {
  const range = await startRange(t)
  const { text } = range.a
  const values = [
    ['Bearer', 'NO_TOKEN'],
    ['Bearer ', 'NO_TOKEN'],
    ['Bearer abc', 'INVALID_TOKEN'],
    [`Bearer ${'x'.repeat(10_000)}`, 'INVALID_TOKEN'],
    [`Bearer ci_${'x'.repeat(10_000)}`, 'INVALID_CLI_TOKEN'],
    ['Bearer a b', 'INVALID_TOKEN'],
    ['Basic dTpw', 'NO_TOKEN'],
    ['Bearer {A} x', 'INVALID_CLI_TOKEN'],
    ['Bearer {A}, Bearer {A}', 'INVALID_CLI_TOKEN'],
    [`Bearer ${text.slice(0, -1)}${text.endsWith('a') ? 'b' : 'a'}`, 'INVALID_CLI_TOKEN'],
    [
      `Bearer ${text.slice(0, 9)}${text[9] === 'a' ? 'b' : 'a'}${text.slice(10)}`,
      'INVALID_CLI_TOKEN'
    ]
  ] as const
  await tryRows(
    t,
    range,
    values.map(([value, code]): Row => ({
      name: `Authorization: ${value.slice(0, 40)}`,
      send: get('/api/a/1', `Authorization: ${value}\r\n`),
      status: 401,
      code,
      saw: 0
    }))
  )
  t.equal(range.proxy.counts.get('tokens_refused_total malformed'), 10)
  t.equal(range.proxy.counts.get('tokens_refused_total unknown'), undefined, 'nobody was asked')
})

t.test('H18: a request id that could do harm is replaced', async t => {
  const range = await startRange(t)
  for (const id of ['x'.repeat(129), 'a b', '../../etc/passwd', 'a\tb', '"', '{}', '']) {
    await tryRows(t, range, [
      passed(`X-Request-Id: ${id}`, get('/pub/x', `X-Request-Id: ${id}\r\n`))
    ])
    const seen = range.proxy.upstream.requests.at(-2)
    t.match(seen?.all('x-request-id').join(), /^[0-9a-f-]{36}$/, 'one, made here')
  }
  // A token in it would be logged, and reach the upstream.
  for (const id of ['{A}', 'job-{R}']) {
    await tryRows(t, range, [
      passed(`X-Request-Id: ${id}`, get('/pub/x', `X-Request-Id: ${id}\r\n`))
    ])
    t.match(range.proxy.upstream.requests.at(-2)?.all('x-request-id').join(), /^[0-9a-f-]{36}$/)
  }
  const twice = 'X-Request-Id: a\r\nX-Request-Id: b\r\n'
  await tryRows(t, range, [passed('two of them', get('/pub/x', twice))])
  t.match(range.proxy.upstream.requests.at(-2)?.all('x-request-id').join(), /^[0-9a-f-]{36}$/)
  await tryRows(t, range, [
    passed('a harmless one', get('/pub/x', 'X-Request-Id: a.b-c_1\r\n'), {
      has: { 'x-request-id': ['a.b-c_1'] }
    })
  ])
})

t.test('H19: the name of a token is one header, whatever it is', async t => {
  const range = await startRange(t)
  for (const name of ['é 🚀, x', 'a\r\nx-ci-scopes: *', '%41', '\u202e']) {
    const { text } = range.proxy.addToken({ name })
    await tryRows(t, range, [
      passed(JSON.stringify(name), get('/api/a/1', `Authorization: Bearer ${text}\r\n`), {
        has: { 'x-ci-token-name': [encodeURIComponent(name)] }
      })
    ])
    const [sent = ''] = range.proxy.upstream.requests.at(-2)?.all('x-ci-token-name') ?? []
    t.equal(decodeURIComponent(sent), name)
  }
})
