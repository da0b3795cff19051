/** The page's paths on a socket: what each answers to whom, and what the browser is told with it. */
import { readFileSync } from 'node:fs'
import { brotliDecompressSync, gunzipSync } from 'node:zlib'
import t from 'tap'
import { PAGE_ASSETS } from '../../src/core/own-routes.ts'
import { createDashboard, type DashboardOptions } from '../../src/dashboard/dashboard.ts'
import { call } from '../support/gate.ts'
import { startProxy } from '../support/proxy.ts'
import { sendRaw } from '../support/raw.ts'
import { fileWith, loadText } from '../support/routes.ts'

const PAGE = '/settings/api-tokens'
const JWT = 'a.user.jwt'
const DEMO_JWT = 'the.demo.jwt'

/** Of the documented policy, each word. */
const HEADERS = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'x-frame-options': 'DENY',
  'permissions-policy': 'camera=(), geolocation=(), microphone=(), clipboard-read=()'
}

const ROUTES = fileWith('GET /x: a:read', 'GET /signed: { scope: a:write, signature: required }')

async function start(
  t: { teardown(run: () => unknown): void },
  options: Partial<DashboardOptions> = {}
) {
  const { table } = loadText(ROUTES)
  const own = createDashboard({
    version: '1.2.3',
    loginPath: '/api/auth/login',
    routes: () => table,
    signDemoJwt: undefined,
    ...options
  })
  const users = { [JWT]: { userId: 'u1', orgId: null, expiresAtMs: Date.now() + 3_600_000 } }
  return startProxy(t, { routes: ROUTES, own, users })
}

function readAsset(file: string): string {
  return readFileSync(new URL(`../../src/dashboard/assets/${file}`, import.meta.url), 'utf8')
}

function typeOf(file: string): string {
  return `text/${file.endsWith('.css') ? 'css' : 'javascript'}; charset=utf-8`
}

const signDemoJwt = () => Promise.resolve(DEMO_JWT)

t.test('every path of the page carries the policy, and says how it may be kept', async t => {
  const { url, upstream } = await start(t, { signDemoJwt })
  const kept = {
    '': ['no-store', 'text/html; charset=utf-8'],
    '/': ['no-store', 'text/html; charset=utf-8'],
    '?scopes=a:read&name=ci': ['no-store', 'text/html; charset=utf-8'],
    ...Object.fromEntries(PAGE_ASSETS.map(file => [`/${file}`, ['no-cache', typeOf(file)]])),
    '/catalogue': ['no-store', 'application/json'],
    '/demo-session': ['no-store', 'application/json']
  }
  for (const [path, [cacheControl, contentType]] of Object.entries(kept)) {
    const method = path === '/demo-session' ? 'POST' : 'GET'
    const answer = await call(`${url}${PAGE}${path}`, { method, bearer: JWT })
    const headers = Object.fromEntries(answer.headers)
    t.equal(answer.status, 200, `${method} ${path}`)
    t.match(headers, { ...HEADERS, 'cache-control': cacheControl, 'content-type': contentType })
    t.notMatch(answer.headers.get('content-security-policy'), 'unsafe', path)
    t.notOk(answer.headers.has('set-cookie') || answer.headers.has('access-control-allow-origin'))
    if (method === 'POST') continue
    const head = await call(`${url}${PAGE}${path}`, { method: 'HEAD', bearer: JWT })
    t.equal(head.text, '', 'HEAD has no body')
    t.match(Object.fromEntries(head.headers), HEADERS)
    t.equal(head.headers.get('etag'), answer.headers.get('etag'))
  }
  t.equal(upstream.begun, 0, 'the upstream received none of it')
})

