/** Who the upstream is told the caller is. Source: README, what the upstream receives. */
import { Fault, type PermitFields } from './decision.ts'
import type { Principal, TokenRow, User } from './principal.ts'
import type { RouteTable } from './rule.ts'

/**
 * A word that begins as our tokens do, under whatever scheme and in any case. A word is a run of the
 * characters of credentials (token68), so no part of a JWT is one.
 */
const HAS_TOKEN = /(?:^|[^\w.~+/-])ci_/i

/**
 * Whether an Authorization header goes on. A `ci_` token reaches no upstream, on no route; what the
 * gate did not look at, on public routes, is the upstream's.
 */
export function passesAuthorization(principal: Principal, value: string): boolean {
  if (principal.kind === 'none') return !HAS_TOKEN.test(value)
  return principal.kind === 'jwt'
}

/**
 * Name and value in turn; values are printable ASCII. Throws Fault INTERNAL_ERROR where an id could
 * not be told as it is: in another form it would be somebody else's.
 */
export function identityHeaders({
  principal,
  signed,
  table
}: Pick<PermitFields, 'principal' | 'signed' | 'table'>): readonly string[] {
  switch (principal.kind) {
    case 'none':
      return ['x-ci-auth', 'none']
    case 'jwt':
      return userHeaders(principal.user)
    case 'cli-token':
      return knownTokenHeaders(principal.token, signed, table)
  }
}

/** What is said of a row under a table does not change, and a cached row is asked for all the time. */
const told = new WeakMap<TokenRow, { readonly table: RouteTable; readonly texts: string[][] }>()

function knownTokenHeaders(token: TokenRow, signed: boolean, table: RouteTable): readonly string[] {
  let known = told.get(token)
  if (known?.table !== table) {
    known = { table, texts: [] }
    told.set(token, known)
  }
  return (known.texts[Number(signed)] ??= tokenHeaders(token, signed, table))
}

function userHeaders({ userId, orgId }: User): readonly string[] {
  const headers = ['x-ci-auth', 'jwt']
  addOwner(headers, userId, orgId)
  headers.push('x-ci-scopes', '*', 'x-ci-repositories', '*', 'x-ci-signed', 'false')
  return headers
}

function tokenHeaders(token: TokenRow, signed: boolean, table: RouteTable): string[] {
  const { id, userId, orgId, name, scopes, repositories } = token
  const headers = ['x-ci-auth', 'cli-token']
  addOwner(headers, userId, orgId)
  headers.push('x-ci-token-id', id, 'x-ci-token-name', encodeURIComponent(name))
  headers.push('x-ci-scopes', table.effectiveScopes(scopes).join(','))
  const ids = repositories?.map(repository => telling(repository, REPOSITORY))
  headers.push('x-ci-repositories', ids?.join(',') ?? '*', 'x-ci-signed', String(signed))
  return headers
}

function addOwner(headers: string[], userId: string, orgId: string | null): void {
  headers.push('x-ci-user-id', telling(userId, OWNER))
  if (orgId !== null) headers.push('x-ci-org-id', telling(orgId, OWNER))
}

/** Printable, without blanks at its ends, which parsers cut off, and the comma of lists. */
const OWNER = /^(?! )[\x20-\x2b\x2d-\x7e]+(?<! )$/
/** Not `*`, which would mean all. */
const REPOSITORY = /^[\w.:-]+$/

/** Ids are checked where they come in; this is for a row that came into the database otherwise. */
function telling(id: string, alphabet: RegExp): string {
  if (alphabet.test(id)) return id
  throw new Fault('INTERNAL_ERROR', { cause: new TypeError('an id that no header can carry') })
}
