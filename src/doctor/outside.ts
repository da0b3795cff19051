/** What a gate shows to anybody who reaches it, and what nobody may reach: looked at from here. */
import { randomBytes } from 'node:crypto'
import type { RouteTable } from '../core/rule.ts'
import { makeToken } from '../core/token.ts'
import { type Check, fail, type Finding, ok, skip, unreachable } from './check.ts'
import { canConnect } from './upstream.ts'

const TOKEN_API = '/api/auth/cli-tokens'
/** Paths of the admin port, with what only that port answers. */
const ADMIN: Readonly<Record<string, RegExp>> = {
  '/metrics': /^# HELP tollgate_/m,
  '/readyz': /"ready":(?:true|false),"parts":/,
  '/replicas': /"appliedSeq":/,
  '/livez': /"live":true/
}
const MOST_TRIES = 5

export function gateCheck(url: string, table: Promise<RouteTable | undefined>): Check {
  const ask = async (path: string, signal: AbortSignal, bearer?: string) => {
    const headers = bearer === undefined ? {} : { authorization: `Bearer ${bearer}` }
    const answer = await fetch(new URL(path, url), { headers, redirect: 'manual', signal })
    return { status: answer.status, text: (await answer.text()).slice(0, 65_536) }
  }
  return {
    name: 'gate',
    async run(signal) {
      const none = await ask(TOKEN_API, signal)
      const found: Finding[] = [judgeStatus('without a token', none.status)]
      found.push(await tryUnknown(path => ask(path, signal, makeToken(randomBytes)), await table))
      for (const [path, sign] of Object.entries(ADMIN)) {
        if (sign.test((await ask(path, signal)).text)) {
          found.push(fail(`${path} of the admin port answers here: ADMIN_PORT must not be exposed`))
        }
      }
      const bad = found.filter(({ level }) => level !== 'ok')
      return bad.length > 0
        ? bad
        : [ok(`${url}: 401 without and with an unknown token, no admin path`)]
    }
  }
}

function judgeStatus(who: string, status: number): Finding {
  if (status === 401) return ok(`401 ${who}`)
  if (status === 503) return unreachable(`503 ${who}: the gate cannot reach what it needs`)
  return fail(`${status} ${who}, and not 401: is this a Tollgate?`)
}

/** On some path that takes tokens: which ones there are is known from the route file alone. */
async function tryUnknown(
  ask: (path: string) => Promise<{ readonly status: number }>,
  table: RouteTable | undefined
): Promise<Finding> {
  const paths = (table?.rules ?? [])
    .filter(({ need, methods, params }) => {
      const takesTokens = need.kind === 'all' || need.kind === 'any' || need.kind === 'any-token'
      return takesTokens && methods.includes('GET') && params.length === 0
    })
    .map(({ path }) => path)
  for (const path of paths.slice(0, MOST_TRIES)) {
    const { status } = await ask(path)
    // 403: that gate has another route file.
    if (status !== 403) return judgeStatus('with a well-formed unknown token', status)
  }
  return skip('no path is known that takes tokens: give its ROUTES_FILE')
}

export function closedCheck(at: { readonly host: string; readonly port: number }): Check {
  return {
    name: 'closed',
    run: async signal =>
      (await canConnect(at, signal))
        ? [
            fail(
              `${at.host}:${at.port} accepts a connection from here: close it with a network policy`
            )
          ]
        : [ok(`${at.host}:${at.port} accepts no connection from here`)]
  }
}
