/**
 * Credentials and requests that tell two rules apart, if anything does: no credential, a user, and
 * tokens with each least set of scopes that one of the two takes, limited or not, signed or not; with
 * and without what the rules look for in query and body.
 */
import type { Binding, Match, Rule, RouteTable } from '../core/rule.ts'
import { decodeSegment } from '../core/target.ts'
import { withDistinctValues } from './distinct.ts'
import type { AskedRequest } from './evaluate.ts'
import type { Meeting } from './meetings.ts'
import type { Caller } from './tests.ts'

/** What requests name in query and body. */
const NAMED = 'r1'
/** What no request names. */
const OTHER = 'other'
/** A least set of scopes a way; a rule of many scopes, each implied by many, has too many ways. */
const MOST_SETS = 64

/** The simplest first. */
export function* probesOf(
  met: Meeting,
  before: RouteTable,
  after: RouteTable
): Generator<AskedRequest> {
  const meeting = withDistinctValues(met, before, after)
  const { method, target } = meeting
  const sides = [
    { rule: ruleOf(meeting.before), table: before },
    { rule: ruleOf(meeting.after), table: after }
  ]
  const bindings = sides.flatMap(({ rule }) => rule?.bindings ?? [])
  const requests = requestsWith(bindings, target.raw)
  for (const caller of callersFor(meeting, sides)) {
    for (const request of requests) yield { method, ...request, caller }
  }
}

export function ruleOf(match: Match): Rule | undefined {
  return match.kind === 'rule' ? match.rule : undefined
}

interface Side {
  readonly rule: Rule | undefined
  readonly table: RouteTable
}

function* callersFor(meeting: Meeting, sides: readonly Side[]): Generator<Caller> {
  yield { kind: 'none' }
  const scopeSets = distinct([[], ...sides.flatMap(leastScopes)])
  const limits = limitsFor(meeting, sides)
  const signs = sides.some(({ rule }) => rule?.signature === 'required') ? [true, false] : [false]
  for (const repositories of limits) {
    for (const scopes of scopeSets) {
      for (const isSigned of signs) yield { kind: 'cli-token', scopes, repositories, isSigned }
    }
    // Users are not limited: after the tokens for all, which are what a rule is usually about.
    if (repositories === null) yield { kind: 'jwt' }
  }
}

/** Every least set of granted scopes that the rule takes. */
function leastScopes({ rule, table }: Side): readonly (readonly string[])[] {
  const need = rule?.need
  if (need?.kind !== 'all' && need?.kind !== 'any') return []
  const givers = need.scopes.map(scope => [scope, ...giversOf(scope, table)])
  if (need.kind === 'any') return givers.flat().map(scope => [scope])
  let sets: readonly (readonly string[])[] = [[]]
  for (const names of givers) {
    const wider = sets.flatMap(set => names.map(name => [...new Set([...set, name])].toSorted()))
    sets = distinct(wider).slice(0, MOST_SETS)
  }
  return sets
}

function giversOf(scope: string, table: RouteTable): readonly string[] {
  return [...table.scopes.keys()].filter(
    name => name !== scope && table.effectiveScopes([name]).includes(scope)
  )
}

/** Not limited; to all that is named; to all but one; to nothing that is named. */
function limitsFor(
  { before, after }: Meeting,
  sides: readonly Side[]
): readonly (readonly string[] | null)[] {
  const bindings = sides.flatMap(({ rule }) => rule?.bindings ?? [])
  const isBound = bindings.some(({ kind }) => kind !== 'none')
  const wereBound = sides.map(({ rule }) => rule && (rule.bindings ? 'bound' : 'unbound'))
  if (!isBound && new Set(wereBound).size === 1) return [null]
  const values = [before, after].flatMap(valuesIn)
  const all = [...new Set([...values, NAMED])]
  return [null, all, ...all.map(value => all.filter(other => other !== value)), [OTHER]]
}

/** What a rule's path names. */
function valuesIn(match: Match): readonly string[] {
  if (match.kind !== 'rule') return []
  return (match.rule.bindings ?? []).flatMap(binding =>
    binding.kind === 'path' ? [decodeSegment(match.params[binding.index] ?? '')] : []
  )
}

type Named = Pick<AskedRequest, 'target' | 'body'>

/** Each combination of named and not named, and what cannot be read in one way. */
function requestsWith(bindings: readonly Binding[], raw: string): readonly Named[] {
  const names = namesOf(bindings, 'query')
  const queries = [
    ...subsets(names).map(some => some.map(name => `${name}=${NAMED}`)),
    ...names.map(name => [`${name}=${NAMED}`, `${name}=${NAMED}`])
  ]
  const members = [
    ...namesOf(bindings, 'body').map(name => [name, NAMED] as const),
    ...namesOf(bindings, 'body-list').map(name => [name, [NAMED]] as const)
  ]
  const values = [
    ...subsets(members).map(some => (some.length === 0 ? undefined : Object.fromEntries(some))),
    ...(members.length === 0 ? [] : [[]])
  ]
  const bodies = values.map(value =>
    value === undefined ? undefined : Buffer.from(JSON.stringify(value))
  )
  const targets = queries.map(pairs => (pairs.length === 0 ? raw : `${raw}?${pairs.join('&')}`))
  return targets.flatMap(target => bodies.map(body => ({ target, body })))
}

function namesOf(bindings: readonly Binding[], kind: Binding['kind']): readonly string[] {
  const names = bindings.flatMap(binding =>
    binding.kind === kind && 'name' in binding ? [binding.name] : []
  )
  return [...new Set(names)]
}

/** Of few; of many only none, all, and all but one. */
function subsets<T>(items: readonly T[]): readonly (readonly T[])[] {
  if (items.length > 4) return [[], items, ...items.map((_, i) => items.toSpliced(i, 1))]
  return items.reduce<readonly (readonly T[])[]>(
    (sets, item) => [...sets, ...sets.map(set => [...set, item])],
    [[]]
  )
}

function distinct(sets: readonly (readonly string[])[]): readonly (readonly string[])[] {
  return [...new Map(sets.map(set => [set.join(' '), set])).values()]
}
