/**
 * Attacks as rows: the bytes a client writes on a new connection, the answer, and what the service
 * behind the gate saw of it. After each row a good request gets its answer, no token was logged, and
 * no host was dialled but that service.
 */
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { type ProxyStart, startProxy, type TestProxy, type TestToken } from '../../support/proxy.ts'
import { type RawAnswer, sendRaw } from '../../support/raw.ts'
import type { Recorded } from '../../support/upstream.ts'

export const ROUTES = readFileSync(join(import.meta.dirname, 'routes.yaml'), 'utf8')

/** Header lines; the runner puts the token's text for the word in braces. */
export const A = 'Authorization: Bearer {A}\r\n'
export const R = 'Authorization: Bearer {R}\r\n'
export const J = 'Authorization: Bearer {J}\r\n'

const JWT = 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1NyJ9.c2lnbmF0dXJl'

export interface Row {
  readonly name: string
  readonly send: string | readonly string[]
  /** Undefined: the connection is closed without an answer. Of a list, any. */
  readonly status: number | undefined | readonly (number | undefined)[]
  /** Of a refusal; the status 400 alone means MALFORMED_REQUEST. A 400 closes the connection. */
  readonly code?: string
  readonly message?: string
  /**
   * What arrived behind the gate: nothing; one request, with the target and the body as sent; nothing
   * that is complete.
   */
  readonly saw: 0 | 1 | 'none complete'
  /** Of the request that arrived: all values of these headers, and headers that are not there. */
  readonly has?: Readonly<Record<string, readonly string[]>>
  readonly lacks?: readonly string[]
  /** Its body, where it is not what stands after the head. */
  readonly body?: string
  /** It can be sent only once: it spends a nonce. */
  readonly isOnce?: boolean
}

export interface Range {
  readonly proxy: TestProxy
  /** Holds `a:read` for all repositories. */
  readonly a: TestToken
  /** Holds `a:read` for `r1`. */
  readonly r: TestToken
  readonly jwt: string
  /** Puts the tokens for the words in braces. */
  readonly fill: (text: string) => string
  /** Hosts to which the gate has begun connections. */
  readonly dialled: ReadonlySet<string>
  /** Hosts, besides the service, that the gate is told to ask. */
  readonly mayDial: string[]
}

export async function startRange(t: Test, start: Partial<ProxyStart> = {}): Promise<Range> {
  const users = { [JWT]: { userId: 'u7', orgId: null, expiresAtMs: Date.now() + 3_600_000 } }
  const proxy = await startProxy(t, { routes: ROUTES, users, ...start })
  const a = proxy.addToken()
  const r = proxy.addToken({ repositories: ['r1'] })
  const fill = (text: string) =>
    text.replaceAll('{A}', a.text).replaceAll('{R}', r.text).replaceAll('{J}', JWT)
  return { proxy, a, r, jwt: JWT, fill, dialled: watchDials(t), mayDial: [] }
}

/** Hosts to which a connection was begun. */
function watchDials(t: Test): ReadonlySet<string> {
  const dialled = new Set<string>()
  const note = (message: unknown) => {
    if (typeof message !== 'object' || message === null || !('connectParams' in message)) return
    const { connectParams } = message
    if (typeof connectParams === 'object' && connectParams !== null && 'host' in connectParams) {
      dialled.add(String(connectParams.host))
    }
  }
  subscribe('undici:client:beforeConnect', note)
  t.teardown(() => unsubscribe('undici:client:beforeConnect', note))
  return dialled
}

/** A request without a body, on a head of one Host. */
export function ask(line: string, headers = ''): string {
  return `${line} HTTP/1.1\r\nHost: g\r\n${headers}\r\n`
}

export function get(target: string, headers = ''): string {
  return ask(`GET ${target}`, headers)
}

export function post(target: string, headers: string, body = ''): string {
  return `${ask(`POST ${target}`, `${headers}Content-Length: ${body.length}\r\n`)}${body}`
}

/**
 * Each row in turn, each on a connection of its own, and all of them by either way that a request can
 * take to the sender: from the hook, and through the plugin.
 */
export async function tryRows(t: Test, range: Range, rows: readonly Row[]): Promise<void> {
  for (const row of rows) {
    for (const lane of row.isOnce ? [undefined] : (['hook', 'plugin'] as const)) {
      range.proxy.setLane(lane)
      await tryRow(t, range, lane === 'plugin' ? { ...row, name: `${row.name} (plugin)` } : row)
    }
  }
  range.proxy.setLane(undefined)
}

/** Longer than any close that belongs to an answer takes. */
const CLOSING_MS = 1000

async function tryRow(t: Test, range: Range, row: Row): Promise<void> {
  const { proxy, fill } = range
  const { upstream } = proxy
  const { begun, bytes, requests } = upstream
  const before = { begun, bytes, whole: requests.length }
  const told = { lines: proxy.lines.length, logged: proxy.logged.length }
  const parts = (typeof row.send === 'string' ? [row.send] : row.send).map(fill)
  const isHead = parts.join('').startsWith('HEAD ')
  const isClosing = [row.status].flat().some(status => mustClose(row, status))
  const result = await sendRaw(proxy.port, typeof row.send === 'string' ? parts.join('') : parts, {
    isHead,
    closingMs: isClosing ? CLOSING_MS : 0
  })
  checkAnswer(t, row, result.answers[0], result.closed)
  if (isHead) t.match(result.text, /\r\n\r\n$/, `${row.name}: no body`)
  if (row.saw === 0) t.equal(upstream.bytes, before.bytes, `${row.name}: not one byte went on`)
  const seen = requests.slice(before.whole)
  t.equal(seen.length, row.saw === 1 ? 1 : 0, `${row.name}: whole requests behind the gate`)
  for (const request of seen) checkSeen(t, row, request, parts.join(''))
  await tryGood(t, range, row.name)
  if (row.saw !== 'none complete') {
    const wanted = row.saw + 1
    t.equal(upstream.begun - before.begun, wanted, `${row.name}: heads behind the gate, in all`)
  }
  checkLogs(t, range, row.name, told)
}

