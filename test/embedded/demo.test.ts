import { randomBytes } from 'node:crypto'
import t from 'tap'
import { Fault } from '../../src/core/decision.ts'
import type { TokenRow } from '../../src/core/principal.ts'
import { digestToken, isWellFormedToken } from '../../src/core/token.ts'
import { createDemoToken, createDemoUser } from '../../src/embedded/demo.ts'
import { memoryStore, scopeTable, type Told } from '../support/token-api.ts'
import { NOW, SECRET, verifierWorld } from '../support/verifier.ts'

const DAY = 86_400_000 // ms
const clock = { nowMs: () => NOW, wallMs: () => NOW, isTrusted: () => true }
const rules = { secret: SECRET, clock, issuer: undefined, audience: undefined, userClaim: 'sub' }

t.test('the demo JWT is one that the gate accepts, for a day and no organisation', async t => {
  const { verify, pass } = verifierWorld()
  const jwt = await createDemoUser(rules).signJwt()
  t.same(await verify(jwt), { userId: 'demo-user', orgId: null, expiresAtMs: NOW + DAY })
  pass(DAY)
  t.equal(await verify(jwt), 'invalid')
})

t.test('the demo JWT says what the settings ask of a JWT', async t => {
  const settings = { issuer: 'https://issuer.test', audience: 'tollgate', userClaim: 'uid' }
  const { verify } = verifierWorld(settings)
  t.match(await verify(await createDemoUser({ ...rules, ...settings }).signJwt()), {
    userId: 'demo-user'
  })
  t.equal(await verify(await createDemoUser(rules).signJwt()), 'invalid', 'and needs to')
})

/** A store in which every start makes its demo token. */
function starts(table = scopeTable({ 'scans:read': 'default', 'scans:write': 'other' })) {
  const rows = new Map<string, TokenRow>()
  const told: Told[] = []
  const store = memoryStore(rows, told)
  return { rows, told, store, start: () => createDemoToken({ store, table, randomBytes }) }
}

t.test('the demo token is a token of the demo user with the default scopes', async t => {
  const { rows, told, start } = starts()
  const made = await start()
  if (!made) throw new Error('no token')
  t.ok(isWellFormedToken(made.token))
  t.same(made.scopes, ['scans:read'])
  t.match(rows.get(made.id), {
    digest: digestToken(made.token),
    userId: 'demo-user',
    orgId: null,
    scopes: ['scans:read'],
    repositories: null,
    requireSignature: false
  })
  t.type(rows.get(made.id)?.expiresAtMs, 'number', 'it ends, also where nobody ends it')
  t.notMatch(JSON.stringify(told), made.token)
})

t.test('demo tokens of earlier starts do not pile up, and other tokens are left alone', async t => {
  const { rows, store, start } = starts()
  const first = await start()
  const actor = { kind: 'user', id: 'demo-user', ip: undefined, requestId: undefined } as const
  const [row] = rows.values()
  if (!row) throw new Error('no row')
  const own = await store.create({ ...row, name: 'my own', expires: null }, actor)
  const others = await store.create({ ...row, userId: 'somebody', expires: null }, actor)
  await start()
  const last = await start()
  const active = [...rows.values()].filter(({ revokedAtMs }) => revokedAtMs === null)
  t.same(
    active.map(({ id }) => id),
    [own.id, others.id, last?.id]
  )
  t.not(first?.token, last?.token)
})

t.test('without default scopes it gets all; without scopes there is none', async t => {
  const made = await starts(scopeTable({ 'a:read': 'other', 'b:read': 'other' })).start()
  t.same(made?.scopes, ['a:read', 'b:read'])
  const none = starts(scopeTable({}))
  t.equal(await none.start(), undefined)
  t.equal(none.rows.size, 0)
})

t.test('a store that fails is a fault', async t => {
  const down = new Fault('TOKEN_STORE_UNAVAILABLE')
  const store = { ...memoryStore(new Map()), list: () => Promise.reject(down) }
  await t.rejects(createDemoToken({ store, table: scopeTable({}), randomBytes }), {
    code: 'TOKEN_STORE_UNAVAILABLE'
  })
})
