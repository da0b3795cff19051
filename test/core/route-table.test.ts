import t from 'tap'
import { parseOrThrow } from '../../src/core/route-pattern.ts'
import { createRouteTable, type RouteTableParts } from '../../src/core/route-table.ts'
import type { Match, OwnRoute, Rule, ScopeEntry } from '../../src/core/rule.ts'
import { readTarget } from '../../src/core/target.ts'

const OWN: readonly OwnRoute[] = [
  { key: 'GET /api/auth/cli-tokens', name: 'tokens.list', need: 'jwt' },
  { key: 'POST /api/auth/cli-tokens', name: 'tokens.create', need: 'jwt' },
  { key: 'DELETE /api/auth/cli-tokens/{id}', name: 'tokens.revoke', need: 'jwt' },
  { key: 'POST /api/auth/cli-tokens/{id}/rotate', name: 'tokens.rotate', need: 'jwt' },
  { key: 'GET /settings/api-tokens', name: 'page.document', need: 'public' },
  { key: 'GET /settings/api-tokens/page.js', name: 'page.asset', need: 'public' }
]

function toRule(key: string): Rule {
  const { methods, isWildcard, path, params } = parseOrThrow(key)
  return {
    key,
    methods,
    isWildcard,
    path,
    params,
    need: {
      kind: key.startsWith('OPTIONS /denied') || key.endsWith('/closed') ? 'deny' : 'any-token'
    },
    bindings: undefined,
    signature: 'optional',
    mode: 'enforce',
    upstream: 'default',
    timeoutMs: 30_000,
    upgrade: undefined,
    why: undefined,
    place: { file: 'routes.yaml', line: 1, col: 1 }
  }
}

function tableOf(keys: readonly string[], parts: Partial<RouteTableParts> = {}) {
  return createRouteTable({
    rules: keys.map(toRule),
    ownRoutes: OWN,
    scopes: new Map(),
    upstreams: new Map(),
    mode: 'enforce',
    options: 'deny',
    timeoutMs: 30_000,
    hash: '0'.repeat(64),
    ...parts
  })
}

/** The winner's key and the values of its parameters, or the kind of the match. */
function word(match: Match): string {
  if (match.kind === 'rule') return [match.rule.key, ...match.params].join(' | ')
  if (match.kind === 'own') return [match.route.name, ...match.params].join(' | ')
  return match.kind
}

/** `request`: `GET /path`. */
function ask(
  keys: readonly string[],
  request: string,
  parts: Partial<RouteTableParts> = {}
): string {
  const [method = '', raw = ''] = request.split(' ')
  const target = readTarget(raw)
  return 'kind' in target ? 'malformed' : word(tableOf(keys, parts).match(method, target))
}

t.test(
  'the first difference from the left decides, and the more specific segment wins',
  async t => {
    const keys = [
      'GET /a/b/{x}',
      'GET /a/{y}/c',
      'GET /a/{l:low|high}/c',
      'GET /a/{n:int}/c',
      'GET /a/{rest...}',
      'GET /{rest...}'
    ]
    t.equal(ask(keys, 'GET /a/b/c'), 'GET /a/b/{x} | c')
    t.equal(ask(keys, 'GET /a/low/c'), 'GET /a/{l:low|high}/c | low')
    t.equal(ask(keys, 'GET /a/7/c'), 'GET /a/{n:int}/c | 7')
    t.equal(ask(keys, 'GET /a/x/c'), 'GET /a/{y}/c | x')
    t.equal(ask(keys, 'GET /a/x/d/e'), 'GET /a/{rest...} | x/d/e')
    t.equal(ask(keys, 'GET /b'), 'GET /{rest...} | b')
    t.equal(ask(keys, 'GET /a'), 'GET /{rest...} | a')
    t.equal(ask(keys, 'GET /'), 'none')
  }
)

t.test('a branch that leads nowhere gives way to a less specific one', async t => {
  const keys = ['GET /a/b/c', 'POST /a/b/d', 'GET /a/{x}/d', 'GET /{y}/b/d/e', 'GET /{rest...}']
  t.equal(ask(keys, 'GET /a/b/d'), 'GET /a/{x}/d | b')
  t.equal(ask(keys, 'POST /a/b/d'), 'POST /a/b/d')
  t.equal(ask(keys, 'GET /a/b/d/e'), 'GET /{y}/b/d/e | a')
  t.equal(ask(keys, 'GET /a/b/d/e/f'), 'GET /{rest...} | a/b/d/e/f')
})

