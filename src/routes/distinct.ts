/**
 * The same meeting on a request whose repositories differ from each other: `/x/x` cannot tell a rule
 * that is bound to its first parameter from one that is bound to its second.
 */
import { parseOrThrow, type Segment } from '../core/route-pattern.ts'
import type { Match, RouteTable } from '../core/rule.ts'
import { readTarget, type Target } from '../core/target.ts'
import { type Meeting, sideOf } from './meetings.ts'

export function withDistinctValues(
  meeting: Meeting,
  before: RouteTable,
  after: RouteTable
): Meeting {
  const bound = [...boundSegments(meeting.before), ...boundSegments(meeting.after)]
  let found = meeting
  const seen = new Set<string>()
  for (const [at, segment] of new Map(bound)) {
    const raw = found.target.segments[at] ?? ''
    if (seen.has(raw)) found = vary(found, at, segment, seen, [before, after]) ?? found
    seen.add(found.target.segments[at] ?? '')
  }
  return found
}

/** Where in the path the rule looks for repositories. */
function boundSegments(match: Match): readonly (readonly [number, Segment])[] {
  if (match.kind !== 'rule') return []
  const { segments } = parseOrThrow(match.rule.key)
  const params = [...segments.entries()].filter(([, { kind }]) => kind !== 'literal')
  return (match.rule.bindings ?? []).flatMap(binding => {
    const param = binding.kind === 'path' ? params[binding.index] : undefined
    return param ? [param] : []
  })
}

function vary(
  { method, target, ...sides }: Meeting,
  at: number,
  segment: Segment,
  taken: ReadonlySet<string>,
  [before, after]: readonly [RouteTable, RouteTable]
): Meeting | undefined {
  for (const raw of variantsOf(target.segments[at] ?? '', segment)) {
    const other = targetWith(target, at, raw)
    if (taken.has(raw) || !other) continue
    const meeting = {
      method,
      target: other,
      before: before.match(method, other),
      after: after.match(method, other)
    }
    const isSame =
      sideOf(meeting.before) === sideOf(sides.before) &&
      sideOf(meeting.after) === sideOf(sides.after)
    if (isSame) return meeting
  }
  return undefined
}

function variantsOf(raw: string, segment: Segment): readonly string[] {
  const values = segment.kind === 'enum' ? segment.values : []
  const digits = Array.from({ length: 9 }, (_, i) => String(i + 1))
  const changed = digits.flatMap(digit => [
    `${raw}${digit}`,
    `${digit}${raw}`,
    raw.slice(0, -1) + digit
  ])
  return [...values, ...changed]
}

function targetWith({ segments }: Target, at: number, raw: string): Target | undefined {
  const target = readTarget(`/${segments.with(at, raw).join('/')}`)
  return 'kind' in target ? undefined : target
}
