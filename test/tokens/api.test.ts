import t from 'tap'
import { type Denial, Fault } from '../../src/core/decision.ts'
import type { OwnAnswer } from '../../src/core/own-routes.ts'
import type { Barrier } from '../../src/core/ports.ts'
import type { User } from '../../src/core/principal.ts'
import { digestToken, isWellFormedToken } from '../../src/core/token.ts'
import { createTokenApi } from '../../src/tokens/api.ts'
import {
  DAY,
  jsonOf,
  memoryStore,
  NOW,
  ownRequest,
  scopeTable,
  tokenWorld,
  USER,
  type World
} from '../support/token-api.ts'

const good = { name: 'GitHub Actions CI', scopes: ['scans:read'], expiresInDays: 1 }
const CREATED = '2027-01-15T08:00:00.000Z' // NOW
const OTHER: User = { ...USER, userId: 'user-2' }
const RANDOM_ID = '7d3f1c9e-52ab-4c07-9d5e-0a4b6a1f2e3d'

/** A world in which USER has one token. */
async function withToken(world: World = tokenWorld()) {
  const made = jsonOf(await world.ask({ body: good }))
  return { world, id: String(made['id']), token: String(made['token']) }
}

function header(answer: OwnAnswer | Denial, name: string): string | undefined {
  return 'kind' in answer ? undefined : answer.headers[name]
}

t.test('a create answers 201 with the documented members in their order', async t => {
  const { ask, rows } = tokenWorld()
  const answer = await ask({
    body: { ...good, repositories: ['r1', 'r2'], requireSignature: true }
  })
  t.equal(answer.status, 201)
  t.equal(answer.code, 'OK')
  t.equal(header(answer, 'cache-control'), 'no-store')
  t.equal(header(answer, 'content-type'), 'application/json')
  const { token, ...rest } = jsonOf(answer)
  const [id] = rows.keys()
  const info = {
    id,
    name: 'GitHub Actions CI',
    scopes: ['scans:read'],
    allRepositories: false,
    repositories: ['r1', 'r2'],
    createdAt: CREATED,
    expiresAt: '2027-01-16T08:00:00.000Z',
    requireSignature: true
  }
  t.equal(JSON.stringify(rest), JSON.stringify({ ...info, tokenInfo: info }))
  t.equal(Object.keys(jsonOf(answer))[0], 'token')
  t.ok(isWellFormedToken(String(token)))
})

t.test('a token for everything, without an end, says so in the same members', async t => {
  const { ask } = tokenWorld()
  const answer = await ask({ body: { name: 'x' } })
  t.match(jsonOf(answer), { allRepositories: true, repositories: [], expiresAt: null })
})

t.test(
  'the store gets the digest of the token, its owner and who asked, never its text',
  async t => {
    const { world, token } = await withToken()
    const [told] = world.told
    t.match(told, {
      call: 'create',
      actor: { kind: 'user', id: 'user-1', ip: '192.0.2.7', requestId: 'request-1' },
      token: { digest: digestToken(token), userId: 'user-1', orgId: 'org-1' }
    })
    t.notMatch(JSON.stringify([world.told, world.logged]), token)
    const free = tokenWorld()
    await free.ask({ body: good, user: { ...USER, orgId: null } })
    t.match(free.told[0], { token: { orgId: null } }, 'bound to none without an organisation')
  }
)

t.test('two creates make two tokens', async t => {
  const { ask } = tokenWorld()
  const tokens = [await ask({ body: good }), await ask({ body: good })].map(
    answer => jsonOf(answer)['token']
  )
  t.not(tokens[0], tokens[1])
})

t.test('the list shows own active tokens, newest first, and nothing secret', async t => {
  const { world, token } = await withToken()
  await world.ask({ body: { ...good, name: 'second' } })
  await world.ask({ body: good, user: OTHER })
  const answer = await world.ask({ name: 'tokens.list' })
  t.equal(header(answer, 'cache-control'), 'no-store')
  const { tokens } = jsonOf(answer)
  if (!Array.isArray(tokens)) throw new Error('no list')
  t.same(
    tokens.map(({ name }) => name),
    ['second', 'GitHub Actions CI']
  )
  const [id] = world.rows.keys()
  const expected = {
    id,
    name: 'GitHub Actions CI',
    scopes: ['scans:read'],
    allRepositories: true,
    repositories: [],
    preview: `${token.slice(0, 7)}…${token.slice(-4)}`,
    requireSignature: false,
    createdAt: CREATED,
    lastUsedAt: null,
    expiresAt: '2027-01-16T08:00:00.000Z'
  }
  t.equal(JSON.stringify(tokens[1]), JSON.stringify(expected))
  t.notMatch(JSON.stringify(tokens), token)
  t.notMatch(JSON.stringify(tokens), digestToken(token))
})

