/**
 * A principal against a rule: the kind of credential, the organisation, the scopes.
 * Source: README, refusals; RFC 6750 section 3.1 (insufficient_scope).
 */
import { type Denial, deny } from './decision.ts'
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
    challenge: `error="insufficient_scope", scope="${need.scopes.join(' ')}"`
  })
}
