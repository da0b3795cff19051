/**
 * The fields of a token, each with its rule. A reader gives the value, or notes what is wrong with
 * its field and gives a stand-in that is never used: whoever has a note refuses.
 *
 * A name is kept as it was sent, blanks at its ends included; one that shows nothing is refused.
 * Source: the README's chapter on the token API; expiresAt is RFC 3339, section 5.6.
 */
import { isRefusedByTime } from '../core/instant.ts'
import type { Clock, NewToken } from '../core/ports.ts'
import type { RouteTable } from '../core/rule.ts'

/** The members of a JSON object, as they were sent. */
export type Fields = ReadonlyMap<string, unknown>

/** `message` reads on from the field's name: "must be a boolean". Repeats nothing that was sent. */
export type Note = (field: string, message: string) => void

/** Only these are named back: too short for a token, too plain for a JWT or for markup. */
const PLAIN_NAME = /^\w{1,32}$/
const MAX_UNKNOWN_NAMED = 20

export function noteUnknown(fields: Fields, known: readonly string[], note: Note): void {
  const unknown = [...fields.keys()].filter(name => !known.includes(name))
  const plain = unknown.filter(name => PLAIN_NAME.test(name)).slice(0, MAX_UNKNOWN_NAMED)
  for (const name of plain) note(name, 'is not a known field')
  if (plain.length < unknown.length) note('body', 'has unknown fields')
}

const NAME = /^[^\p{C}\p{Zl}\p{Zp}]{1,100}$/u
const VISIBLE = /\P{White_Space}/u

/** Counted in code points. No control, format, private or unassigned character, no lone surrogate. */
export function readName(fields: Fields, note: Note): string {
  const name = fields.get('name')
  if (typeof name === 'string' && NAME.test(name) && VISIBLE.test(name)) return name
  note('name', 'must be a string of 1 to 100 printable characters, not all of them blank')
  return ''
}

/** Omitted: the scopes that the route file marks as default. */
export function readScopes(fields: Fields, table: RouteTable, note: Note): readonly string[] {
  const given = fields.get('scopes')
  if (!fields.has('scopes')) {
    const defaults = [...table.scopes.values()].filter(scope => scope.isDefault)
    if (defaults.length === 0) note('scopes', 'must be given: no scope is marked as default')
    return defaults.map(scope => scope.name)
  }
  if (!isStrings(given) || given.length === 0) {
    note('scopes', 'must be an array of 1 or more scopes')
    return []
  }
  const unknown = given.findIndex(scope => !table.scopes.has(scope))
  if (unknown >= 0) note('scopes', `must be scopes that exist here; item ${unknown + 1} does not`)
  if (new Set(given).size < given.length) note('scopes', 'must not name a scope twice')
  return given
}

const REPOSITORY_ID = /^[A-Za-z0-9._:-]{1,128}$/
const MAX_REPOSITORIES = 100

/** Null: all. An id that is named twice is kept once. */
export function readRepositories(fields: Fields, note: Note): readonly string[] | null {
  const all = fields.get('allRepositories')
  const ids = fields.get('repositories')
  const isRestricted = fields.has('repositories')
  if (fields.has('allRepositories') && typeof all !== 'boolean') {
    note('allRepositories', 'must be a boolean')
  }
  if (all === false && !isRestricted) {
    note('repositories', 'must be given where allRepositories is false')
  }
  if (!isRestricted) return null
  if (!isStrings(ids) || ids.length === 0 || ids.length > MAX_REPOSITORIES) {
    note('repositories', `must be an array of 1 to ${MAX_REPOSITORIES} repository config ids`)
    return []
  }
  const bad = ids.findIndex(id => !REPOSITORY_ID.test(id))
  if (bad >= 0) {
    note(
      'repositories',
      `must be ids of 1 to 128 characters of A-Za-z0-9._:-; item ${bad + 1} is not`
    )
  }
  if (all === true) note('repositories', 'must not be given where allRepositories is true')
  return [...new Set(ids)]
}

const MAX_DAYS = 3650

/** Throws Fault CLOCK_UNSYNCHRONISED where it cannot be told whether `expiresAt` is in the future. */
export function readExpiry(fields: Fields, clock: Clock, note: Note): NewToken['expires'] {
  const days = fields.get('expiresInDays')
  const at = fields.get('expiresAt')
  const hasDays = fields.has('expiresInDays')
  const hasAt = fields.has('expiresAt')
  const inDays = isIntegerWithin(days, 1, MAX_DAYS) ? days : undefined
  if (hasDays && inDays === undefined) {
    note('expiresInDays', `must be an integer from 1 to ${MAX_DAYS}`)
  }
  const atMs = typeof at === 'string' ? instantMs(at) : undefined
  if (hasAt && atMs === undefined) {
    note('expiresAt', 'must be a date and time with its zone, as in 2030-01-31T00:00:00Z')
  }
  if (hasDays && hasAt) note('expiresAt', 'must not be given together with expiresInDays')
  if (atMs !== undefined && isRefusedByTime(clock, nowMs => atMs <= nowMs)) {
    note('expiresAt', 'must be in the future')
  }
  if (inDays !== undefined) return { inDays }
  return atMs === undefined ? null : { atMs }
}

export function readRequireSignature(fields: Fields, note: Note): boolean {
  const isRequired = fields.has('requireSignature') ? fields.get('requireSignature') : false
  if (typeof isRequired === 'boolean') return isRequired
  note('requireSignature', 'must be a boolean')
  return false
}

const MAX_GRACE_SECONDS = 2_592_000

/** How long a rotated token goes on. Omitted: not at all. */
export function readGraceSeconds(fields: Fields, note: Note): number {
  const grace = fields.has('graceSeconds') ? fields.get('graceSeconds') : 0
  if (isIntegerWithin(grace, 0, MAX_GRACE_SECONDS)) return grace
  note('graceSeconds', `must be an integer from 0 to ${MAX_GRACE_SECONDS}`)
  return 0
}

function isStrings(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every(item => typeof item === 'string')
}

function isIntegerWithin(value: unknown, least: number, most: number): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most
}

const INSTANT =
  /^(\d{4}-(?:0[1-9]|1[0-2]))-(\d\d)T(?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d{1,9})?)?(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)$/

/** Undefined: no such instant. Date.parse alone would take 30 February for 2 March. */
function instantMs(text: string): number | undefined {
  const [, yearMonth = '', day = ''] = INSTANT.exec(text) ?? []
  const dayThere = new Date(`${yearMonth}-${day}T00:00:00Z`).getUTCDate()
  return dayThere === Number(day) ? Date.parse(text) : undefined
}
