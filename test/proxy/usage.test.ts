import t from 'tap'
import type { Rule, RouteTable } from '../../src/core/rule.ts'
import { readTarget, type Target } from '../../src/core/target.ts'
import { templateOf } from '../../src/proxy/template.ts'
import { createUsage } from '../../src/proxy/usage.ts'
import type { TokenRow } from '../../src/core/principal.ts'
import { token as TOKEN_ROW } from '../core/examples.ts'
import { fileWith, loadText } from '../support/routes.ts'

const NOW = 1_800_000_000_000 // ms: 2027-01-15T08:00:00.000Z

function targetOf(path: string): Target {
  const target = readTarget(path)
  if ('kind' in target) throw new Error(`${path} is refused`)
  return target
}

function tableOf(...rules: readonly string[]): RouteTable {
  return loadText(fileWith(...rules)).table
}

function tokenRow(row: Partial<TokenRow>): TokenRow {
  return { ...TOKEN_ROW, ...row }
}

function ruleOf({ rules }: RouteTable, key: string): Rule {
  const rule = rules.find(found => found.key === key)
  if (!rule) throw new Error(`no ${key}`)
  return rule
}

const TABLE = tableOf('GET /a: a:read', 'GET /b: [a:read, a:write]', 'GET /K8s: public')

t.test('ids in paths become parameters, so that many things are one path', async t => {
  const rows: Readonly<Record<string, string>> = {
    '/': '/',
    '/api/reports/123': '/api/reports/{id1:int}',
    '/api/v2/repo-configs/5f1c0e4a9b8d7c6e5f4a3b2c': '/api/v2/repo-configs/{id1:hex24}',
    '/x/0190C5A0-0000-7000-8000-000000000001/y/0123': '/x/{id1:uuid}/y/{id2}',
    '/reset/aZ9dK2mQpL7': '/reset/{id1}',
    '/files/report.csv': '/files/report.csv',
    '/userSettings/.well-known': '/userSettings/.well-known',
    '/K8s/R2D2': '/K8s/{id1}',
    '/caf%C3%A9': '/{id1}',
    '/a/b/c/d/e/f/g/h/i/j': '/a/b/c/d/e/f/g/h/{rest...}'
  }
  for (const [path, template] of Object.entries(rows)) {
    t.equal(templateOf(targetOf(path).segments, TABLE), template, path)
    const key = `GET ${template}`
    t.doesNotThrow(() => tableOf(`"${key}": deny`), `${key} can be pasted`)
  }
})

t.test('requests are counted by rule, in the order of the file, also none', async t => {
  const usage = createUsage({ nowMs: () => NOW })
  usage.ruled(ruleOf(TABLE, 'GET /b'))
  usage.ruled(ruleOf(TABLE, 'GET /b'))
  t.match(usage.report(TABLE), {
    routesHash: TABLE.hash,
    since: '2027-01-15T08:00:00.000Z',
    rules: [
      { key: 'GET /a', requests: 0 },
      { key: 'GET /b', requests: 2 },
      { key: 'GET /K8s', requests: 0 }
    ],
    unmatched: [],
    unmatchedBeyond: 0,
    tokens: [],
    tokensBeyond: 0
  })
})

t.test('paths without a rule are listed by how often, HEAD as GET, odd methods not', async t => {
  const usage = createUsage({ nowMs: () => NOW })
  const ask = (method: string, path: string) => usage.unmatched(method, targetOf(path), TABLE)
  ask('GET', '/reports/1')
  ask('POST', '/reports')
  ask('HEAD', '/reports/2')
  ask('PROPFIND', '/reports')
  t.same(usage.report(TABLE).unmatched, [
    { method: 'GET', path: '/reports/{id1:int}', requests: 2 },
    { method: 'POST', path: '/reports', requests: 1 }
  ])
})

