/**
 * A principal against a rule: the kind of credential, the organisation, the scopes.
 * Source: README, refusals; RFC 6750 section 3.1 (insufficient_scope); RFC 8288 (Link).
 */
import { type Denial, deny } from './decision.ts'
import { PAGE_PATH } from './own-routes.ts'
import type { TokenRow } from './principal.ts'
import type { Need, RouteTable } from './rule.ts'

/** Before anything is looked up: a `jwt` rule takes no token, whatever its scopes. */
export function denyCredentialKind(need: Need, kind: 'cli-token' | 'jwt'): Denial | undefined {
  return need.kind === 'jwt' && kind === 'cli-token' ? deny('JWT_REQUIRED') : undefined
}

/** A token that is bound to an organisation allows only that one, byte for byte. */
export function denyOrganization(
  { orgId }: TokenRow,
  requestedOrgId: string | undefined
): Denial | undefined {
  if (orgId === null || requestedOrgId === undefined || requestedOrgId === orgId) return undefined
  return deny('ORGANIZATION_DENIED')
}

/** Scopes that are implied count; the body names those that were granted. */
export function denyScopes(need: Need, row: TokenRow, table: RouteTable): Denial | undefined {
  if (need.kind !== 'all' && need.kind !== 'any') return undefined
  const held = table.effectiveScopes(row.scopes)
  const isMet =
    need.kind === 'all'
      ? need.scopes.every(scope => held.includes(scope))
      : need.scopes.some(scope => held.includes(scope))
  if (isMet) return undefined
  const which = need.kind === 'all' ? 'the following scope(s)' : 'one of the following scope(s)'
  return deny('INSUFFICIENT_SCOPE', {
    body: {
      error: `This token requires ${which}: ${need.scopes.join(', ')}`,
      requiredScopes: need.scopes,
      tokenScopes: row.scopes
    },
    challenge: `error="insufficient_scope", scope="${need.scopes.join(' ')}"`,
    link: table.hasPage ? helpLink(need, row, table, held) : undefined
  })
}

/** Headers have a limit on the way to the client, and 40 of the longest names are within this one. */
const HELP_LIMIT_CHARS = 3000

/**
 * Leads to the page with the scopes filled in that a token for this request would have: those that are
 * held, and those that are missing; of `any`, the first. Undefined where that would be too long.
 */
function helpLink(
  need: Need & { kind: 'all' | 'any' },
  row: TokenRow,
  table: RouteTable,
  held: readonly string[]
): string | undefined {
  // A scope that has left the file cannot be given to a new token, and could be any text.
  const kept = row.scopes.filter(scope => table.scopes.has(scope))
  const wanted = need.kind === 'all' ? need.scopes : need.scopes.slice(0, 1)
  const missing = wanted.filter(scope => !held.includes(scope))
  const link = `<${PAGE_PATH}?scopes=${[...kept, ...missing].join(',')}>; rel="help"`
  return link.length <= HELP_LIMIT_CHARS ? link : undefined
}
