/** What clients, upstreams and operators rely on, at two whole gates with one database. */
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { startFleet } from '../support/fleet.ts'
import { call, createToken, eventually, runTollgate, userJwt } from '../support/gate.ts'

const fleet = await startFleet(t, { gates: 2 })
const { upstream, gates } = fleet
const [first, second] = gates
if (!first || !second) throw new Error('two gates were asked for')
const TOKENS = '/api/auth/cli-tokens'
const jwt = await userJwt()
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/
const ISO = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/

const post = (body: unknown, bearer = jwt, headers: Readonly<Record<string, string>> = {}) =>
  call(first.url + TOKENS, { method: 'POST', bearer, body, headers })
const remove = (id: string, gate = first, bearer = jwt) =>
  call(`${gate.url}${TOKENS}/${id}`, { method: 'DELETE', bearer })

t.test('a token is created with all that was asked for, and shown once', async t => {
  const made = await post({
    name: 'Prüfung 🚀',
    scopes: ['scans:read', 'scans:trigger'],
    allRepositories: false,
    repositories: ['r1', 'github:acme:infra'],
    expiresInDays: 30,
    requireSignature: true
  })
  t.equal(made.status, 201)
  t.equal(made.headers.get('cache-control'), 'no-store')
  const { token, tokenInfo, ...rest } = made.json
  t.match(token, /^ci_[0-9A-Za-z]{36}$/)
  t.match(rest, {
    id: UUID,
    name: 'Prüfung 🚀',
    scopes: ['scans:read', 'scans:trigger'],
    allRepositories: false,
    repositories: ['r1', 'github:acme:infra'],
    createdAt: ISO,
    expiresAt: ISO,
    requireSignature: true
  })
  t.same(tokenInfo, rest, 'the same without the token')
  const days =
    (Date.parse(String(rest['expiresAt'])) - Date.parse(String(rest['createdAt']))) / 864e5
  t.ok(Math.abs(days - 30) < 0.01)

  const list = await call(first.url + TOKENS, { bearer: jwt })
  t.equal(list.status, 200)
  t.match(list.json, {
    tokens: [{ id: rest['id'], lastUsedAt: null, preview: /^ci_\w{4}…\w{4}$/ }]
  })
  t.notMatch(list.text, String(token))
})

t.test('what is left out has its default', async t => {
  const made = await post({ name: 'plain' })
  t.match(made.json, {
    scopes: ['repos:read', 'scans:read', 'scans:trigger', 'drifts:read'],
    allRepositories: true,
    repositories: [],
    expiresAt: null,
    requireSignature: false
  })
})

t.test('a bad body is refused with every field that is wrong', async t => {
  const bad = await post({ name: '', scopes: ['no:such'], expiresInDays: 0, colour: 'red' })
  t.equal(bad.status, 400)
  t.match(bad.json, { code: 'INVALID_REQUEST', message: String, requestId: String })
  const { errors } = bad.json
  const fields = Array.isArray(errors) ? errors.map(({ field }) => field) : []
  t.same(new Set(fields), new Set(['colour', 'expiresInDays', 'name', 'scopes']))
  for (const [body, status, code] of [
    ['{"name":"a","name":"b"}', 400, 'INVALID_REQUEST'],
    ['{', 400, 'INVALID_REQUEST'],
    [JSON.stringify({ name: 'x'.repeat(70_000) }), 413, 'BODY_TOO_LARGE']
  ] as const) {
    t.match(await post(body), { status, json: { code } })
  }
  const typed = await post('{"name":"a"}', jwt, { 'content-type': 'text/plain' })
  t.match(typed, { status: 415, json: { code: 'UNSUPPORTED_MEDIA_TYPE' } })
})

t.test('tokens are their owner’s alone', async t => {
  const { id, token } = await createToken(first)
  const other = await userJwt({ sub: 'user-2' })
  for (const gone of [id, crypto.randomUUID(), 'x']) {
    t.match(await remove(gone, first, other), { status: 404, json: { message: 'Token not found' } })
  }
  const list = await call(first.url + TOKENS, { bearer: other })
  t.same(list.json, { tokens: [] })
  t.equal((await call(`${first.url}/api/scans/dashboard`, { bearer: token })).status, 200)
})