/** What could not be read in one way leaves nobody to go on with. */
function mustClose({ code = 'MALFORMED_REQUEST' }: Row, status: number | undefined): boolean {
  return status === undefined || (status === 400 && code === 'MALFORMED_REQUEST')
}

function checkAnswer(t: Test, row: Row, answer: RawAnswer | undefined, closed: boolean): void {
  const { name, message } = row
  const status = answer?.status
  const allowed = Array.isArray(row.status) ? row.status : [row.status]
  const code = row.code ?? (status === 400 ? 'MALFORMED_REQUEST' : undefined)
  t.ok(allowed.includes(status), `${name}: status ${status} is ${allowed.join(' or ')}`)
  if (mustClose(row, status)) t.ok(closed, `${name}: the connection is closed`)
  if (code !== undefined && !row.send.toString().startsWith('HEAD ')) {
    t.equal(answer?.json['code'], code, `${name}: code`)
    t.match(answer?.json['requestId'], /^[\w.-]+$/, `${name}: request id`)
  }
  if (message !== undefined) t.equal(answer?.json['message'], message, `${name}: message`)
}

function checkSeen(t: Test, row: Row, seen: Recorded, sent: string): void {
  const { name, has = {}, lacks = [] } = row
  const [method, target] = sent.split(' ')
  t.same([seen.method, seen.target], [method, target], `${name}: the request line as sent`)
  const body = row.body ?? sent.slice(sent.indexOf('\r\n\r\n') + 4)
  t.equal(seen.body.toString('latin1'), body, `${name}: the body`)
  for (const [header, values] of Object.entries(has)) {
    t.same(seen.all(header), values, `${name}: ${header}`)
  }
  for (const header of lacks) t.same(seen.all(header), [], `${name}: no ${header}`)
  checkNames(t, name, seen)
}

const OWNER = ['x-ci-auth', 'x-ci-user-id', 'x-ci-scopes', 'x-ci-repositories', 'x-ci-signed']
const ADDED = ['connection', 'x-forwarded-for', 'x-forwarded-proto', 'x-forwarded-host']
/** By `x-ci-auth`: all that the gate says of a caller whose row has no organisation. */
const IDENTITY: Readonly<Record<string, readonly string[]>> = {
  none: ['x-ci-auth'],
  jwt: OWNER,
  'cli-token': [...OWNER, 'x-ci-token-id', 'x-ci-token-name']
}
const OURS_OR_GONE =
  /^(?:x-(?:cl?i-|forwarded-|client-cert|ssl-client-|real-ip|client-ip)|forwarded|proxy|client-cert|keep-alive|te$|trailer|transfer-encoding|upgrade|http2-|connection|expect)/

/** What holds for every request that goes on, whatever was sent and whatever Connection named. */
function checkNames(t: Test, name: string, seen: Recorded): void {
  const [kind = ''] = seen.all('x-ci-auth')
  const expected = [...ADDED, ...(IDENTITY[kind] ?? [])]
  // Compared as servers do that fold names.
  const names = seen.headers.map(([header]) => header.replaceAll(/[_.]/g, '-'))
  const kept = names.filter(header => OURS_OR_GONE.test(header) && header !== 'x-ci-org-id')
  const wanted =
    seen.all('transfer-encoding').length > 0 ? [...expected, 'transfer-encoding'] : expected
  t.same(kept.toSorted(compare), wanted.toSorted(compare), `${name}: names that only we write`)
  t.same(seen.all('connection'), ['keep-alive'], `${name}: our own connection`)
  t.notMatch(seen.all('authorization').join(), 'ci_', `${name}: the token stays here`)
}

const compare = (a: string, b: string) => (a < b ? -1 : Number(a > b))

/** The gate lives, a connection of somebody else is not touched, and nobody else was dialled. */
export async function tryGood(
  t: Test,
  { proxy, fill, dialled, mayDial }: Range,
  name: string
): Promise<void> {
  const { answers } = await sendRaw(proxy.port, fill(get('/api/a/good', A)), { closingMs: 0 })
  t.equal(answers[0]?.status, 200, `${name}: a good request afterwards`)
  t.equal(proxy.upstream.last().target, '/api/a/good', `${name}: it alone went on afterwards`)
  const others = [...dialled].filter(host => !mayDial.includes(host))
  t.same(others, [`127.0.0.1:${proxy.upstream.port}`], `${name}: no other host was dialled`)
}

function checkLogs(
  t: Test,
  { proxy, a, r, jwt }: Range,
  name: string,
  from: { readonly lines: number; readonly logged: number }
): void {
  const fresh = [proxy.lines.slice(from.lines), proxy.logged.slice(from.logged)]
  const logged = JSON.stringify(fresh)
  const secrets = [a.text, r.text, jwt]
  t.notOk(
    secrets.some(secret => logged.includes(secret)),
    `${name}: no secret was logged`
  )
}
