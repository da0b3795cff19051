import * as fc from 'fast-check'
import t from 'tap'
import { denyCredentialKind, denyOrganization, denyScopes } from '../../src/core/permissions.ts'
import type { Need } from '../../src/core/rule.ts'
import { fileWith, loadText } from '../support/routes.ts'
import { tableWith, token } from './examples.ts'

const table = tableWith({ 'scans:trigger': ['scans:read'] })
const holding = (...scopes: readonly string[]) => ({ ...token, scopes })

t.test('a ci_ token is refused where a rule takes users alone, and only there', async t => {
  t.match(denyCredentialKind({ kind: 'jwt' }, 'cli-token'), {
    status: 403,
    code: 'JWT_REQUIRED',
    body: { message: 'Access denied' }
  })
  const needs: readonly Need[] = [{ kind: 'any-token' }, { kind: 'all', scopes: ['scans:read'] }]
  for (const need of needs) t.equal(denyCredentialKind(need, 'cli-token'), undefined)
  t.equal(denyCredentialKind({ kind: 'jwt' }, 'jwt'), undefined)
})

t.test('H14: a token of an organisation allows that one alone, byte for byte', async t => {
  t.equal(denyOrganization(token, 'o1'), undefined)
  t.equal(denyOrganization(token, undefined), undefined)
  t.equal(denyOrganization({ ...token, orgId: null }, 'o2'), undefined)
  for (const other of ['o2', 'o1,o2', 'O1', '', ' o1', 'o1 ']) {
    t.match(denyOrganization(token, other), {
      status: 403,
      code: 'ORGANIZATION_DENIED',
      body: { message: 'Access denied' }
    })
  }
})

t.test('the body of a missing scope says what is needed and what was granted', async t => {
  const need: Need = { kind: 'all', scopes: ['scans:trigger', 'repos:read'] }
  const denial = denyScopes(need, holding('scans:trigger'), table)
  t.match(denial, { status: 403, code: 'INSUFFICIENT_SCOPE' })
  t.strictSame(denial?.body, {
    message: 'Insufficient permissions',
    error: 'This token requires the following scope(s): scans:trigger, repos:read',
    requiredScopes: ['scans:trigger', 'repos:read'],
    tokenScopes: ['scans:trigger']
  })
  t.equal(denial?.challenge, 'error="insufficient_scope", scope="scans:trigger repos:read"')
  const any = denyScopes({ kind: 'any', scopes: ['a:b', 'c:d'] }, token, table)
  t.match(any?.body, { error: 'This token requires one of the following scope(s): a:b, c:d' })
})

t.test(
  'where there is a page, the refusal links to it with what a new token would need',
  async t => {
    const { table: declared } = loadText(fileWith('GET /x: [a:read, b:read]'))
    const linkOf = (need: Need, ...held: readonly string[]) =>
      denyScopes(need, holding(...held), declared)?.link
    const all: Need = { kind: 'all', scopes: ['a:read', 'b:read'] }
    const page = (scopes: string) => `</settings/api-tokens?scopes=${scopes}>; rel="help"`
    t.equal(linkOf(all, 'a:write', 'b:read'), page('a:write,b:read,a:read'), 'held, then missing')
    t.equal(linkOf(all), page('a:read,b:read'))
    t.equal(
      linkOf({ ...all, kind: 'any' }, 'a:write'),
      page('a:write,a:read'),
      'no more than needed'
    )
    t.equal(
      linkOf(all, 'gone:x>;', 'a:read'),
      page('a:read,b:read'),
      'what has left the file is not told'
    )
    const many = Array.from(
      { length: 60 },
      (_, i) => `${'s'.repeat(60)}:${'abcdefgh'.charAt(i % 8)}`
    )
    t.equal(linkOf({ kind: 'all', scopes: many }), undefined, 'no header of any length')
    t.equal(denyScopes(all, token, { ...declared, hasPage: false })?.link, undefined)
    t.equal(denyScopes(all, token, table)?.link, undefined)
  }
)

t.test('all of the scopes, or any of them, as the rule says; implied ones count', async t => {
  const passes = (kind: 'all' | 'any', needed: readonly string[], ...held: readonly string[]) =>
    denyScopes({ kind, scopes: needed }, holding(...held), table) === undefined
  t.equal(passes('all', ['scans:read'], 'scans:read'), true)
  t.equal(passes('all', ['scans:read'], 'scans:trigger'), true, 'implied')
  t.equal(passes('all', ['scans:trigger'], 'scans:read'), false, 'not the other way round')
  t.equal(passes('all', ['scans:read', 'repos:read'], 'scans:read'), false)
  t.equal(passes('all', ['scans:read', 'repos:read'], 'repos:read', 'scans:trigger'), true)
  t.equal(passes('any', ['scans:read', 'repos:read'], 'repos:read'), true)
  t.equal(passes('any', ['scans:read', 'repos:read'], 'repos:write'), false)
  t.equal(passes('all', ['scans:read']), false)
  t.equal(passes('all', ['scans:read'], 'scans:read:all', 'scans', '*'), false)
})

t.test('rules without scopes ask for none', async t => {
  for (const kind of ['public', 'jwt', 'any-token'] as const) {
    t.equal(denyScopes({ kind }, holding(), table), undefined)
  }
})

t.test('a scope that is added never turns a yes into a no', async () => {
  const names = ['scans:read', 'scans:trigger', 'repos:read', 'repos:write']
  const scopes = fc.subarray(names)
  const law = fc.property(
    fc.constantFrom('all' as const, 'any' as const),
    fc.subarray(names, { minLength: 1 }),
    scopes,
    scopes,
    (kind, needed, held, added) => {
      const passes = (granted: readonly string[]) =>
        denyScopes({ kind, scopes: needed }, holding(...granted), table) === undefined
      return !passes(held) || passes([...held, ...added])
    }
  )
  fc.assert(law)
})