t.test('a revoked token is dead on every replica when DELETE answers', async t => {
  for (let round = 0; round < 20; round++) {
    const { id, token } = await createToken(first)
    const use = () =>
      Promise.all(gates.map(gate => call(`${gate.url}/api/scans/dashboard`, { bearer: token })))
    t.same(
      (await use()).map(({ status }) => status),
      [200, 200]
    )
    const deleted = await remove(id, second)
    t.match(deleted, {
      status: 200,
      json: { success: true, id, revokedAt: ISO, barrier: { replicas: 2, acknowledged: 2 } }
    })
    const seen = upstream.begun
    for (const { status, json } of await use()) {
      t.match({ status, json }, { status: 401, json: { message: 'Invalid or expired CLI token' } })
    }
    t.equal(upstream.begun, seen)
    t.match(await remove(id), { status: 200, json: { id, revokedAt: deleted.json['revokedAt'] } })
  }
  const active = await call(first.url + TOKENS, { bearer: jwt })
  t.notMatch(active.text, 'revokedAt')
  const all = await call(`${first.url}${TOKENS}?include=inactive`, { bearer: jwt })
  t.match(all.text, /"revokedAt":"\d/)
})

t.test('a rotated token has the rights of the old one, which ends after its grace', async t => {
  const { id, token } = await createToken(first, { repositories: ['r1'] })
  const rotated = await call(`${first.url}${TOKENS}/${id}/rotate`, {
    method: 'POST',
    bearer: jwt,
    body: {}
  })
  t.match(rotated, {
    status: 201,
    json: { rotatedFrom: id, repositories: ['r1'], barrier: { replicas: 2 } }
  })
  const use = (bearer: string, gate = second) =>
    call(`${gate.url}/api/scans/dashboard`, { bearer }).then(({ status }) => status)
  t.equal(await use(token), 401)
  t.equal(await use(String(rotated.json['token'])), 200)
})

t.test('each refusal has its documented status and body', async t => {
  const { token } = await createToken(first, { scopes: ['scans:read'], repositories: ['r1'] })
  const withOrg = await createToken(first, {}, await userJwt({ orgId: 'o1' }))
  const get = (path: string, bearer?: string, headers: Readonly<Record<string, string>> = {}) =>
    call(first.url + path, { bearer, headers })
  const seen = upstream.begun
  const cases = [
    [await get('/api/scans/dashboard'), 401, { message: 'No token provided' }],
    [await get('/api/scans/dashboard', 'nonsense'), 401, { message: 'Invalid token' }],
    [await get('/api/scans/dashboard', 'ci_x'), 401, { message: 'Invalid or expired CLI token' }],
    [
      await call(`${first.url}/api/scans/trigger/r1`, { method: 'POST', bearer: token }),
      403,
      {
        message: 'Insufficient permissions',
        error: 'This token requires the following scope(s): scans:trigger',
        requiredScopes: ['scans:trigger'],
        tokenScopes: ['scans:read'],
        code: 'INSUFFICIENT_SCOPE'
      }
    ],
    [
      await get('/api/scans/dashboard', withOrg.token, { 'x-org-id': 'o2' }),
      403,
      { message: 'Access denied', code: 'ORGANIZATION_DENIED' }
    ],
    [await get('/no/such/route', token), 403, { message: 'Access denied', code: 'ROUTE_DENIED' }],
    [await get(`${TOKENS}/x/y`, jwt), 403, { code: 'ROUTE_DENIED' }],
    [
      await get(TOKENS, token),
      403,
      { message: 'CLI tokens cannot manage tokens', code: 'JWT_REQUIRED' }
    ],
    [await get(TOKENS), 401, { message: 'No token provided' }],
    [await get(TOKENS, 'a.b.c'), 401, { message: 'Invalid token' }],
    [await get('/api/%73cans', token), 400, { code: 'MALFORMED_REQUEST' }],
    [
      await get('/api/scans/dashboard', token, { 'x-cli-nonce': 'n' }),
      401,
      {
        message: 'Request signature verification failed',
        error: 'Incomplete signature headers',
        code: 'INVALID_SIGNATURE'
      }
    ]
  ] as const
  for (const [answer, status, body] of cases) {
    t.match({ status: answer.status, json: answer.json }, { status, json: body })
    t.type(answer.json['requestId'], 'string')
    t.equal(answer.headers.get('content-type'), 'application/json')
    t.equal(answer.headers.get('cache-control'), 'no-store')
    t.equal(answer.headers.has('www-authenticate'), status === 401 || 'requiredScopes' in body)
  }
  t.equal(upstream.begun, seen, 'nothing of it went upstream')
})

t.test('the token page is the gate’s, and a missing scope leads to it', async t => {
  const page = '/settings/api-tokens'
  const document = await call(`${first.url}${page}`)
  t.match(document, { status: 200, text: /^<!doctype html>/ })
  t.equal((await call(`${first.url}${page}/catalogue`)).status, 401)
  const { scopes, rules, hash } = (await call(`${first.url}${page}/catalogue`, { bearer: jwt }))
    .json
  t.ok(Array.isArray(scopes) && scopes.some(({ name }) => name === 'scans:trigger'))
  const paths = Array.isArray(rules) ? rules.map(({ path }) => path) : []
  t.ok(paths.includes('/api/scans/dashboard'))
  t.notOk(paths.includes('/api/auth/login'), 'scopes do not decide it')
  t.equal(hash, (await call(`${first.adminUrl}/replicas`)).json['routesHash'])
  const session = await call(`${first.url}${page}/demo-session`, { method: 'POST' })
  t.match(session, { status: 403, json: { code: 'ROUTE_DENIED' } }, 'the JWT secret is configured')
  const { token } = await createToken(first, { scopes: ['scans:read'] })
  const trigger = { method: 'POST', bearer: token }
  const denied = await call(`${first.url}/api/scans/trigger/r1`, trigger)
  t.equal(denied.headers.get('link'), `<${page}?scopes=scans:read,scans:trigger>; rel="help"`)

  // Switched off, its paths are ordinary ones.
  const folder = mkdtempSync(join(tmpdir(), 'tollgate-off-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const ROUTES_FILE = join(folder, 'routes.yaml')
  const rule = `${page}: { scope: public, why: the service has a page of its own }`
  writeFileSync(
    ROUTES_FILE,
    `version: 1\nscopes: { scans:trigger: { title: Run } }\nroutes:\n  GET ${rule}\n  GET /x: scans:trigger\n`
  )
  const off = await fleet.startGate({ DASHBOARD: 'off', ROUTES_FILE })
  t.notMatch(off.output(), page)
  t.equal((await call(`${off.url}${page}`)).status, 200)
  t.equal(upstream.last().target, page, 'the upstream’s page')
  for (const path of ['/page.js', '/catalogue', '/demo-session']) {
    const gone = await call(`${off.url}${page}${path}`, { bearer: jwt })
    t.match(gone, { status: 403, json: { code: 'ROUTE_DENIED' } }, path)
  }
  const bare = await call(`${off.url}/x`, { bearer: token })
  t.match(bare, { status: 403, json: { code: 'INSUFFICIENT_SCOPE' } })
  t.notOk(bare.headers.has('link'))
  t.equal(await off.stop(), 0)
})

t.test('the upstream is told who calls, and never what by', async t => {
  const { token, id } = await createToken(
    first,
    { name: 'é x', repositories: ['r1', 'r2'] },
    await userJwt({ orgId: 'o1' })
  )
  const headers = { 'x-ci-user-id': 'root', 'x-request-id': 'my-id', 'x-org-id': 'o1' }
  await call(`${first.url}/api/scans/dashboard`, { bearer: token, headers })
  const seen = Object.fromEntries(upstream.last().headers)
  t.match(seen, {
    'x-ci-auth': 'cli-token',
    'x-ci-user-id': 'user-1',
    'x-ci-org-id': 'o1',
    'x-ci-token-id': id,
    'x-ci-token-name': '%C3%A9%20x',
    'x-ci-scopes': 'scans:read',
    'x-ci-repositories': 'r1,r2',
    'x-ci-signed': 'false',
    'x-request-id': 'my-id',
    'x-org-id': 'o1'
  })
  t.notMatch(upstream.raw().join(''), token)
  await call(`${first.url}/api/orgs`, { bearer: jwt })
  t.match(Object.fromEntries(upstream.last().headers), {
    authorization: `Bearer ${jwt}`,
    'x-ci-auth': 'jwt',
    'x-ci-scopes': '*',
    'x-ci-repositories': '*'
  })
  await call(`${first.url}/api/auth/login`, { method: 'POST', body: {} })
  t.match(Object.fromEntries(upstream.last().headers), { 'x-ci-auth': 'none' })
})

t.test('the last use of a token shows in the list', async t => {
  const gate = await fleet.startGate()
  const { token, id } = await createToken(gate)
  await call(`${gate.url}/api/scans/dashboard`, { bearer: token })
  t.equal(await gate.stop(), 0, 'written at the latest when the gate stops')
  const { tokens } = (await call(first.url + TOKENS, { bearer: jwt })).json
  const row = Array.isArray(tokens) ? tokens.find(each => each.id === id) : undefined
  t.match(row, { lastUsedAt: ISO })
})

t.test('the admin port tells how the replica stands', async t => {
  const get = (path: string) => call(first.adminUrl + path)
  t.match(await get('/livez'), { status: 200 })
  t.match(await get('/startupz'), { status: 200, json: { started: true } })
  t.match(await get('/readyz'), {
    status: 200,
    json: { ready: true, parts: { database: 'ok', lease: 'ok', nonces: 'ok', clock: 'ok' } }
  })
  t.match(await get('/replicas'), {
    status: 200,
    json: { id: UUID, leaseAgeMs: Number, appliedSeq: Number, routesHash: /^[0-9a-f]{64}$/ }
  })
  const { rules } = (await get('/coverage')).json
  const asked = Array.isArray(rules) ? rules.filter(({ requests }) => requests > 0) : []
  t.ok(asked.some(({ key }) => key === 'GET /api/scans/dashboard'))
  t.equal(Array.isArray(rules) ? rules.length : 0, 140, 'those that nobody asked for, too')
  const metrics = await get('/metrics')
  t.match(metrics.text, /^tollgate_requests_total\{/m)
  t.match(metrics.text, /^tollgate_lease_valid 1$/m)
  t.equal((await call(`${first.url}/metrics`)).status, 403, 'not on the proxy port')
})

t.test('a database that is configured gets no demo token', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'tollgate-demo-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const { child, output } = runTollgate({
    cwd: folder,
    env: {
      PORT: '0',
      ADMIN_PORT: '0',
      DATABASE_URL: fleet.database.url,
      ROUTES_FILE: join(import.meta.dirname, '../../config/routes.yaml')
    }
  })
  await eventually('the banner', () => output().includes('Ctrl-C ends it.'))
  t.match(output(), /^Demo JWT +\S/m)
  t.notMatch(output(), 'Demo token')
  const left = await fleet.database.sql(`SELECT FROM tg_token WHERE user_id = 'demo-user'`)
  t.equal(left.length, 0)
  child.kill('SIGTERM')
  t.same(await once(child, 'exit'), [0, null])
})

t.test('no secret is in what the gates printed', async t => {
  const { token } = await createToken(first)
  await call(`${first.url}/api/scans/dashboard?token=${token}`, { bearer: token })
  for (const gate of gates) {
    t.notMatch(gate.output(), token)
    t.notMatch(gate.output(), jwt)
    t.notMatch(gate.output(), /ci_[0-9A-Za-z]{20}/)
  }
})
