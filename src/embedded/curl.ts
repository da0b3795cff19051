/** Commands for the first minute, ready to be pasted: each is whole, and says what it shows. */
import type { RouteTable } from '../core/rule.ts'
import type { DemoToken } from './demo.ts'

interface Trial {
  /** Where the gate is reached, without a slash at the end. */
  readonly gateUrl: string
  /** The demo user's. */
  readonly jwt: string
  readonly token: DemoToken | undefined
  /** Only what its rules permit is offered. */
  readonly table: RouteTable
}

/** A line that says what happens, then its command, and so on. */
export function curlLines({ gateUrl, jwt, token, table }: Trial): readonly string[] {
  const tokens = `${gateUrl}/api/auth/cli-tokens`
  const dashboard = `${gateUrl}/api/scans/dashboard`
  const json = `-H 'Content-Type: application/json' -d '{"name":"My first token"}'`
  const lines: string[] = []
  const offer = (what: string, command: string) => lines.push(`# ${what}`, `curl -i ${command}`)
  if (token && permits(table, 'GET /api/scans/dashboard', token)) {
    offer('Read with the demo token: 200', `${bearer(token.token)} ${dashboard}`)
    offer('The same without a token: 401', dashboard)
  }
  if (token && permits(table, 'POST /api/scans/trigger/{repositoryConfigId}', token)) {
    const trigger = `${gateUrl}/api/scans/trigger/shop-production`
    offer('See what the upstream receives: 200', `-X POST ${bearer(token.token)} ${trigger}`)
  }
  offer('Make a token, as the demo user: 201', `-X POST ${bearer(jwt)} ${json} ${tokens}`)
  if (token) {
    const one = `${tokens}/${token.id}`
    offer(
      'Revoke the demo token: 200, and 401 for it from then on',
      `-X DELETE ${bearer(jwt)} ${one}`
    )
  }
  return lines
}

function bearer(credential: string): string {
  return `-H 'Authorization: Bearer ${credential}'`
}

/** Whether the route file has this rule, and the token what it asks for. */
function permits(table: RouteTable, key: string, token: DemoToken): boolean {
  const need = table.rules.find(rule => rule.key === key)?.need
  const held = table.effectiveScopes(token.scopes)
  return need?.kind === 'all' && need.scopes.every(scope => held.includes(scope))
}
