/**
 * Who the upstream is told the caller is, and the names that no client may send it.
 *
 * Gateways, CGI and WSGI servers fold names: case never counts, and `_` or `.` may become `-`. So a
 * name counts as reserved in every such spelling.
 * Source: README, what the upstream receives; RFC 9110 section 5.1; RFC 3875 section 4.1.18.
 */
import type { PermitFields } from './decision.ts'
import type { Principal } from './principal.ts'

/** The spelling under which header names are compared here. */
export function foldName(name: string): string {
  const lower = name.toLowerCase()
  return /[_.]/.test(lower) ? lower.replaceAll(/[_.]/g, '-') : lower
}

const PREFIXES = [
  'x-ci-',
  'x-cli-',
  'x-forwarded-',
  'x-client-cert',
  'client-cert',
  'x-ssl-client-',
  'proxy-'
] as const

const NAMES: ReadonlySet<string> = new Set([
  'forwarded',
  'x-real-ip',
  'x-client-ip',
  'true-client-ip',
  'x-original-url',
  'x-original-uri',
  'x-original-method',
  'x-original-host',
  'x-rewrite-url',
  'x-http-method',
  'x-http-method-override',
  'x-method-override',
  'proxy'
])

/** `folded`: as foldName gives it. Reserved names are removed from every request, on every route. */
export function isReservedName(folded: string): boolean {
  return NAMES.has(folded) || PREFIXES.some(prefix => folded.startsWith(prefix))
}

/** A word that begins as our tokens do, under whatever scheme; no part of a JWT does. */
const HAS_TOKEN = /(?:^|[\s,;:="'])ci_/

/**
 * Whether an Authorization header goes on. A `ci_` token reaches no upstream, on no route; what the
 * gate did not look at, on public routes, is the upstream's.
 */
export function passesAuthorization(principal: Principal, value: string): boolean {
  if (principal.kind === 'none') return !HAS_TOKEN.test(value)
  return principal.kind === 'jwt'
}

/** Name and value in turn. Values are of an alphabet that no header parser changes. */
export function identityHeaders({
  principal,
  signed,
  table
}: Pick<PermitFields, 'principal' | 'signed' | 'table'>): readonly string[] {
  switch (principal.kind) {
    case 'none':
      return ['x-ci-auth', 'none']
    case 'jwt': {
      const { userId, orgId } = principal.user
      return [
        'x-ci-auth',
        'jwt',
        'x-ci-user-id',
        userId,
        ...(orgId === null ? [] : ['x-ci-org-id', orgId]),
        'x-ci-scopes',
        '*',
        'x-ci-repositories',
        '*',
        'x-ci-signed',
        'false'
      ]
    }
    case 'cli-token': {
      const { id, userId, orgId, name, scopes, repositories } = principal.token
      return [
        'x-ci-auth',
        'cli-token',
        'x-ci-user-id',
        userId,
        ...(orgId === null ? [] : ['x-ci-org-id', orgId]),
        'x-ci-token-id',
        id,
        'x-ci-token-name',
        encodeURIComponent(name),
        'x-ci-scopes',
        table.effectiveScopes(scopes).join(','),
        'x-ci-repositories',
        repositories === null ? '*' : repositories.join(','),
        'x-ci-signed',
        String(signed)
      ]
    }
  }
}
