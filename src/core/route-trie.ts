/**
 * The trie behind the route table: nodes by segment, leaves by method.
 *
 * Branches are tried literal, enum, typed, any, rest. Branches of equal rank are followed together,
 * so that the first difference from the left decides, and each node is visited at most once: the
 * work is bounded by the file, whatever the target, and nothing is tried twice.
 */
import { isOfType, type Segment, type SegmentType, WILDCARD_METHODS } from './route-pattern.ts'
import type { Match } from './rule.ts'

/** What is found at the end of a path, for one method. */
export interface Leaf {
  /** A rule that does not deny. */
  readonly isOpen: boolean
  toMatch(segments: readonly string[]): Match
}

export interface Node {
  /** Values are lists of one, made once, so that following a literal allocates nothing. */
  literals: ReadonlyMap<string, readonly Node[]>
  enums: ReadonlyMap<string, readonly Node[]>
  /** By their sorted values, so that equal enums share a node. */
  enumNodes: ReadonlyMap<string, Node>
  typed: readonly { readonly type: SegmentType; readonly nodes: readonly Node[] }[]
  any: readonly Node[]
  rest: readonly Node[]
  /** Literals and enum values in lower case. */
  folded: ReadonlySet<string>
  named: ReadonlyMap<string, Leaf>
  wildcard: Leaf | undefined
  /** Whatever is not found below is `fallback`, and nothing less specific is asked. */
  fallback: Leaf | undefined
}

const NO_NODES: readonly Node[] = []
// Most nodes have one branch: what all share until it is needed is half of the time of a large file.
const NO_ENTRIES: ReadonlyMap<string, never> = new Map<string, never>()
const NO_TEXTS: ReadonlySet<string> = new Set()

export function createNode(): Node {
  return {
    literals: NO_ENTRIES,
    enums: NO_ENTRIES,
    enumNodes: NO_ENTRIES,
    typed: [],
    any: NO_NODES,
    rest: NO_NODES,
    folded: NO_TEXTS,
    named: NO_ENTRIES,
    wildcard: undefined,
    fallback: undefined
  }
}

/** The map with this entry in it: itself, or a first one of its own. */
export function entered<V>(
  map: ReadonlyMap<string, V>,
  key: string,
  value: V
): ReadonlyMap<string, V> {
  return map instanceof Map && map.size > 0 ? map.set(key, value) : new Map([[key, value]])
}

function fold(node: Node, text: string): void {
  const folded = text.toLowerCase()
  if (node.folded instanceof Set && node.folded.size > 0) node.folded.add(folded)
  else node.folded = new Set([folded])
}

/** The node at the end of these segments, made where it is not there yet. */
export function reach(from: Node, segments: readonly Segment[]): Node {
  return segments.reduce(childFor, from)
}

function childFor(node: Node, segment: Segment): Node {
  if (segment.kind === 'literal') {
    const { text } = segment
    return only(node.literals.get(text), made => {
      fold(node, text)
      node.literals = entered(node.literals, text, made)
    })
  }
  if (segment.kind === 'enum') return enumChildFor(node, segment.values)
  if (segment.kind === 'typed') {
    const { type } = segment
    const known = node.typed.find(child => child.type === type)
    return only(known?.nodes, nodes => (node.typed = [...node.typed, { type, nodes }]))
  }
  return segment.kind === 'any'
    ? only(node.any, made => (node.any = made))
    : only(node.rest, made => (node.rest = made))
}

function only(known: readonly Node[] | undefined, keep: (made: readonly Node[]) => void): Node {
  const first = known?.[0]
  if (first) return first
  const made = createNode()
  keep([made])
  return made
}

function enumChildFor(node: Node, values: readonly string[]): Node {
  const key = values.toSorted().join('|')
  const known = node.enumNodes.get(key)
  if (known) return known
  const made = createNode()
  node.enumNodes = entered(node.enumNodes, key, made)
  for (const value of values) {
    fold(node, value)
    node.enums = entered(node.enums, value, [...(node.enums.get(value) ?? []), made])
  }
  return made
}

export type Step = (node: Node, raw: string) => readonly Node[]

/** The branches that one raw segment can take, most specific first; a rest is none of them. */
export const STEPS: readonly Step[] = [
  (node, raw) => node.literals.get(raw) ?? NO_NODES,
  (node, raw) => node.enums.get(raw) ?? NO_NODES,
  (node, raw) =>
    node.typed.length === 0
      ? NO_NODES
      : node.typed.flatMap(child => (isOfType(child.type, raw) ? child.nodes : NO_NODES)),
  node => node.any
]

/** `nodes` are those that the segments so far reach at one and the same rank. */
export function find(
  nodes: readonly Node[],
  segments: readonly string[],
  depth: number,
  method: string
): Leaf | undefined {
  const [first] = nodes
  const raw = segments[depth]
  if (first === undefined) return undefined
  if (raw === undefined) return pick(nodes, method) ?? first.fallback
  for (const step of STEPS) {
    const next = nodes.length === 1 ? step(first, raw) : nodes.flatMap(node => step(node, raw))
    const leaf = find(next, segments, depth + 1, method)
    if (leaf) return leaf
  }
  return (
    pick(nodes.length === 1 ? first.rest : nodes.flatMap(node => node.rest), method) ??
    first.fallback
  )
}

/** At equal rank: a rule that names the method, for HEAD then the one for GET, then `*`. */
function pick(nodes: readonly Node[], method: string): Leaf | undefined {
  return (
    pickNamed(nodes, method) ??
    (method === 'HEAD' ? pickNamed(nodes, 'GET') : undefined) ??
    (WILDCARD_METHODS.includes(method) ? pickWildcard(nodes) : undefined)
  )
}

function pickNamed(nodes: readonly Node[], method: string): Leaf | undefined {
  for (const node of nodes) {
    const leaf = node.named.get(method)
    if (leaf) return leaf
  }
  return undefined
}

function pickWildcard(nodes: readonly Node[]): Leaf | undefined {
  for (const node of nodes) if (node.wildcard) return node.wildcard
  return undefined
}

export function isNearMiss(
  node: Node,
  segments: readonly string[],
  folded: readonly string[],
  depth: number
): boolean {
  const raw = segments[depth]
  if (raw === undefined) return false
  const isExact = node.literals.has(raw) || node.enums.has(raw)
  if (!isExact && node.folded.has(folded[depth] ?? '')) return true
  return STEPS.some(step =>
    step(node, raw).some(child => isNearMiss(child, segments, folded, depth + 1))
  )
}
