/** Which of the gate's own routes there are, by the settings. */
import t from 'tap'
import type { OwnAnswer, OwnRequest } from '../src/core/own-routes.ts'
import { openOwnRoutes, type OwnOptions } from '../src/own.ts'
import { memoryStore, NOW, ownRequest, scopeTable } from './support/token-api.ts'
import { SECRET, verifierWorld } from './support/verifier.ts'

const table = scopeTable({ 'scans:read': 'default' })
const log = { info: () => undefined, warn: () => undefined, error: () => undefined }
const demo = { hasDemoUser: true, jwtSecret: SECRET }

function open(settings: Partial<OwnOptions['settings']> = {}, parts: OwnOptions['parts'] = demo) {
  return openOwnRoutes({
    settings: {
      HOST: '127.0.0.1',
      DASHBOARD: 'on',
      DASHBOARD_LOGIN_PATH: '/login',
      JWT_ISSUER: undefined,
      JWT_AUDIENCE: undefined,
      JWT_USER_CLAIM: 'sub',
      ...settings
    },
    parts,
    store: memoryStore(new Map()),
    barrier: { wait: () => Promise.reject(new Error('nothing is revoked here')) },
    clock: { nowMs: () => NOW, wallMs: () => NOW, isTrusted: () => true },
    routes: () => table,
    version: '1.2.3',
    log
  })
}

/** From a browser at this machine. */
function asking(name: OwnRequest['name']): OwnRequest {
  const request = ownRequest({ name })
  return { ...request, ip: '127.0.0.1', head: { ...request.head, host: 'localhost:8080' } }
}

async function demoSession(...given: Parameters<typeof open>): Promise<OwnAnswer | undefined> {
  const answer = await (await open(...given)).handle(asking('page.demo-session'))
  if (!('kind' in answer)) return answer
  t.match(answer, { status: 403, code: 'ROUTE_DENIED' })
  return undefined
}

t.test('the demo session is that of a user whom the gate then knows', async t => {
  const { verify } = verifierWorld()
  const answer = await demoSession()
  const { token } = JSON.parse(String(answer?.body))
  t.match(await verify(token), { userId: 'demo-user', orgId: null })
})

t.test('it is there only where the secret is our own and others cannot connect', async t => {
  for (const HOST of ['127.0.0.1', '127.8.8.8', 'localhost', '::1']) {
    t.ok(await demoSession({ HOST }), HOST)
    t.notOk(await demoSession({ HOST }, { hasDemoUser: false, jwtSecret: SECRET }), 'configured')
  }
  for (const HOST of ['0.0.0.0', '::', '192.0.2.1', '::2', 'gate.test', '127.0.0.1.gate.test']) {
    t.notOk(await demoSession({ HOST }), HOST)
  }
})

t.test('page and token API are served together, and the API alone without the page', async t => {
  const both = await open()
  t.match(await both.handle(asking('page.document')), { status: 200 })
  t.match(await both.handle(asking('tokens.list')), { status: 200, body: '{"tokens":[]}' })
  const api = await open({ DASHBOARD: 'off' })
  t.match(await api.handle(asking('tokens.list')), { status: 200 })
  await t.rejects(api.handle(asking('page.document')), { code: 'INTERNAL_ERROR' })
})
