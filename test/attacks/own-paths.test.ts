/**
 * The gate's own paths, the token API's and the page's, in spellings that a server behind the gate could
 * take for them or past them. The route file lets everything else through, so what is not refused shows.
 */
import { randomBytes } from 'node:crypto'
import t, { type Test } from 'tap'
import { openOwnRoutes } from '../../src/own.ts'
import { loadText } from '../support/routes.ts'
import { memoryStore } from '../support/token-api.ts'
import { A, ask, get, J, post, ROUTES, type Row, startRange, tryRows } from './support/rows.ts'

const TOKENS = '/api/auth/cli-tokens'
const PAGE = '/settings/api-tokens'
const OPEN = `${ROUTES}  '* /{rest...}': public\n`

async function startOwn(t: Test) {
  const { table } = loadText(OPEN)
  const quiet = () => undefined
  const rows = new Map()
  const own = await openOwnRoutes({
    settings: {
      HOST: '127.0.0.1',
      DASHBOARD: 'on',
      DASHBOARD_LOGIN_PATH: '/login',
      JWT_ISSUER: undefined,
      JWT_AUDIENCE: undefined,
      JWT_USER_CLAIM: 'sub'
    },
    parts: { hasDemoUser: true, jwtSecret: randomBytes(32).toString('hex') },
    store: memoryStore(rows),
    barrier: { wait: () => Promise.reject(new Error('nothing is revoked here')) },
    clock: { nowMs: () => Date.now(), wallMs: () => Date.now(), isTrusted: () => true },
    routes: () => table,
    version: '1.2.3',
    log: { info: quiet, warn: quiet, error: quiet }
  })
  return { range: await startRange(t, { routes: OPEN, own }), rows }
}

/** Of a path of two segments and more: each is the path itself to some server. */
function spellings(path: string): readonly string[] {
  const [first = '', ...rest] = path.slice(1).split('/')
  const last = rest.at(-1) ?? ''
  const middle = rest.slice(0, -1).map(segment => `/${segment}`)
  const behind = (end: string) => `/${first}${middle.join('')}/${end}`
  const code = last.charCodeAt(0).toString(16)
  return [
    behind(`./${last}`),
    behind(`x/../${last}`),
    behind(`%2e/${last}`),
    behind(`x/%2E%2e/${last}`),
    behind(`/${last}`),
    `/${path}`,
    `${path}//`,
    `/./${path.slice(1)}`,
    behind(`%${code}${last.slice(1)}`),
    behind(last.replace('-', '%2d')),
    behind(last.replace('-', '%EF%BC%8D')),
    `/${first}%2f${rest.join('/')}`,
    `/${first}\\${rest.join('\\')}`,
    `/${first}%5c${rest.join('%5c')}`,
    behind(last.toUpperCase()),
    path.replace(first, first.toUpperCase()),
    `${path};x=y`,
    `${path}%3bx`,
    `${path}/..;/x`,
    `${path}#/x`,
    `${path}%23`,
    `${path}%3f`,
    `${path}%00`,
    `${path}%09`,
    `http://g${path}`,
    `//g${path}`
  ].filter(spelling => spelling !== path)
}

const malformed = (name: string, send: string): Row => ({ name, send, status: 400, saw: 0 })
const refused = (name: string, send: string, status: number, code: string): Row => ({
  name,
  send,
  status,
  code,
  saw: 0
})

t.test('P28: the own paths in any other spelling are nobody’s', async t => {
  const { range, rows } = await startOwn(t)
  const reads = [TOKENS, `${PAGE}/catalogue`].flatMap(spellings)
  const writes = [TOKENS, `${PAGE}/demo-session`].flatMap(spellings)
  await tryRows(t, range, [
    ...reads.map(target => malformed(`GET ${target}`, get(target))),
    ...writes.map(target => malformed(`POST ${target}`, post(target, J)))
  ])
  t.equal(rows.size, 0, 'no token was made')
})

t.test(
  'P28: the own paths are the gate’s with everything below, and J alone opens them',
  async t => {
    const { range, rows } = await startOwn(t)
    const denied = (name: string, send: string) => refused(name, send, 403, 'ROUTE_DENIED')
    const unknown = (name: string, send: string) => refused(name, send, 401, 'NO_TOKEN')
    const upgrade = 'Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n'
    const renamed = 'X-Original-URL: /pub/x\r\nX-HTTP-Method-Override: GET\r\n'
    await tryRows(t, range, [
      ...[
        TOKENS,
        `${TOKENS}/`,
        `${TOKENS}?x=/pub/x`,
        `${PAGE}/catalogue`,
        `${PAGE}/catalogue/`
      ].flatMap(target => [
        unknown(`GET ${target}`, get(target)),
        unknown(`HEAD ${target}`, ask(`HEAD ${target}`)),
        unknown(`${target}, to be upgraded`, get(target, upgrade)),
        unknown(`${target} under another name`, get(target, renamed)),
        refused(`${target}, A`, get(target, A), 403, 'JWT_REQUIRED'),
        refused(
          `${target}, no JWT`,
          get(target, 'Authorization: Bearer x.y.z\r\n'),
          401,
          'INVALID_TOKEN'
        )
      ]),
      ...[
        `${TOKENS}/x/y`,
        `${PAGE}/x`,
        `${PAGE}/catalogue/x`,
        `${PAGE}/page.js/x`,
        `${PAGE}/page.map`
      ].flatMap(target => [
        denied(`GET ${target}`, get(target)),
        denied(`GET ${target}, J`, get(target, J))
      ]),
      ...['PUT', 'PATCH', 'OPTIONS'].flatMap(method => [
        denied(`${method} tokens`, ask(`${method} ${TOKENS}`, J)),
        denied(`${method} page`, ask(`${method} ${PAGE}`, J))
      ]),
      denied(
        'a session of the demo user, asked for by another name of this machine',
        post(`${PAGE}/demo-session`, '')
      )
    ])
    t.equal(rows.size, 0, 'no token was made')
  }
)
