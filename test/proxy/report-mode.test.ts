/** Report mode at a recording upstream: what is let through and told, and what never is. */
import t, { type Test } from 'tap'
import { call } from '../support/gate.ts'
import { startProxy } from '../support/proxy.ts'
import { fileWith, loadText } from '../support/routes.ts'
import { signedHeaders } from '../support/signer.ts'

const RULES = [
  'GET /scoped: { scope: a:write, repo: none, mode: report }',
  'GET /repos/{id}: { scope: a:read, repo: "{id}", mode: report }',
  'POST /bodies: { scope: a:read, repo: body.id, mode: report }',
  'GET /unbound: { scope: a:read, mode: report }',
  'GET /people: { scope: jwt, mode: report }',
  'GET /signed: { scope: a:read, signature: required, mode: report }',
  'GET /denied: deny',
  'GET /strict: { scope: a:write, mode: enforce }'
]
const USERS = { 'user.jwt.text': { userId: 'u1', orgId: null, expiresAtMs: Infinity } }

async function start(t: Test, mode: 'enforce' | 'report') {
  const routes = fileWith(...RULES).replace('version: 1', `version: 1\nmode: ${mode}`)
  const proxy = await startProxy(t, { routes, users: USERS })
  return {
    ...proxy,
    /** Status, what the upstream received, and what was told of it. */
    async send(path: string, sent: Parameters<typeof call>[1] = {}) {
      const before = proxy.upstream.requests.length
      const told = proxy.logged.length
      const { status, headers, json } = await call(proxy.url + path, sent)
      return {
        status,
        code: json['code'],
        header: headers.get('x-tollgate-would-deny'),
        received: proxy.upstream.requests.slice(before).map(({ target }) => target),
        logged: proxy.logged.slice(told)
      }
    }
  }
}

const WAIVED = [
  ['/scoped', 'GET /scoped', 'INSUFFICIENT_SCOPE'],
  ['/repos/r2', 'GET /repos/{id}', 'REPOSITORY_DENIED'],
  ['/unbound', 'GET /unbound', 'REPOSITORY_DENIED'],
  ['/people', 'GET /people', 'JWT_REQUIRED'],
  ['/signed', 'GET /signed', 'INVALID_SIGNATURE']
] as const

for (const [path, route, code] of WAIVED) {
  t.test(`${code} of ${route} is waived, counted, logged and told to the client`, async t => {
    const proxy = await start(t, 'enforce')
    const all = path === '/signed' || path === '/scoped' || path === '/people'
    const token = proxy.addToken({ repositories: all ? null : ['r1'] })
    const sent = await proxy.send(path, { bearer: token.text })
    t.match(sent, { status: 200, header: code, received: [path] })
    t.match(sent.logged, [['would deny', { route, code, tokenId: token.id }]])
    t.equal(proxy.counts.get(`would_deny_total ${route} ${code}`), 1)
    t.equal(proxy.upstream.last().all('x-ci-auth')[0], 'cli-token')
  })
}

t.test('a repository in the body is waived, and the body goes on as it came', async t => {
  const proxy = await start(t, 'enforce')
  const { text } = proxy.addToken({ repositories: ['r1'] })
  const body = '{ "id" : "r2" }'
  const sent = await proxy.send('/bodies', { method: 'POST', bearer: text, body })
  t.match(sent, { status: 200, header: 'REPOSITORY_DENIED', received: ['/bodies'] })
  t.equal(proxy.upstream.last().text, body)
  const open = await proxy.send('/bodies', { method: 'POST', bearer: text, body: { id: 'r1' } })
  t.match(open, { status: 200, header: undefined, logged: [] }, 'what passes is not told')
})

t.test('the log says which scopes were needed and held', async t => {
  const proxy = await start(t, 'enforce')
  const { logged } = await proxy.send('/scoped', { bearer: proxy.addToken().text })
  t.match(logged, [['would deny', { needed: ['a:write'], held: ['a:read'] }]])
})