t.test('whoever guesses paths does not push out those that are in use', async t => {
  const usage = createUsage({ nowMs: () => NOW })
  const word = (i: number) => Array.from(String(i), digit => 'abcdefghij'[Number(digit)]).join('')
  const ask = (path: string) => usage.unmatched('GET', targetOf(path), TABLE)
  for (let i = 0; i < 3; i++) ask('/in/use')
  for (let i = 0; i < 2000; i++) ask(`/guess/${word(i)}`)
  const { unmatched, unmatchedBeyond } = usage.report(TABLE)
  t.equal(unmatched.length, 500)
  t.same(unmatched[0], { method: 'GET', path: '/in/use', requests: 3 })
  t.equal(unmatchedBeyond, 2003 - 499 - 3)
})

t.test('where every place is in use, more is only counted', async t => {
  const usage = createUsage({ nowMs: () => NOW })
  const word = (i: number) => Array.from(String(i), digit => 'abcdefghij'[Number(digit)]).join('')
  for (let i = 0; i < 600; i++) {
    for (let j = 0; j < 2; j++) usage.unmatched('GET', targetOf(`/${word(i)}/x`), TABLE)
  }
  const { unmatched, unmatchedBeyond } = usage.report(TABLE)
  t.equal(unmatched.length, 500)
  t.equal(unmatchedBeyond, 200)
})

t.test('a token needed the scopes that rules asked it for', async t => {
  const usage = createUsage({ nowMs: () => NOW })
  const token = tokenRow({ scopes: ['a:read', 'a:write', 'b:read'] })
  usage.permitted(token, ruleOf(TABLE, 'GET /a'), TABLE)
  usage.permitted(token, ruleOf(TABLE, 'GET /a'), TABLE)
  t.match(usage.report(TABLE).tokens, [
    { id: token.id, granted: ['a:read', 'a:write', 'b:read'], needed: ['a:read'] }
  ])
  const changed = { ...token, scopes: ['a:write'] }
  usage.permitted(changed, ruleOf(TABLE, 'GET /b'), TABLE)
  t.match(usage.report(TABLE).tokens, [{ granted: ['a:write'], needed: ['a:write'] }])
})

t.test('more tokens than the list has places for are only counted', async t => {
  const usage = createUsage({ nowMs: () => NOW })
  for (let i = 0; i < 1003; i++) {
    usage.permitted(tokenRow({ id: `token-${i}` }), ruleOf(TABLE, 'GET /a'), TABLE)
  }
  const { tokens, tokensBeyond } = usage.report(TABLE)
  t.equal(tokens.length, 1000)
  t.equal(tokensBeyond, 3)
})

t.test('after a reload: counts stay, rules that are gone go, covered paths too', async t => {
  const usage = createUsage({ nowMs: () => NOW })
  const token = tokenRow({ scopes: ['a:read', 'b:read'] })
  usage.ruled(ruleOf(TABLE, 'GET /a'))
  usage.ruled(ruleOf(TABLE, 'GET /b'))
  usage.permitted(token, ruleOf(TABLE, 'GET /a'), TABLE)
  for (const path of ['/reports/1', '/other/aZ9dK2mQpL7', '/more']) {
    usage.unmatched('GET', targetOf(path), TABLE)
  }
  const next = tableOf('GET /a: b:read', 'GET /reports/{n:int}: a:read', 'GET /other/{x}: a:read')
  usage.adopt(next)
  usage.permitted(token, ruleOf(next, 'GET /a'), next)
  t.match(usage.report(next), {
    rules: [
      { key: 'GET /a', requests: 1 },
      { key: 'GET /reports/{n:int}', requests: 0 },
      { key: 'GET /other/{x}', requests: 0 }
    ],
    unmatched: [{ path: '/more' }],
    tokens: [{ needed: ['a:read', 'b:read'] }]
  })
  usage.adopt(TABLE)
  t.match(usage.report(TABLE).rules, [{ requests: 1 }, { key: 'GET /b', requests: 0 }, {}])
})
