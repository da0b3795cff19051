import * as fc from 'fast-check'
import t from 'tap'
import { identityHeaders, passesAuthorization } from '../../src/core/identity.ts'
import { NOBODY, type Principal, type TokenRow, type User } from '../../src/core/principal.ts'
import { NOW, tableWith, TOKEN, token } from './examples.ts'

const user: User = { userId: 'user-1', orgId: 'o1', expiresAtMs: NOW }
const table = tableWith({ 'scans:trigger': ['scans:read'] })

/** By name; throws where a name stands twice. */
function headersOf(principal: Principal, signed = false): Readonly<Record<string, string>> {
  const flat = identityHeaders({ principal, signed, table })
  const entries = flat.flatMap((name, i): [string, string][] =>
    i % 2 === 0 ? [[name, flat[i + 1] ?? '']] : []
  )
  const headers = Object.fromEntries(entries)
  if (Object.keys(headers).length * 2 !== flat.length) throw new Error('a name stands twice')
  return headers
}

const ofToken = (changes: Partial<TokenRow> = {}, signed = false) =>
  headersOf({ kind: 'cli-token', token: { ...token, ...changes } }, signed)
const ofUser = (changes: Partial<User> = {}) =>
  headersOf({ kind: 'jwt', user: { ...user, ...changes } })

t.test('the upstream is told which token it is, whose, and what it may', async t => {
  t.strictSame(ofToken(), {
    'x-ci-auth': 'cli-token',
    'x-ci-user-id': 'u1',
    'x-ci-org-id': 'o1',
    'x-ci-token-id': token.id,
    'x-ci-token-name': 'ci',
    'x-ci-scopes': 'scans:read',
    'x-ci-repositories': '*',
    'x-ci-signed': 'false'
  })
  t.match(ofToken({ repositories: ['r1', 'acme:infra'], scopes: ['scans:trigger', 'a:b'] }, true), {
    'x-ci-scopes': 'scans:trigger,a:b,scans:read',
    'x-ci-repositories': 'r1,acme:infra',
    'x-ci-signed': 'true'
  })
  t.notHas(ofToken({ orgId: null }), { 'x-ci-org-id': String })
})

t.test('a user may whatever the upstream lets users do, and signs nothing', async t => {
  t.strictSame(ofUser(), {
    'x-ci-auth': 'jwt',
    'x-ci-user-id': 'user-1',
    'x-ci-org-id': 'o1',
    'x-ci-scopes': '*',
    'x-ci-repositories': '*',
    'x-ci-signed': 'false'
  })
  t.notHas(ofUser({ orgId: null }), { 'x-ci-org-id': String })
})

t.test('H1: of nobody the upstream is told just that', async t => {
  t.strictSame(headersOf(NOBODY), { 'x-ci-auth': 'none' })
})

t.test('H19: a token name goes on percent-encoded and decodes to itself', async t => {
  t.equal(ofToken({ name: 'é 🚀, x' })['x-ci-token-name'], '%C3%A9%20%F0%9F%9A%80%2C%20x')
  const law = fc.property(fc.string({ unit: 'binary', maxLength: 100 }), name => {
    const value = ofToken({ name })['x-ci-token-name'] ?? '?'
    return /^[A-Za-z0-9%._~!*'()-]*$/.test(value) && decodeURIComponent(value) === name
  })
  fc.assert(law)
})

t.test('an id that no header line or list can carry is our fault and never sent', async t => {
  const fault = { code: 'INTERNAL_ERROR', status: 503 }
  for (const id of ['', 'a\r\nx-ci-scopes: *', 'a,b', ' a', 'a ', 'é', 'a\0', 'a\u007f', 'a\tb']) {
    const name = encodeURIComponent(id)
    t.throws(() => ofToken({ userId: id }), fault, name)
    t.throws(() => ofToken({ orgId: id }), fault, name)
    t.throws(() => ofToken({ repositories: ['r1', id] }), fault, name)
    t.throws(() => ofUser({ userId: id }), fault, name)
    t.throws(() => ofUser({ orgId: id }), fault, name)
  }
  t.throws(() => ofToken({ repositories: ['*'] }), fault, 'one repository of this name is not all')
  t.equal(ofUser({ userId: 'auth0|a b@c.d' })['x-ci-user-id'], 'auth0|a b@c.d')
})

t.test('H15: a ci_ token reaches no upstream, under any scheme', async t => {
  const cli: Principal = { kind: 'cli-token', token }
  t.equal(passesAuthorization(cli, `Bearer ${TOKEN}`), false)
  t.equal(passesAuthorization(cli, 'Basic dTpw'), false, 'whatever it was')
  const schemes = [
    '',
    'Bearer ',
    'bearer ',
    'BEARER ',
    'Token ',
    'Bearer  ',
    'Digest a="',
    'Basic x, '
  ]
  for (const scheme of [...schemes, 'token=', 'a:', '(', '<', "'", 'é']) {
    t.equal(passesAuthorization(NOBODY, scheme + TOKEN), false, scheme)
    t.equal(passesAuthorization(NOBODY, `${scheme}CI_x`), false, scheme)
  }
})

t.test(
  'what is no token of ours goes on: the JWT of a user, and anything on public routes',
  async t => {
    t.equal(passesAuthorization({ kind: 'jwt', user }, 'Bearer a.b.c'), true)
    for (const value of ['Bearer a.b.c', 'Basic dTpw', '', 'Bearer xci_y', 'Bearer a.ci_b.-ci_c']) {
      t.equal(passesAuthorization(NOBODY, value), true, value)
    }
  }
)

t.test('the JWT of a user is never taken for a token of ours', async () => {
  const part = fc.stringMatching(/^[\w-]{1,8}$/)
  const law = fc.property(part, part, part, (a, b, c) =>
    passesAuthorization(NOBODY, `Bearer e${a}.${b}.${c}`)
  )
  fc.assert(law, { examples: [['yJ', 'ci_', 'ci_']] })
})