t.test('branches of equal rank are compared further on, not in the order of the file', async t => {
  const enums = [
    'GET /{l:x|y}/{p}',
    'GET /{l:y|z}/lit',
    'GET /{l:x|y}/{p}/{r...}',
    'GET /{m:y|z}/{q}/e'
  ]
  const types = ['GET /{n:int}/{p}', 'GET /{s:slug}/lit', 'GET /{s:slug}/{r...}']
  for (const keys of [enums, enums.toReversed()]) {
    t.equal(ask(keys, 'GET /y/lit'), 'GET /{l:y|z}/lit | y')
    t.equal(ask(keys, 'GET /y/x'), 'GET /{l:x|y}/{p} | y | x')
    t.equal(ask(keys, 'GET /y/x/e'), 'GET /{m:y|z}/{q}/e | y | x')
    t.equal(ask(keys, 'GET /y/x/f'), 'GET /{l:x|y}/{p}/{r...} | y | x | f')
    t.equal(ask(keys, 'GET /z/x'), 'none')
  }
  for (const keys of [types, types.toReversed()]) {
    t.equal(ask(keys, 'GET /7/lit'), 'GET /{s:slug}/lit | 7')
    t.equal(ask(keys, 'GET /7/x'), 'GET /{n:int}/{p} | 7 | x')
    t.equal(ask(keys, 'GET /7/x/y'), 'GET /{s:slug}/{r...} | 7 | x/y')
  }
})

t.test('at equal rank a named method beats *, and a more specific path beats both', async t => {
  const keys = [
    '* /a/{x}',
    'GET /a/{y}',
    'POST /a/b',
    '* /{n:int}/{rest...}',
    'GET /{s:slug}/{rest...}'
  ]
  t.equal(ask(keys, 'GET /a/1'), 'GET /a/{y} | 1')
  t.equal(ask(keys, 'PUT /a/1'), '* /a/{x} | 1')
  t.equal(ask(keys, 'POST /a/b'), 'POST /a/b')
  t.equal(ask(keys, 'GET /a/b'), 'GET /a/{y} | b')
  t.equal(ask(keys, 'GET /7/b'), 'GET /{s:slug}/{rest...} | 7 | b')
  t.equal(ask(keys, 'PUT /7/b'), '* /{n:int}/{rest...} | 7 | b')
})

t.test('HEAD follows a HEAD rule, then GET, then *, at equal rank', async t => {
  t.equal(ask(['HEAD /a', 'GET /a', '* /a'], 'HEAD /a'), 'HEAD /a')
  t.equal(ask(['GET /a', '* /a'], 'HEAD /a'), 'GET /a')
  t.equal(ask(['POST /a', '* /a'], 'HEAD /a'), '* /a')
  t.equal(ask(['GET /a', 'HEAD /{x}'], 'HEAD /a'), 'GET /a')
  t.equal(ask(['POST /a', 'HEAD /{x}'], 'HEAD /a'), 'HEAD /{x} | a')
  t.equal(ask(['HEAD /a'], 'GET /a'), 'none')
})

t.test('methods that no rule can name have no rule', async t => {
  for (const method of ['TRACE', 'PROPFIND', 'CONNECT', 'OPTIONS']) {
    t.equal(ask(['* /a'], `${method} /a`), 'none')
    t.equal(ask([], `${method} /settings/api-tokens`), 'reserved')
  }
})

t.test('a last slash changes nothing', async t => {
  const keys = ['GET /', 'GET /a', 'GET /b/{rest...}']
  t.equal(ask(keys, 'GET /'), 'GET /')
  t.equal(ask(keys, 'GET /a/'), 'GET /a')
  t.equal(ask(keys, 'GET /b/'), 'none')
  t.equal(ask(keys, 'GET /b/c/d/'), 'GET /b/{rest...} | c/d')
  t.equal(ask(keys, 'GET /settings/api-tokens/'), 'page.document')
})

t.test('parameters are given raw, in order', async t => {
  const keys = ['GET /a/{x}/b/{l:p|q}/{n:int}/{rest...}']
  t.equal(ask(keys, 'GET /a/%20/b/p/7/u/v%3Ax'), `${keys[0]} | %20 | p | 7 | u/v%3Ax`)
})