t.test('the list shows when a token was used last', async t => {
  const { world, id } = await withToken()
  const row = world.rows.get(id)
  if (row) world.rows.set(id, { ...row, lastUsedAtMs: NOW - DAY })
  const { tokens } = jsonOf(await world.ask({ name: 'tokens.list' }))
  t.match(tokens, [{ lastUsedAt: '2027-01-14T08:00:00.000Z' }])
})

t.test(
  'inactive tokens are in the list only when asked for, with the end of the revoked',
  async t => {
    const { world, id } = await withToken()
    await world.ask({ name: 'tokens.revoke', id })
    await world.ask({ body: good })
    const shown = async (query?: string) => {
      const { tokens } = jsonOf(await world.ask({ name: 'tokens.list', query }))
      return Array.isArray(tokens) ? tokens : []
    }
    t.equal((await shown()).length, 1)
    t.notOk('revokedAt' in (await shown())[0])
    t.match(await shown('include=inactive'), [{ revokedAt: null }, { id, revokedAt: CREATED }])
  }
)

t.test('a revocation answers after its barrier, with the receipt', async t => {
  const { world, id } = await withToken()
  const answer = await world.ask({ name: 'tokens.revoke', id })
  t.equal(answer.status, 200)
  t.equal(header(answer, 'cache-control'), 'no-store')
  const receipt = { replicas: 3, acknowledged: 3, waitedMs: 12 }
  const expected = { success: true, id, revokedAt: CREATED, barrier: receipt }
  t.equal(JSON.stringify(jsonOf(answer)), JSON.stringify(expected))
  t.match(world.waited, [{ kind: 'revoke', ids: [id], seq: 1 }])
  t.match(world.told.at(-1), { actor: { kind: 'user', id: 'user-1', ip: '192.0.2.7' } })
})

t.test('T13: every DELETE waits for a barrier of its own, a repeated one too', async t => {
  const { world, id } = await withToken()
  const asking = { name: 'tokens.revoke', id } as const
  const answers = await Promise.all([world.ask(asking), world.ask(asking)])
  answers.push(await world.ask(asking))
  t.same(
    answers.map(({ status }) => status),
    [200, 200, 200]
  )
  t.equal(world.waited.length, 3)
})

t.test('no revocation is confirmed before the barrier has ended', async t => {
  const gate = Promise.withResolvers<void>()
  const barrier: Barrier = {
    wait: async () => {
      await gate.promise
      return { replicas: 1, acknowledged: 1, waitedMs: 0 }
    }
  }
  const { world, id } = await withToken(tokenWorld({ barrier }))
  let isAnswered = false
  const asked = world.ask({ name: 'tokens.revoke', id }).then(answer => {
    isAnswered = true
    return answer
  })
  await new Promise(resolve => setImmediate(resolve))
  t.notOk(isAnswered)
  gate.resolve()
  t.equal((await asked).status, 200)
})

t.test('a barrier that fails, in whatever way, leaves the change unconfirmed', async t => {
  for (const cause of [new Fault('REVOCATION_UNCONFIRMED'), new TypeError('broken')]) {
    const barrier = { wait: () => Promise.reject(cause) }
    const { world, id, token } = await withToken(tokenWorld({ barrier }))
    for (const name of ['tokens.revoke', 'tokens.rotate'] as const) {
      const fresh = jsonOf(await world.ask({ body: good }))
      await t.rejects(world.ask({ name, id: String(fresh['id']) }), {
        code: 'REVOCATION_UNCONFIRMED',
        status: 503,
        cause
      })
      t.match(world.logged.at(-1), ['change not confirmed', { tokenIds: [fresh['id']] }])
    }
    t.notMatch(JSON.stringify(world.logged), token)
    t.equal(world.rows.get(id)?.revokedAtMs, null, 'others are untouched')
  }
})

t.test('a rotation that is not confirmed leaves a token that can be rotated on', async t => {
  let isDown = true
  const receipt = { replicas: 1, acknowledged: 1, waitedMs: 0 }
  const barrier: Barrier = {
    wait: () =>
      isDown ? Promise.reject(new Fault('REVOCATION_UNCONFIRMED')) : Promise.resolve(receipt)
  }
  const { world, id } = await withToken(tokenWorld({ barrier }))
  await t.rejects(world.ask({ name: 'tokens.rotate', id }), { code: 'REVOCATION_UNCONFIRMED' })
  isDown = false
  const { tokens } = jsonOf(await world.ask({ name: 'tokens.list' }))
  if (!Array.isArray(tokens)) throw new Error('no list')
  t.equal(tokens.length, 1)
  const answer = await world.ask({ name: 'tokens.rotate', id: tokens[0].id })
  t.equal(answer.status, 201)
  t.ok(isWellFormedToken(String(jsonOf(answer)['token'])))
})

