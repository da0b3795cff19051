import t from 'tap'
import { OWN_ROUTES } from '../../src/core/own-routes.ts'
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
  t.equal(OWN_ROUTES.length, 4)
})

t.test('P28: whatever else is there or below is reserved', async t => {
  const requests = [
    'PUT /api/auth/cli-tokens',
    'GET /api/auth/cli-tokens/x/y',
    'GET /api/auth/cli-tokens/x'
  ]
  for (const request of requests) {
    const [method = '', path = ''] = request.split(' ')
    t.match(table.match(method, targetOf(path)), { kind: 'reserved' }, request)
  }
})
