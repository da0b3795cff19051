/**
 * Who may do what by one route file and by another: not their texts are compared but the answers.
 * Each line has a request that the two files really answer differently.
 */
import type { OwnRoute, Place, Rule, RouteTable } from '../core/rule.ts'
import { type AskedRequest, evaluate } from './evaluate.ts'
import { findMeetings, type Meeting } from './meetings.ts'
import { probesOf, ruleOf } from './probes.ts'

/** Refused before and let through now; the reverse; both at once, or to another upstream. */
export type DiffWord = 'WIDENED' | 'NARROWED' | 'MOVED'

/** One request that is answered differently, and how. */
export type DiffExample =
  | {
      readonly asked: AskedRequest
      readonly change: 'may now' | 'may no longer' | 'tunnel' | 'no tunnel'
    }
  | {
      readonly asked: AskedRequest
      readonly change: 'upstream'
      readonly from: string
      readonly to: string
    }

export interface DiffLine {
  readonly word: DiffWord
  /** Undefined: no rule. */
  readonly before: Rule | undefined
  readonly after: Rule | undefined
  /** For requests that no rule takes on either side: which ones they are. */
  readonly subject: string
  readonly examples: readonly DiffExample[]
}

/** A scope that new tokens get by themselves from now on, or no longer. */
export interface DefaultLine {
  readonly word: 'WIDENED' | 'NARROWED'
  readonly scope: string
}

export interface RoutesDiff {
  readonly lines: readonly DiffLine[]
  readonly defaults: readonly DefaultLine[]
  /** Rules of the newer file that no line is about. */
  readonly unchanged: number
}

export interface DiffCounts {
  readonly widened: number
  readonly narrowed: number
  readonly moved: number
  readonly unchanged: number
}

export function countDiff({ lines, defaults, unchanged }: RoutesDiff): DiffCounts {
  const count = (wanted: DiffWord) =>
    [...lines, ...defaults].filter(({ word }) => word === wanted).length
  return {
    widened: count('WIDENED'),
    narrowed: count('NARROWED'),
    moved: count('MOVED'),
    unchanged
  }
}

export async function diffRoutes(
  before: RouteTable,
  after: RouteTable,
  ownRoutes: readonly OwnRoute[]
): Promise<RoutesDiff> {
  const hasSameScopes = sameScopes(before, after)
  const lines: DiffLine[] = []
  for (const meeting of findMeetings(before, after, ownRoutes)) {
    if (hasSameScopes && isAlike(meeting, before, after)) continue
    const line = await compare(meeting, before, after)
    if (line) lines.push(line)
  }
  const touched = new Set(lines.map(line => line.after))
  return {
    lines: lines.toSorted(byPlace),
    defaults: defaultLines(before, after),
    unchanged: after.rules.filter(rule => !touched.has(rule)).length
  }
}

/** Every scope gives the same in both. */
function sameScopes(before: RouteTable, after: RouteTable): boolean {
  const names = new Set([...before.scopes.keys(), ...after.scopes.keys()])
  return [...names].every(
    name => textOfSet(before.effectiveScopes([name])) === textOfSet(after.effectiveScopes([name]))
  )
}

function textOfSet(names: readonly string[]): string {
  return names.toSorted().join(' ')
}

/** Nothing that decides differs, so nothing has to be tried. */
function isAlike(meeting: Meeting, before: RouteTable, after: RouteTable): boolean {
  const [first, second] = [ruleOf(meeting.before), ruleOf(meeting.after)]
  if (first && second) return conditionOf(first) === conditionOf(second)
  if (first ?? second) return false
  const isUnruled = meeting.before.kind === 'none' || meeting.after.kind === 'none'
  return meeting.before.kind === meeting.after.kind && (!isUnruled || before.mode === after.mode)
}

