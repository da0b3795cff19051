import t from 'tap'
import { OWN_ROUTES, ownRoutesFor } from '../../src/core/own-routes.ts'
import { createRouteTable } from '../../src/core/route-table.ts'
import { targetOf } from '../../src/routes/target-of.ts'

const table = createRouteTable({
  rules: [],
  ownRoutes: OWN_ROUTES,
  scopes: new Map(),
  upstreams: new Map(),
  mode: 'enforce',
  options: 'deny',
  timeoutMs: 30_000,
  hash: '0'.repeat(64)
})

t.test('the token API is four requests, each for users alone', async t => {
  for (const [method, path, name] of [
    ['GET', '/api/auth/cli-tokens', 'tokens.list'],
    ['POST', '/api/auth/cli-tokens', 'tokens.create'],
    ['DELETE', '/api/auth/cli-tokens/t1', 'tokens.revoke'],
    ['POST', '/api/auth/cli-tokens/t1/rotate', 'tokens.rotate']
  ] as const) {
    t.match(table.match(method, targetOf(path)), { kind: 'own', route: { name, need: 'jwt' } })
  }
  t.equal(ownRoutesFor('off').length, 4)
})

t.test('the page is for anybody, what it shows of the route file is for users', async t => {
  for (const [request, name, need] of [
    ['GET /settings/api-tokens', 'page.document', 'public'],
    ['HEAD /settings/api-tokens', 'page.document', 'public'],
    ['GET /settings/api-tokens/page.js', 'page.asset', 'public'],
    ['GET /settings/api-tokens/allowed-rules.js', 'page.asset', 'public'],
    ['GET /settings/api-tokens/page.css', 'page.asset', 'public'],
    ['GET /settings/api-tokens/catalogue', 'page.catalogue', 'jwt'],
    ['POST /settings/api-tokens/demo-session', 'page.demo-session', 'public']
  ] as const) {
    const [method = '', path = ''] = request.split(' ')
    t.match(table.match(method, targetOf(path)), { kind: 'own', route: { name, need } }, request)
  }
})

t.test('P28: whatever else is there or below is reserved', async t => {
  const requests = [
    'PUT /api/auth/cli-tokens',
    'GET /api/auth/cli-tokens/x/y',
    'GET /api/auth/cli-tokens/x',
    'POST /settings/api-tokens',
    'GET /settings/api-tokens/x',
    'GET /settings/api-tokens/page.js/x',
    'GET /settings/api-tokens/demo-session'
  ]
  for (const request of requests) {
    const [method = '', path = ''] = request.split(' ')
    t.match(table.match(method, targetOf(path)), { kind: 'reserved' }, request)
  }
})