t.test('a rotation answers as a create, with what it replaced and the receipt', async t => {
  const { world, id, token: old } = await withToken()
  const answer = await world.ask({ name: 'tokens.rotate', id, body: { graceSeconds: 60 } })
  t.equal(answer.status, 201)
  t.equal(header(answer, 'cache-control'), 'no-store')
  const { token, tokenInfo, ...rest } = jsonOf(answer)
  t.ok(isWellFormedToken(String(token)))
  t.not(token, old)
  t.match(rest, {
    name: 'GitHub Actions CI',
    scopes: ['scans:read'],
    rotatedFrom: id,
    barrier: { replicas: 3, acknowledged: 3, waitedMs: 12 }
  })
  t.not(rest['id'], id)
  t.match(tokenInfo, { id: rest['id'], name: 'GitHub Actions CI' })
  t.notOk('token' in Object(tokenInfo))
  t.match(world.told.at(-1), {
    call: 'rotate',
    id,
    userId: 'user-1',
    graceSeconds: 60,
    actor: { kind: 'user', id: 'user-1' }
  })
  t.match(world.waited, [{ kind: 'change', ids: [id] }])
  t.notMatch(JSON.stringify([world.told, world.logged]), String(token))
})

t.test('T5: another user, an unknown id and an inactive token give one body', async t => {
  const { world, id } = await withToken()
  const refusals: (OwnAnswer | Denial)[] = []
  for (const name of ['tokens.revoke', 'tokens.rotate'] as const) {
    refusals.push(await world.ask({ name, id, user: OTHER }))
    refusals.push(await world.ask({ name, id: RANDOM_ID }))
  }
  t.equal(world.rows.get(id)?.revokedAtMs, null)
  const { tokens } = jsonOf(await world.ask({ name: 'tokens.list', user: OTHER }))
  t.same(tokens, [])
  await world.ask({ name: 'tokens.revoke', id })
  refusals.push(await world.ask({ name: 'tokens.rotate', id }))
  for (const refused of refusals) {
    t.match(refused, { status: 404, code: 'TOKEN_NOT_FOUND' })
    t.same('kind' in refused && refused.body, { message: 'Token not found' })
  }
})

t.test('T7: an id that is no UUID is 404 without a query', async t => {
  const { world } = await withToken()
  const ids = ['../x', '%27', "' OR 1=1--", 'x'.repeat(10_240), '', '1', `${RANDOM_ID} `, '\u0000']
  const before = world.told.length
  for (const name of ['tokens.revoke', 'tokens.rotate'] as const) {
    for (const id of [...ids, RANDOM_ID.replaceAll('-', ''), `{${RANDOM_ID}}`, 'é'.repeat(36)]) {
      t.match(await world.ask({ name, id }), { status: 404, code: 'TOKEN_NOT_FOUND' }, id)
    }
  }
  t.equal(world.told.length, before)
})

t.test('an id is one token in either case', async t => {
  const { world, id } = await withToken()
  const answer = await world.ask({ name: 'tokens.revoke', id: id.toUpperCase() })
  t.equal(jsonOf(answer)['id'], id)
})

function down(): Promise<never> {
  return Promise.reject(new Fault('TOKEN_STORE_UNAVAILABLE'))
}

t.test('a store that fails is a fault, on each of the four', async t => {
  const store = { ...memoryStore(new Map()), create: down, list: down, revoke: down, rotate: down }
  const { ask } = tokenWorld({ store })
  for (const asking of [
    { body: good },
    { name: 'tokens.list' },
    { name: 'tokens.revoke', id: RANDOM_ID },
    { name: 'tokens.rotate', id: RANDOM_ID }
  ] as const) {
    await t.rejects(ask(asking), { code: 'TOKEN_STORE_UNAVAILABLE', status: 503 })
  }
})

t.test('a call that the gate should not have let through does nothing', async t => {
  const { world, id } = await withToken()
  const before = world.told.length
  await t.rejects(world.ask({ name: 'page.document' }), { code: 'INTERNAL_ERROR' })
  const api = createTokenApi({
    store: memoryStore(world.rows, world.told),
    barrier: { wait: () => Promise.reject(new Error('unused')) },
    clock: { nowMs: () => NOW, wallMs: () => NOW, isTrusted: () => true },
    routes: () => scopeTable({}),
    randomBytes: n => new Uint8Array(n),
    log: { info: () => undefined, warn: () => undefined, error: () => undefined }
  })
  const request = ownRequest({ name: 'tokens.revoke', id })
  const row = world.rows.get(id)
  if (!row) throw new Error('no row')
  for (const principal of [{ kind: 'none' }, { kind: 'cli-token', token: row }] as const) {
    await t.rejects(api.handle({ ...request, principal }), { code: 'INTERNAL_ERROR' })
  }
  t.equal(world.told.length, before)
})