t.test('what could be read as a literal is a near miss, whatever would win', async t => {
  const keys = [
    'GET /api/special',
    'GET /api/{id}',
    'GET /v/{l:low|a:b}',
    'GET /{x}/deep/end',
    'GET /Mixed'
  ]
  for (const path of [
    '/api/SPECIAL',
    '/API/1',
    '/v/LOW',
    '/v/a%3Ab',
    '/v/a%3ab',
    '/x/Deep',
    '/mixed'
  ]) {
    for (const method of ['GET', 'DELETE', 'TRACE'])
      t.equal(ask(keys, `${method} ${path}`), 'near-miss', path)
  }
  t.equal(ask(keys, 'GET /api/Specials'), 'GET /api/{id} | Specials')
  t.equal(ask(keys, 'GET /x/y/DEEP'), 'none')
  t.equal(ask(keys, 'GET /Mixed'), 'GET /Mixed')
  t.equal(ask(['GET /{l:Up|down}'], 'GET /up'), 'near-miss')
  t.equal(ask([], 'GET /api/auth/CLI-tokens'), 'near-miss')
})

t.test("the gate's own paths are matched like rules and beat every rule", async t => {
  const keys = [
    '* /{rest...}',
    '* /api/{x}/{y}',
    'GET /api/auth/{x}',
    'POST /api/auth/{x:cli-tokens|other}'
  ]
  t.equal(ask(keys, 'GET /api/auth/cli-tokens'), 'tokens.list')
  t.equal(ask(keys, 'HEAD /api/auth/cli-tokens'), 'tokens.list')
  t.equal(ask(keys, 'POST /api/auth/cli-tokens'), 'tokens.create')
  t.equal(ask(keys, 'DELETE /api/auth/cli-tokens/abc'), 'tokens.revoke | abc')
  t.equal(ask(keys, 'POST /api/auth/cli-tokens/abc/rotate'), 'tokens.rotate | abc')
  t.equal(ask(keys, 'GET /settings/api-tokens/page.js'), 'page.asset')
})

t.test('what is below an own path is out of reach for rules', async t => {
  const keys = ['* /{rest...}', 'OPTIONS /{rest...}']
  for (const request of [
    'PUT /api/auth/cli-tokens',
    'OPTIONS /api/auth/cli-tokens',
    'GET /api/auth/cli-tokens/x',
    'GET /api/auth/cli-tokens/x/y',
    'POST /api/auth/cli-tokens/x/rotate/z',
    'GET /settings/api-tokens/other'
  ]) {
    t.equal(ask(keys, request, { options: 'upstream' }), 'reserved', request)
  }
  t.equal(ask(keys, 'GET /settings/api'), '* /{rest...} | settings/api')
  t.equal(
    ask(keys, 'GET /settings/api-tokens', { ownRoutes: [] }),
    '* /{rest...} | settings/api-tokens'
  )
})

t.test('OPTIONS goes to its own rule, else by the word of the file', async t => {
  const keys = [
    'GET /a',
    'OPTIONS /b',
    'GET /b',
    '* /closed',
    'GET /{x}/closed',
    'POST /{x}/closed',
    'PUT /y/closed'
  ]
  const upstream = { options: 'upstream' } as const
  t.equal(ask(keys, 'OPTIONS /b'), 'OPTIONS /b')
  t.equal(ask(keys, 'OPTIONS /a'), 'none')
  t.equal(ask(keys, 'OPTIONS /a', upstream), 'options')
  t.equal(ask(keys, 'OPTIONS /a/', upstream), 'options')
  t.equal(ask(keys, 'OPTIONS /none', upstream), 'none')
  t.equal(ask(keys, 'OPTIONS /closed', upstream), 'none')
  t.equal(ask(keys, 'OPTIONS /x/closed', upstream), 'none')
  t.equal(ask(['OPTIONS /denied', 'GET /denied'], 'OPTIONS /denied', upstream), 'OPTIONS /denied')
})

function scope(name: string, implies: readonly string[] = []): [string, ScopeEntry] {
  return [name, { name, title: name, about: '', risk: 'low', isDefault: false, implies }]
}

t.test('scopes bring what they imply, each once, and undeclared ones nothing', async t => {
  const scopes = new Map([
    scope('a:all', ['b:all', 'c:all']),
    scope('b:all', ['c:all']),
    scope('c:all')
  ])
  const table = tableOf([], { scopes })
  t.same(table.effectiveScopes(['c:all', 'a:all']), ['c:all', 'a:all', 'b:all'])
  t.same(table.effectiveScopes(['b:all']), ['b:all', 'c:all'])
  t.same(table.effectiveScopes(['gone:all', 'c:all']), ['c:all'])
  t.same(table.effectiveScopes([]), [])
})

t.test('the table says what it was made of', async t => {
  const { rules, mode, timeoutMs, hash } = tableOf(['GET /a'])
  t.same(
    rules.map(({ key }) => key),
    ['GET /a']
  )
  t.same([mode, timeoutMs, hash], ['enforce', 30_000, '0'.repeat(64)])
})