t.test('without a rule: only in the file’s report mode, only with a valid credential', async t => {
  const enforced = await start(t, 'enforce')
  const refused = await enforced.send('/none/x1', { bearer: enforced.addToken().text })
  t.match(refused, { status: 403, code: 'ROUTE_DENIED', received: [] })

  const proxy = await start(t, 'report')
  const limited = proxy.addToken({ repositories: ['r1'] })
  const sent = await proxy.send('/none/x1?q=1', { bearer: limited.text })
  t.match(sent, { status: 200, header: 'ROUTE_DENIED', received: ['/none/x1?q=1'] })
  t.match(sent.logged, [['would deny', { route: 'none', code: 'ROUTE_DENIED' }]])
  t.equal(proxy.counts.get('would_deny_total none ROUTE_DENIED'), 1)
  const user = await proxy.send('/none', { bearer: 'user.jwt.text' })
  t.match(user, { status: 200, header: 'ROUTE_DENIED', received: ['/none'] })
  t.match(proxy.usage.report(loadText(fileWith()).table).unmatched, [
    { method: 'GET', path: '/none/{id1}', requests: 1 },
    { method: 'GET', path: '/none', requests: 1 }
  ])
  const nobody = [
    [undefined, 'NO_TOKEN'],
    ['wrong', 'INVALID_TOKEN'],
    ['ci_wrong', 'INVALID_CLI_TOKEN']
  ] as const
  for (const [bearer, code] of nobody) {
    t.match(await proxy.send('/none', { bearer }), { status: 401, code, received: [] })
  }
})

t.test('what report mode never waives, in the rule’s and in the file’s', async t => {
  const proxy = await start(t, 'report')
  const { text } = proxy.addToken()
  const strict = proxy.addToken({ requireSignature: true }).text
  const revoked = proxy.addToken({ revokedAtMs: Date.now() - 1 }).text
  const limited = proxy.addToken({ repositories: ['r1'] }).text
  const bound = proxy.addToken({ orgId: 'o1' }).text
  const badly = signedHeaders({ token: 'ci_other', method: 'GET', path: '/signed' })
  const rows: readonly (readonly [string, string, Parameters<typeof call>[1], number, string])[] = [
    ['an unclear target', '//scoped', { bearer: text }, 400, 'MALFORMED_REQUEST'],
    ['a near miss', '/Scoped', { bearer: text }, 400, 'MALFORMED_REQUEST'],
    [
      'a body that has two readings',
      '/bodies',
      { method: 'POST', bearer: limited, body: '{"id":"r1","id":"r2"}' },
      400,
      'MALFORMED_REQUEST'
    ],
    ['no credential', '/scoped', {}, 401, 'NO_TOKEN'],
    ['no credential for people', '/people', {}, 401, 'NO_TOKEN'],
    ['a bad JWT', '/people', { bearer: 'bad.jwt.text' }, 401, 'INVALID_TOKEN'],
    ['an unknown token', '/people', { bearer: 'ci_unknown' }, 401, 'INVALID_CLI_TOKEN'],
    ['a revoked token', '/people', { bearer: revoked }, 401, 'INVALID_CLI_TOKEN'],
    ['a bad signature', '/signed', { bearer: text, headers: badly }, 401, 'INVALID_SIGNATURE'],
    ['a token that demands signatures', '/signed', { bearer: strict }, 401, 'INVALID_SIGNATURE'],
    ['an explicit deny', '/denied', { bearer: text }, 403, 'ROUTE_DENIED'],
    ['a rule that enforces', '/strict', { bearer: text }, 403, 'INSUFFICIENT_SCOPE'],
    [
      'another organisation',
      '/scoped',
      { bearer: bound, headers: { 'x-org-id': 'o2' } },
      403,
      'ORGANIZATION_DENIED'
    ],
    ['the token API', '/api/auth/cli-tokens', { bearer: text }, 403, 'JWT_REQUIRED'],
    ['below the token API', '/api/auth/cli-tokens/a/b', { bearer: text }, 403, 'ROUTE_DENIED']
  ]
  for (const [what, path, request, status, code] of rows) {
    const sent = await proxy.send(path, request)
    t.match(sent, { status, code, header: undefined, received: [], logged: [] }, what)
  }
})

t.test('an upstream cannot say it', async t => {
  const proxy = await startProxy(t, {
    routes: fileWith('GET /a: public'),
    upstream: {
      respond: (_request, response) => {
        response.setHeader('x-tollgate-would-deny', 'ROUTE_DENIED')
        response.end('ok')
      }
    }
  })
  t.equal((await call(`${proxy.url}/a`)).headers.get('x-tollgate-would-deny'), undefined)
})