t.test('nothing else below the page is there', async t => {
  const { url, upstream } = await start(t, { signDemoJwt })
  for (const [method, path] of [
    ['GET', '/page.map'],
    ['GET', '/catalogue/x'],
    ['GET', '/assets/page.js'],
    ['GET', '/tsconfig.json'],
    ['GET', '/demo-session'],
    ['POST', ''],
    ['POST', '/catalogue'],
    ['DELETE', '/page.js'],
    ['OPTIONS', '']
  ] as const) {
    const answer = await call(`${url}${PAGE}${path}`, { method, bearer: JWT })
    t.match(answer, { status: 403, json: { code: 'ROUTE_DENIED' } }, `${method} ${path}`)
  }
  t.equal(upstream.begun, 0)
})

t.test('the document is a shell: no scope, no rule, no user is in it', async t => {
  const { url } = await start(t)
  const { text } = await call(`${url}${PAGE}`, { bearer: JWT })
  t.match(text, '<!doctype html>')
  t.match(text, '1.2.3')
  t.match(text, '/api/auth/login')
  const shipped = readFileSync(new URL('../../config/routes.yaml', import.meta.url), 'utf8')
  for (const file of [ROUTES, shipped]) {
    const { scopes, rules } = loadText(file).table
    for (const name of scopes.keys()) t.notMatch(text, name)
    for (const { path, need } of rules) if (need.kind === 'all') t.notMatch(text, path)
  }
  t.notMatch(
    text,
    /<script(?![^>]*\ssrc=)|\sstyle=|\son\w+=|javascript:|https?:/i,
    'nothing inline'
  )
  for (const [, path = ''] of text.matchAll(/\s(?:src|href)="(\/[^"#?]*)"/g)) {
    t.equal((await call(`${url}${path}`)).status, 200, path)
  }
})

t.test('the script makes no markup from text, and keeps nothing beyond the tab', async t => {
  const markup = /innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|setHTML|srcdoc/
  const code = /\beval\b|new Function|javascript:|\bimport\(|set(?:Timeout|Interval)\(\s*['"`]/
  const storage = /localStorage\.|indexedDB|document\.cookie|caches\.|serviceWorker|postMessage/
  const elsewhere = /https?:\/\/|@import|url\(/
  for (const file of PAGE_ASSETS) {
    const text = readAsset(file).replaceAll(/^\s*(?:\/?\*|\/\/).*$/gm, '')
    for (const pattern of [markup, code, storage, elsewhere]) t.notMatch(text, pattern, file)
  }
})

t.test('what is put into the document is text there', async t => {
  const { url } = await start(t, { loginPath: `/"'><img/src=x&lt;`, version: '<b>' })
  const { text } = await call(`${url}${PAGE}`)
  t.match(text, '/&quot;&#39;&gt;&lt;img/src=x&amp;lt;')
  t.match(text, '&lt;b&gt;')
  t.notMatch(text, /<img|<b>/)
})

t.test('an asset that the browser has is not sent again', async t => {
  const { url, port } = await start(t)
  for (const file of ['page.js', 'page.css']) {
    const path = `${PAGE}/${file}`
    const text = readAsset(file)
    const etags = new Set<string>()
    for (const [coding, decode] of [
      ['br', brotliDecompressSync],
      ['gzip', gunzipSync],
      ['identity', (bytes: Uint8Array) => bytes]
    ] as const) {
      const ask = async (...lines: readonly string[]) => {
        const head = [`GET ${path} HTTP/1.1`, 'Host: gate', `Accept-Encoding: ${coding}`, ...lines]
        const { answers } = await sendRaw(port, `${head.join('\r\n')}\r\n\r\n`)
        if (!answers[0]) throw new Error('no answer')
        return answers[0]
      }
      const whole = await ask()
      const etag = whole.headers['etag'] ?? ''
      t.match(etag, /^"[\w-]{43}-\w+"$/, 'strong')
      t.equal(whole.headers['vary'], 'Accept-Encoding')
      t.equal(whole.headers['content-encoding'], coding === 'identity' ? undefined : coding)
      t.equal(Buffer.from(decode(Buffer.from(whole.body, 'latin1'))).toString(), text)
      etags.add(etag)
      for (const given of [etag, `W/${etag}`, '*', `"other", ${etag}`]) {
        const again = await ask(`If-None-Match: ${given}`)
        t.match(again, { status: 304, body: '', headers: { etag, ...HEADERS } }, given)
        t.notOk('content-length' in again.headers, 'it would be that of the whole body')
      }
      for (const given of ['"other"', etag.slice(0, -1), '']) {
        t.match(await ask(`If-None-Match: ${given}`), { status: 200 }, given)
      }
    }
    t.equal(etags.size, 3, 'equal validators would promise equal bytes')
  }
  t.equal((await call(`${url}${PAGE}/page.js?v=1`)).status, 200, 'a query means nothing')
})

t.test('the coding is one that was asked for', async t => {
  const { port } = await start(t)
  for (const [accepted, coding] of [
    ['gzip, deflate, br, zstd', 'br'],
    ['gzip', 'gzip'],
    ['br;q=0, gzip;q=0.5', 'gzip'],
    ['BR ; Q=1.0', 'br'],
    ['br;q=0.000', undefined],
    ['br;q=x', undefined],
    ['brotli, x-gzip', undefined],
    ['*', undefined],
    ['', undefined]
  ] as const) {
    const lines = [`GET ${PAGE} HTTP/1.1`, 'Host: gate', `Accept-Encoding: ${accepted}`]
    const { answers } = await sendRaw(port, `${lines.join('\r\n')}\r\n\r\n`)
    t.equal(answers[0]?.headers['content-encoding'], coding, accepted)
  }
})

t.test('script and style stay small, and the page is small on the wire', async t => {
  const { port } = await start(t, { signDemoJwt })
  const sent = new Map<string, number>()
  const ask = async (path: string) => {
    const lines = [`GET ${PAGE}${path} HTTP/1.1`, 'Host: localhost', 'Accept-Encoding: gzip']
    const { text, answers } = await sendRaw(port, `${lines.join('\r\n')}\r\n\r\n`)
    sent.set(path, text.length)
    return answers[0]?.body.length ?? Infinity
  }
  const sum = (sizes: Iterable<number>) => [...sizes].reduce((total, bytes) => total + bytes, 0)
  const scripts = PAGE_ASSETS.filter(file => file.endsWith('.js'))
  const script = sum(await Promise.all(scripts.map(file => ask(`/${file}`))))
  const style = await ask('/page.css')
  await ask('')
  t.equal(sent.size, PAGE_ASSETS.length + 1)
  t.ok(script <= 32 * 1024, `${script} bytes of script`)
  t.ok(style <= 12 * 1024, `${style} bytes of style`)
  t.ok(sum(sent.values()) <= 60 * 1024, `${sum(sent.values())} bytes with document and headers`)
})

t.test('the catalogue is for users, and says what of the rules concerns tokens', async t => {
  let { table } = loadText(ROUTES)
  const proxy = await start(t, { routes: () => table })
  const catalogue = (bearer?: string) => call(`${proxy.url}${PAGE}/catalogue`, { bearer })
  t.match(await catalogue(), { status: 401, json: { message: 'No token provided' } })
  t.match(await catalogue('not.a.jwt'), { status: 401, json: { message: 'Invalid token' } })
  t.match(await catalogue(proxy.addToken().text), { status: 403, json: { code: 'JWT_REQUIRED' } })
  const scope = { about: '', risk: 'low', default: false, implies: [] }
  t.strictSame((await catalogue(JWT)).json, {
    hash: '0'.repeat(64),
    scopes: ['a:read', 'a:write', 'b:read'].map(name => ({ name, title: name, ...scope })),
    rules: [
      {
        methods: ['GET'],
        path: '/x',
        need: { all: ['a:read'] },
        repositories: 'refused',
        signature: 'optional',
        mode: 'enforce',
        why: null
      },
      {
        methods: ['GET'],
        path: '/signed',
        need: { all: ['a:write'] },
        repositories: 'refused',
        signature: 'required',
        mode: 'enforce',
        why: null
      }
    ]
  })

  // Another file is in force from one request to the next.
  table = loadText(`version: 1
mode: report
scopes:
  a:read: { title: Read <b>, about: All of it, risk: high, default: true, implies: [b:read] }
  b:read: { title: B }
upstreams:
  other: { url: "http://hidden.internal:1234" }
routes:
  GET /open: public
  GET /people: jwt
  GET /never: { scope: deny, why: no }
  POST /none: { scope: any-token, repo: none, upstream: other, why: because }
  GET /left: { scope: { any: [a:read, b:read] }, repo: [query.repo, upstream], mode: enforce }
  "* /all/{repo}/{rest...}": { scope: [a:read, b:read], repo: ["{repo}", query.repo] }
`).table
  const { json, text } = await catalogue(JWT)
  const shared = { signature: 'optional', mode: 'report', why: null }
  t.strictSame(json['scopes'], [
    {
      name: 'a:read',
      title: 'Read <b>',
      about: 'All of it',
      risk: 'high',
      default: true,
      implies: ['b:read']
    },
    { name: 'b:read', title: 'B', ...scope }
  ])
  t.same(json['rules'], [
    {
      ...shared,
      methods: ['POST'],
      path: '/none',
      need: 'any-token',
      repositories: 'none',
      why: 'because'
    },
    {
      ...shared,
      methods: ['GET'],
      path: '/left',
      need: { any: ['a:read', 'b:read'] },
      repositories: 'upstream',
      mode: 'enforce'
    },
    {
      ...shared,
      methods: ['DELETE', 'GET', 'HEAD', 'PATCH', 'POST', 'PUT'],
      path: '/all/{repo}/{rest...}',
      need: { all: ['a:read', 'b:read'] },
      repositories: 'bound'
    }
  ])
  for (const hidden of ['hidden.internal', '/open', '/people', '/never']) t.notMatch(text, hidden)
})

t.test('the demo session is for whoever sits at this machine', async t => {
  const demo = await start(t, { signDemoJwt })
  const none = await start(t)
  // As the raw client reads it: a byte a character.
  const plain = Buffer.from((await call(`${none.url}${PAGE}`)).text).toString('latin1')
  const ask = async (port: number, host: string, lines: readonly string[] = []) => {
    const post = [`POST ${PAGE}/demo-session HTTP/1.1`, `Host: ${host}`, 'Content-Length: 0']
    const get = [`GET ${PAGE} HTTP/1.1`, `Host: ${host}`]
    const [made, page] = await Promise.all(
      [post, get].map(head => sendRaw(port, `${[...head, ...lines].join('\r\n')}\r\n\r\n`))
    )
    // The page offers what the gate gives, and nothing else.
    t.equal(page?.answers[0]?.body !== plain, made?.answers[0]?.status === 200, host)
    return made?.answers[0]
  }
  for (const host of ['localhost', '127.0.0.1', '[::1]', 'LocalHost']) {
    for (const port of ['', `:${demo.port}`]) {
      t.match(await ask(demo.port, host + port), { status: 200, json: { token: DEMO_JWT } })
    }
    t.match(await ask(none.port, host), { status: 403, json: { code: 'ROUTE_DENIED' } })
  }
  for (const host of [
    'rebound.example',
    'localhost.rebound.example',
    '127.0.0.1.rebound.example',
    'xlocalhost',
    '127.0.0.2',
    '10.0.0.1',
    '[::2]',
    'localhost.'
  ]) {
    const answer = await ask(demo.port, host)
    t.match(answer, { status: 403, json: { code: 'ROUTE_DENIED' } }, host)
    t.notMatch(answer?.body, DEMO_JWT)
  }
  for (const line of [
    'X-Forwarded-For: 203.0.113.7',
    'X_Forwarded_Host: api.example',
    'Forwarded: for=203.0.113.7',
    'Via: 1.1 front',
    'X-Real-IP: 203.0.113.7'
  ]) {
    t.match(await ask(demo.port, 'localhost', [line]), { status: 403 }, `relayed: ${line}`)
  }
})