function conditionOf({ need, bindings, signature, mode, upstream, upgrade, path }: Rule): string {
  const scopes = 'scopes' in need ? need.scopes.toSorted() : []
  const isBoundToPath = bindings?.some(({ kind }) => kind === 'path') ?? false
  const where = isBoundToPath ? path : ''
  return JSON.stringify([need.kind, scopes, bindings, where, signature, mode, upstream, upgrade])
}

/** The first of each kind. */
type Examples = Map<DiffExample['change'], DiffExample>

async function compare(
  meeting: Meeting,
  before: RouteTable,
  after: RouteTable
): Promise<DiffLine | undefined> {
  const examples: Examples = new Map()
  for (const asked of probesOf(meeting, before, after)) {
    const example = await tryOn(asked, meeting, before, after)
    if (example && !examples.has(example.change)) examples.set(example.change, example)
  }
  const word = wordFor(examples)
  if (!word) return undefined
  return {
    word,
    before: ruleOf(meeting.before),
    after: ruleOf(meeting.after),
    subject: subjectOf(meeting),
    examples: [...examples.values()]
  }
}

async function tryOn(
  asked: AskedRequest,
  meeting: Meeting,
  before: RouteTable,
  after: RouteTable
): Promise<DiffExample | undefined> {
  const first = await evaluate(before, asked)
  const second = await evaluate(after, asked)
  const wasAllowed = first.decision.kind !== 'denial'
  const isAllowed = second.decision.kind !== 'denial'
  if (wasAllowed !== isAllowed) return { asked, change: isAllowed ? 'may now' : 'may no longer' }
  if (!isAllowed) return undefined
  const [from = '', to = ''] = [first.upstream, second.upstream]
  if (from !== to) return { asked, change: 'upstream', from, to }
  const hadTunnel = ruleOf(meeting.before)?.upgrade !== undefined
  const hasTunnel = ruleOf(meeting.after)?.upgrade !== undefined
  if (hadTunnel === hasTunnel) return undefined
  return { asked, change: hasTunnel ? 'tunnel' : 'no tunnel' }
}

function wordFor(examples: Examples): DiffWord | undefined {
  const isWider = examples.has('may now') || examples.has('tunnel')
  const isNarrower = examples.has('may no longer') || examples.has('no tunnel')
  if (examples.has('upstream') || (isWider && isNarrower)) return 'MOVED'
  return isWider ? 'WIDENED' : isNarrower ? 'NARROWED' : undefined
}

function subjectOf({ method, before, after }: Meeting): string {
  if (method === 'OPTIONS') return 'OPTIONS requests that no rule names'
  const isNear = before.kind === 'near-miss' || after.kind === 'near-miss'
  return isNear ? 'spellings that are nearly a literal' : 'requests that no rule covers'
}

function defaultLines(before: RouteTable, after: RouteTable): readonly DefaultLine[] {
  const [old, fresh] = [defaultsOf(before), defaultsOf(after)]
  return [
    ...fresh
      .filter(scope => !old.includes(scope))
      .map(scope => ({ word: 'WIDENED', scope }) as const),
    ...old
      .filter(scope => !fresh.includes(scope))
      .map(scope => ({ word: 'NARROWED', scope }) as const)
  ]
}

function defaultsOf({ scopes }: RouteTable): readonly string[] {
  return [...scopes.values()].filter(({ isDefault }) => isDefault).map(({ name }) => name)
}

const WORDS: readonly DiffWord[] = ['WIDENED', 'NARROWED', 'MOVED']

/** By word, then as the newer file has them, then what is gone from the older one. */
function byPlace(a: DiffLine, b: DiffLine): number {
  const place = ({ before, after }: DiffLine): Place | undefined => (after ?? before)?.place
  return (
    WORDS.indexOf(a.word) - WORDS.indexOf(b.word) ||
    Number(a.after === undefined) - Number(b.after === undefined) ||
    (place(a)?.line ?? 0) - (place(b)?.line ?? 0)
  )
}
