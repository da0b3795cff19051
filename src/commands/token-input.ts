/**
 * What operators say about tokens, checked: the rules are those of the token API, the wording is the
 * command line's. Each reader throws CommandExit 2 with a sentence.
 */
import type { BulkFilter, NewToken } from '../core/ports.ts'
import type { ScopeEntry } from '../core/rule.ts'
import { suggestion } from '../routes/findings.ts'
import { CommandExit } from './output.ts'

/** The options of `tokens create`, as commander gives them. */
export interface CreateOptions {
  readonly user: string
  readonly org?: string
  readonly name: string
  readonly scopes?: string
  readonly repositories?: string
  readonly all?: true
  readonly expiresInDays?: string
  readonly requireSignature?: true
}

/** Of `tokens revoke`. */
export interface RevokeOptions {
  readonly allOfUser?: string
  readonly allOfOrg?: string
  readonly createdBefore?: string
}

export type ScopeMap = ReadonlyMap<string, ScopeEntry>

/** Ids go upstream in header lines and comma-separated lists. */
const OWNER = /^(?! )[\x20-\x2b\x2d-\x7e]{1,128}(?<! )$/
const NAME = /^[^\p{C}\p{Zl}\p{Zp}]{1,100}$/u
const REPOSITORY = /^[A-Za-z0-9._:-]{1,128}$/
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i
const MOST_REPOSITORIES = 100
const MOST_DAYS = 3650
const INSTANT = /^\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?(?:Z|[+-]\d\d:\d\d))?$/

/** All of a new token but its text. `known`: the scopes that the route file declares. */
export function readNewToken(
  options: CreateOptions,
  known: ScopeMap
): Omit<NewToken, 'digest' | 'preview'> {
  const isNamed = NAME.test(options.name) && options.name.trim() !== ''
  if (!isNamed) throw new CommandExit(2, '--name takes 1 to 100 printable characters.')
  return {
    userId: readOwner('--user', options.user),
    orgId: options.org === undefined ? null : readOwner('--org', options.org),
    name: options.name,
    scopes: readScopes(options.scopes, known),
    repositories: readRepositories(options),
    expires: readExpiry(options.expiresInDays),
    requireSignature: options.requireSignature ?? false
  }
}

/** A user's or an organisation's id; `option` is named when it is refused. */
export function readOwner(option: string, id: string): string {
  if (OWNER.test(id)) return id
  throw new CommandExit(2, `${option} takes 1 to 128 printable ASCII characters without commas.`)
}

function readScopes(given: string | undefined, known: ScopeMap): readonly string[] {
  if (given === undefined) {
    const defaults = [...known.values()].filter(scope => scope.isDefault).map(({ name }) => name)
    if (defaults.length > 0) return defaults
    throw new CommandExit(2, '--scopes must be given: the route file marks none as default.')
  }
  const scopes = given.split(',')
  const unknown = scopes.find(scope => !known.has(scope))
  if (unknown !== undefined) {
    const meant = suggestion(unknown, known.keys())
    throw new CommandExit(2, `--scopes: the route file does not declare "${unknown}".${meant}`)
  }
  if (new Set(scopes).size < scopes.length) throw new CommandExit(2, '--scopes names one twice.')
  return scopes
}

function readRepositories({ repositories, all }: CreateOptions): readonly string[] | null {
  if (all && repositories !== undefined) {
    throw new CommandExit(2, '--all and --repositories exclude each other.')
  }
  if (repositories === undefined) return null
  const ids = [...new Set(repositories.split(','))]
  if (ids.length > MOST_REPOSITORIES || !ids.every(id => REPOSITORY.test(id))) {
    throw new CommandExit(
      2,
      `--repositories takes 1 to ${MOST_REPOSITORIES} ids of A-Z a-z 0-9 . _ : - with commas between.`
    )
  }
  return ids
}

function readExpiry(days: string | undefined): NewToken['expires'] {
  if (days === undefined) return null
  const inDays = /^\d{1,4}$/.test(days) ? Number(days) : 0
  if (inDays >= 1 && inDays <= MOST_DAYS) return { inDays }
  throw new CommandExit(2, `--expires-in-days takes a whole number from 1 to ${MOST_DAYS}.`)
}

/** One token by its id, or many by what they have in common: exactly one of the two. */
export function readRevocation(
  id: string | undefined,
  options: RevokeOptions
): string | BulkFilter {
  const { allOfUser, allOfOrg, createdBefore } = options
  const filter: BulkFilter = {
    ...(allOfUser === undefined ? {} : { userId: readOwner('--all-of-user', allOfUser) }),
    ...(allOfOrg === undefined ? {} : { orgId: readOwner('--all-of-org', allOfOrg) }),
    ...(createdBefore === undefined ? {} : { createdBeforeMs: readInstant(createdBefore) })
  }
  const isBulk = Object.keys(filter).length > 0
  if ((id !== undefined) === isBulk) {
    throw new CommandExit(
      2,
      'Name one token by its id, or many by --all-of-user, --all-of-org or --created-before.'
    )
  }
  if (id === undefined) return filter
  if (UUID.test(id)) return id
  throw new CommandExit(2, 'That is no token id: `tollgate tokens list` shows them.')
}

function readInstant(given: string): number {
  const atMs = INSTANT.test(given) ? Date.parse(given) : Number.NaN
  // Date.parse takes 30 February for 2 March.
  const day = new Date(`${given.slice(0, 10)}T00:00:00Z`)
  const isDay = !Number.isNaN(day.valueOf()) && day.toISOString().startsWith(given.slice(0, 10))
  if (isDay && !Number.isNaN(atMs)) return atMs
  throw new CommandExit(
    2,
    '--created-before takes a time as in 2030-01-31 or 2030-01-31T08:00:00Z.'
  )
}
