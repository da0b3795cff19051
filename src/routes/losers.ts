/**
 * The rules that a request just misses, each with the reason: what people meant is usually among
 * them.
 */
import { matchesSegment, parseOrThrow, rankOf, type Segment } from '../core/route-pattern.ts'
import type { Rule } from '../core/rule.ts'
import { decodeSegment } from '../core/target.ts'
import { editDistance } from './findings.ts'

export interface Loser {
  readonly rule: Rule
  /** `segment 4: "r2" is not "cancel"`. */
  readonly reason: string
}

/** A request as the matcher sees it: raw segments of a canonical target. */
export interface SoughtPath {
  readonly method: string
  readonly segments: readonly string[]
}

const MOST_LOSERS = 3
/** One method, one segment, or some of each: what differs more is another request. */
const MOST_DIFFERENCES = 2

/**
 * The nearest ones first, by how many segments and methods differ; without a winner then by how many
 * letters; in the order of the file where they are equally near.
 */
export function losersOf(
  sought: SoughtPath,
  winner: Rule | undefined,
  rules: readonly Rule[]
): readonly Loser[] {
  const limit = winner ? 1 : MOST_DIFFERENCES
  const found: (Loser & Miss)[] = []
  for (const rule of rules) {
    if (rule === winner) continue
    const miss = missOf(sought, rule, winner)
    if (miss && miss.differences <= limit && isOfInterest(miss, winner)) {
      found.push({ rule, ...miss })
    }
  }
  return found
    .toSorted((a, b) => a.differences - b.differences || (winner ? 0 : a.edits - b.edits))
    .slice(0, MOST_LOSERS)
    .map(({ rule, reason }) => ({ rule, reason }))
}

/** Beside a winner: not what is elsewhere in the tree, where the winner's own literals tell it apart. */
function isOfInterest({ at }: Miss, winner: Rule | undefined): boolean {
  if (!winner || at === undefined) return true
  return at !== 'length' && parseOrThrow(winner.key).segments[at]?.kind !== 'literal'
}

interface Miss {
  readonly differences: number
  /** The first segment that differs; undefined: the path is right. */
  readonly at: number | 'length' | undefined
  /** Letters to change in the segments that differ, where one text alone is right. */
  readonly edits: number
  readonly reason: string
}

function missOf(sought: SoughtPath, rule: Rule, winner: Rule | undefined): Miss | undefined {
  const { segments } = parseOrThrow(rule.key)
  const takes = takesMethod(rule, sought.method)
  const path = pathMiss(segments, sought.segments)
  if (!path) return undefined
  if (path.differences === 0 && takes) {
    return winner && { differences: 0, at: undefined, edits: 0, reason: lessSpecific(rule, winner) }
  }
  const reasons = [path.reason, takes ? '' : `${sought.method} is not ${methodsText(rule)}`]
  return {
    ...path,
    differences: path.differences + (takes ? 0 : 1),
    reason: reasons.filter(reason => reason !== '').join('; ')
  }
}

function takesMethod({ methods }: Rule, method: string): boolean {
  return methods.includes(method) || (method === 'HEAD' && methods.includes('GET'))
}

function methodsText({ key }: Rule): string {
  return key.slice(0, key.indexOf(' '))
}

/** Undefined: the paths have nothing in common, or differ in length by more than a segment. */
function pathMiss(pattern: readonly Segment[], sent: readonly string[]): Miss | undefined {
  const hasRest = pattern.at(-1)?.kind === 'rest'
  const fixed = hasRest ? pattern.slice(0, -1) : pattern
  const missing = hasRest ? Math.max(0, pattern.length - sent.length) : pattern.length - sent.length
  if (Math.abs(missing) > 1) return undefined
  const wrong = fixed.flatMap((segment, i) => {
    const raw = sent[i]
    return raw === undefined || matchesSegment(segment, raw) ? [] : [{ segment, raw, i }]
  })
  const [first] = wrong
  const edits = wrong.reduce((sum, { segment, raw }) => sum + editsTo(segment, raw), 0)
  const hasNothingInCommon = wrong.length === Math.min(fixed.length, sent.length)
  if (first && hasNothingInCommon && edits > NEARLY) return undefined
  const reasons = [
    ...(first ? [`segment ${first.i + 1}: ${mismatch(first.segment, first.raw)}`] : []),
    ...(missing === 0 ? [] : [lengthText(pattern, sent, hasRest)])
  ]
  const differences = wrong.length + Math.abs(missing)
  const at = missing === 0 ? first?.i : 'length'
  return { differences, at, edits, reason: reasons.join('; ') }
}

/** Few enough to be a slip of the finger. */
const NEARLY = 2

function editsTo(segment: Segment, raw: string): number {
  return segment.kind === 'literal' ? editDistance(segment.text, raw) : raw.length
}

function lengthText(
  pattern: readonly Segment[],
  sent: readonly string[],
  hasRest: boolean
): string {
  const wanted = `${pattern.length} segment${pattern.length === 1 ? '' : 's'}`
  return `it has ${wanted}${hasRest ? ' or more' : ''}, the request ${sent.length}`
}

function mismatch(segment: Segment, raw: string): string {
  const shown = JSON.stringify(decodeSegment(raw))
  if (segment.kind === 'enum') return `${shown} is none of ${segment.values.join(', ')}`
  if (segment.kind === 'typed') return `${shown} is no ${segment.type}`
  return `${shown} is not "${segment.kind === 'literal' ? segment.text : ''}"`
}

/** Both match: the first segment of another rank, or the method, made the difference. */
function lessSpecific(rule: Rule, winner: Rule): string {
  const mine = parseOrThrow(rule.key).segments
  const other = parseOrThrow(winner.key).segments
  const i = mine.findIndex((segment, at) => rankOf(segment) !== rankOf(other[at] ?? segment))
  const segment = mine[i]
  if (!segment) return `the other one names the method more closely`
  return `less specific in segment ${i + 1}: ${textOf(segment)}`
}

function textOf(segment: Segment): string {
  switch (segment.kind) {
    case 'literal':
      return segment.text
    case 'enum':
      return `{${segment.name}:${segment.values.join('|')}}`
    case 'typed':
      return `{${segment.name}:${segment.type}}`
    case 'any':
      return `{${segment.name}}`
    case 'rest':
      return `{${segment.name}...}`
  }
}
