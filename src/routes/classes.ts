/**
 * The requests that a set of rules can tell apart are finitely many classes: at each place the
 * literals and values that some rule names, and everything else by the types it belongs to. One
 * segment of each class stands for all of it, so questions about all requests are answered exactly.
 */
import { isOfType, matchesSegment, type Segment, type SegmentType } from '../core/route-pattern.ts'
import type { Node } from '../core/route-trie.ts'

/** One family for each combination of types; the i-th member of each. Together they cover all. */
const FAMILIES: readonly ((i: number) => string)[] = [
  i => `x${i || ''}`,
  i => String(i),
  i => `00000000-0000-4000-8000-${String(i).padStart(12, '0')}`,
  i => String(i).padStart(24, '0'),
  i => `~${i || ''}`,
  i => `A0000000-0000-4000-8000-${String(i).padStart(12, '0')}`,
  i => `A${String(i).padStart(23, '0')}`
]

/**
 * Segments that `within` matches, one or more of each class that these nodes can tell apart: first
 * those that no literal and no value names.
 */
export function* segmentClasses(nodes: readonly Node[], within: Segment): Generator<string> {
  yield* unnamedClasses(nodes, within)
  if (!isFree(within)) return
  for (const node of nodes) {
    for (const text of node.literals.keys()) if (matchesSegment(within, text)) yield text
    for (const text of node.enums.keys()) if (matchesSegment(within, text)) yield text
  }
}

/** The same without what only literals and values of the nodes themselves name. */
export function unnamedClasses(nodes: readonly Node[], within: Segment): Iterable<string> {
  if (within.kind === 'literal') return [within.text]
  return within.kind === 'enum' ? within.values : typeClasses(nodes, within)
}

/** The simplest segment that this one matches. */
export function sampleOf(segment: Segment): string {
  for (const text of unnamedClasses([], segment)) return text
  throw new TypeError('a segment that nothing matches')
}

/** Not limited to listed texts. */
function isFree({ kind }: Segment): boolean {
  return kind !== 'literal' && kind !== 'enum'
}

function* typeClasses(nodes: readonly Node[], within: Segment): Generator<string> {
  const types = new Set(nodes.flatMap(node => node.typed.map(({ type }) => type)))
  const seen = new Set<string>()
  for (const family of FAMILIES) {
    const text = freeMember(family, nodes)
    const kind = typesOf(text, types)
    if (!matchesSegment(within, text) || seen.has(kind)) continue
    yield text
    if (types.size === 0) return
    seen.add(kind)
  }
}

/** Not named at these nodes, and no near miss of what is named. */
function freeMember(family: (i: number) => string, nodes: readonly Node[]): string {
  let i = 0
  while (nodes.some(node => node.folded.has(family(i).toLowerCase()))) i++
  return family(i)
}

function typesOf(text: string, types: ReadonlySet<SegmentType>): string {
  return [...types].filter(type => isOfType(type, text)).join(' ')
}
