/**
 * The rules of a file as a trie whose nodes know their rules: what overlap.ts, lints.ts and diff.ts
 * walk over.
 */
import { parseOrThrow, type RoutePattern } from '../core/route-pattern.ts'
import { createNode, type Node, reach, STEPS } from '../core/route-trie.ts'
import type { OwnRoute, Rule } from '../core/rule.ts'

export interface ReadRule {
  readonly rule: Rule
  readonly pattern: RoutePattern
}

export interface RuleTrie {
  readonly root: Node
  /** Rules whose path ends here. */
  rulesAt(node: Node): readonly ReadRule[]
  /** The first rule that goes through here; undefined: one of the gate's own paths alone. */
  firstThrough(node: Node): ReadRule | undefined
  /** All that these nodes lead to by one segment, of every rank. A rest leads to itself. */
  follow(nodes: readonly Node[], raw: string): readonly Node[]
  /** The same text for the same set of nodes. */
  keyOf(nodes: readonly Node[]): string
}

export function createRuleTrie(
  rules: readonly ReadRule[],
  ownRoutes: readonly OwnRoute[]
): RuleTrie {
  const root = createNode()
  const ends = new Map<Node, ReadRule[]>()
  const firsts = new Map<Node, ReadRule>()
  const rests = new Set<Node>()
  const ids = new Map<Node, number>()
  for (const { key } of ownRoutes) reach(root, parseOrThrow(key).segments)
  for (const read of rules) insert(read)
  return {
    root,
    rulesAt: node => ends.get(node) ?? [],
    firstThrough: node => firsts.get(node),
    follow: (nodes, raw) => nodes.flatMap(node => next(node, raw)),
    keyOf: nodes =>
      nodes
        .map(idOf)
        .toSorted((a, b) => a - b)
        .join(' ')
  }

  function insert(read: ReadRule): void {
    let node = root
    for (const segment of read.pattern.segments) {
      node = reach(node, [segment])
      if (!firsts.has(node)) firsts.set(node, read)
    }
    if (read.pattern.segments.at(-1)?.kind === 'rest') rests.add(node)
    ends.set(node, [...(ends.get(node) ?? []), read])
  }

  function next(node: Node, raw: string): readonly Node[] {
    if (rests.has(node)) return [node]
    return [...STEPS.flatMap(step => step(node, raw)), ...node.rest]
  }

  function idOf(node: Node): number {
    const id = ids.get(node) ?? ids.size
    ids.set(node, id)
    return id
  }
}
