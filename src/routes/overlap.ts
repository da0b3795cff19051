/**
 * Two rules that are equally specific for one request, with such a request; and literals that
 * differ in case alone, so that every request for one is a near miss of the other.
 */
import { METHODS, type Segment } from '../core/route-pattern.ts'
import { type Node, STEPS } from '../core/route-trie.ts'
import type { Rule } from '../core/rule.ts'
import { segmentClasses, unnamedClasses } from './classes.ts'
import type { ReadRule, RuleTrie } from './rule-trie.ts'

export interface Overlap {
  /** In the order of the file. */
  readonly rules: readonly [Rule, Rule]
  /** `GET /x/0`: both match it, and none is the more specific one. */
  readonly request: string
}

/** Each pair once. Follows branches of equal rank together, as the matcher does. */
export function findOverlaps(trie: RuleTrie): readonly Overlap[] {
  const overlaps = new Map<string, Overlap>()
  const seen = new Set<Node | string>()
  visit([trie.root], [])
  return [...overlaps.values()]

  function visit(nodes: readonly Node[], path: readonly string[]): void {
    const [first] = nodes
    const key = nodes.length > 1 ? trie.keyOf(nodes) : first
    if (key === undefined || seen.has(key)) return
    seen.add(key)
    compare(nodes, path)
    for (const [raw, next] of branches(nodes)) visit(next, [...path, raw])
  }

  function compare(nodes: readonly Node[], path: readonly string[]): void {
    const rules = nodes.flatMap(node => trie.rulesAt(node)).map(({ rule }) => rule)
    for (const [i, first] of rules.entries()) {
      for (const second of rules.slice(i + 1)) {
        const method = sharedMethod(first, second)
        if (method === undefined) continue
        const request = `${method} /${path.join('/')}`
        overlaps.set(`${first.key} and ${second.key}`, { rules: [first, second], request })
      }
    }
  }
}

/** The nodes of each rank that one segment leads to, with such a segment. */
function* branches(nodes: readonly Node[]): Generator<readonly [string, readonly Node[]]> {
  yield* named(nodes, node => node.literals)
  yield* named(nodes, node => node.enums)
  if (!nodes.some(node => node.any.length + node.typed.length + node.rest.length > 0)) return
  for (const raw of unnamedClasses(nodes, ANYTHING)) {
    for (const step of STEPS) yield [raw, nodes.flatMap(node => step(node, raw))]
    yield [raw, nodes.flatMap(node => node.rest)]
  }
}

type Named = ReadonlyMap<string, readonly Node[]>

function* named(
  nodes: readonly Node[],
  childrenOf: (node: Node) => Named
): Generator<readonly [string, readonly Node[]]> {
  const [first] = nodes
  if (nodes.length === 1 && first) yield* childrenOf(first)
  else
    for (const raw of new Set(nodes.flatMap(node => [...childrenOf(node).keys()]))) {
      yield [raw, nodes.flatMap(node => childrenOf(node).get(raw) ?? [])]
    }
}

/** Anything that one segment can be. */
export const ANYTHING: Segment = { kind: 'any', name: '' }

/** A method that both name; a rule that names it beats `*`, so those two never meet. */
function sharedMethod(first: Rule, second: Rule): string | undefined {
  if (first.isWildcard !== second.isWildcard) return undefined
  return METHODS.find(method => first.methods.includes(method) && second.methods.includes(method))
}

export interface CaseTwins {
  readonly rule: Rule
  readonly text: string
  /** Undefined: one of the gate's own paths. */
  readonly otherRule: Rule | undefined
  readonly otherText: string
}

/** Each pair of texts once. Only a text with an upper-case letter can be one of a pair. */
export function findCaseTwins(rules: readonly ReadRule[], trie: RuleTrie): readonly CaseTwins[] {
  const twins = new Map<string, CaseTwins>()
  for (const { rule, pattern } of rules) {
    for (const [i, segment] of pattern.segments.entries()) {
      const texts = textsOf(segment).filter(text => /[A-Z]/.test(text))
      if (texts.length === 0) continue
      const nodes = nodesAfter(pattern.segments.slice(0, i), trie)
      for (const text of texts) for (const twin of twinsOf(text, nodes)) add(rule, text, twin)
    }
  }
  return [...twins.values()]

  function add(rule: Rule, text: string, [otherText, node]: readonly [string, Node]): void {
    const key = [text, otherText].toSorted().join(' ')
    const otherRule = trie.firstThrough(node)?.rule
    if (!twins.has(key)) twins.set(key, { rule, text, otherRule, otherText })
  }
}

function textsOf(segment: Segment): readonly string[] {
  if (segment.kind === 'literal') return [segment.text]
  return segment.kind === 'enum' ? segment.values : []
}

/** Where a request can be when these segments are behind it. */
function nodesAfter(segments: readonly Segment[], trie: RuleTrie): readonly Node[] {
  let nodes: readonly Node[] = [trie.root]
  for (const segment of segments) {
    const from = nodes
    const next = [...segmentClasses(from, segment)].flatMap(raw => trie.follow(from, raw))
    nodes = [...new Set(next)]
  }
  return nodes
}

function twinsOf(text: string, nodes: readonly Node[]): readonly (readonly [string, Node])[] {
  const folded = text.toLowerCase()
  return nodes
    .filter(node => node.folded.has(folded))
    .flatMap(node => [...node.literals, ...node.enums])
    .flatMap(([other, [child]]) =>
      child && other !== text && other.toLowerCase() === folded ? [[other, child] as const] : []
    )
}
