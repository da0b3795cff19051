/**
 * Two route files side by side: which rule of the one meets which rule of the other on some request,
 * with such a request. The classes of requests that the two can tell apart are walked, so the list is
 * complete, near misses of literals included.
 */
import { METHODS, parseOrThrow } from '../core/route-pattern.ts'
import type { Node } from '../core/route-trie.ts'
import type { Match, OwnRoute, RouteTable } from '../core/rule.ts'
import { readTarget, type Target } from '../core/target.ts'
import { segmentClasses } from './classes.ts'
import { ANYTHING } from './overlap.ts'
import { createRuleTrie } from './rule-trie.ts'

export interface Meeting {
  readonly method: string
  readonly target: Target
  readonly before: Match
  readonly after: Match
}

/** Each pair of answers once: by rule, or by the kind of the match where there is none. */
export function findMeetings(
  before: RouteTable,
  after: RouteTable,
  ownRoutes: readonly OwnRoute[]
): readonly Meeting[] {
  const rules = [...before.rules, ...after.rules]
  const reads = rules.map(rule => ({ rule, pattern: parseOrThrow(rule.key) }))
  const trie = createRuleTrie(reads, ownRoutes)
  const meetings = new Map<unknown, Map<unknown, Meeting>>()
  const seen = new Set<string>()
  visit([trie.root], [])
  return [...meetings.values()].flatMap(others => [...others.values()])

  function visit(nodes: readonly Node[], path: readonly string[]): void {
    const target = readTarget(`/${path.join('/')}`)
    if ('kind' in target) return
    const misses = [before, after].map(table => table.match('GET', target).kind === 'near-miss')
    const key = `${misses.join(' ')} ${trie.keyOf(nodes)}`
    if (seen.has(key)) return
    seen.add(key)
    for (const method of METHODS) note(method, target)
    if (nodes.length === 0 || misses.every(Boolean)) return
    for (const raw of branches(nodes)) {
      visit([...new Set(trie.follow(nodes, raw))], [...path, raw])
    }
  }

  function note(method: string, target: Target): void {
    const meeting = {
      method,
      target,
      before: before.match(method, target),
      after: after.match(method, target)
    }
    const others = meetings.get(sideOf(meeting.before)) ?? new Map<unknown, Meeting>()
    meetings.set(sideOf(meeting.before), others)
    const side = sideOf(meeting.after)
    if (!others.has(side)) others.set(side, meeting)
  }
}

/** What a match is compared by. */
export function sideOf(match: Match): unknown {
  return match.kind === 'rule' ? match.rule : match.kind
}

function* branches(nodes: readonly Node[]): Generator<string> {
  for (const raw of segmentClasses(nodes, ANYTHING)) {
    yield raw
    const isNamed = nodes.some(node => node.literals.has(raw) || node.enums.has(raw))
    if (isNamed) yield* nearMissesOf(raw)
  }
}

/** A class of its own: refused by a file that names the text, an ordinary one elsewhere. */
function nearMissesOf(text: string): readonly string[] {
  const flipped = text.replace(/[a-z]/i, letter =>
    letter === letter.toUpperCase() ? letter.toLowerCase() : letter.toUpperCase()
  )
  const escaped = text.replace(/[:@$!+,=]/, char => `%${char.charCodeAt(0).toString(16)}`)
  return [flipped, escaped].filter(other => other !== text)
}
