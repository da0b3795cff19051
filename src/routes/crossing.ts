/**
 * Two rules that cross: they share a request, and each is the more specific one in some segment.
 * `POST /scans/trigger/{id}` and `POST /scans/{id}/cancel` do, on `POST /scans/trigger/cancel`.
 * The file is clear, the first difference decides; a reader may still have meant the other one.
 */
import { rankOf, type Segment } from '../core/route-pattern.ts'
import { type Node, STEPS } from '../core/route-trie.ts'
import type { Rule } from '../core/rule.ts'
import { sampleOf, segmentClasses, unnamedClasses } from './classes.ts'
import type { ReadRule, RuleTrie } from './rule-trie.ts'

export interface Crossing {
  readonly winner: Rule
  readonly loser: Rule
  /** `POST /scans/trigger/cancel`, which the winner really gets. */
  readonly request: string
}

/** Which rule gets this request, or undefined. `path` begins with a slash. */
export type WinnerOf = (method: string, path: string) => Rule | undefined

/** A lint must end: a rule that crosses more than this is shown with the first ones. */
const MAX_CROSSINGS = 10
const MAX_STEPS = 2000

/** What so far was higher, seen from the rule in question. */
interface State {
  readonly node: Node
  readonly path: readonly string[]
  readonly hasWon: boolean
  readonly hasLost: boolean
}

/** The rules that this one wins over somewhere although they are more specific in some segment. */
export function crossingsOf(
  { rule, pattern: { segments } }: ReadRule,
  trie: RuleTrie,
  winnerOf: WinnerOf
): readonly Crossing[] {
  const found = new Map<Rule, Crossing>()
  let steps = 0
  visit({ node: trie.root, path: [], hasWon: false, hasLost: false })
  return [...found.values()]

  function visit(state: State): void {
    const { node, path } = state
    const segment = segments[path.length] ?? lastRest(segments)
    if (path.length >= segments.length) compare(state)
    if (!segment) return
    // Before the first difference this rule loses to what is higher, whoever is asked.
    const classes = state.hasWon ? segmentClasses : unnamedClasses
    for (const raw of classes([node], segment)) {
      if (steps > MAX_STEPS || found.size >= MAX_CROSSINGS) return
      // The most specific step comes first.
      let rank = STEPS.length
      for (const step of STEPS) {
        for (const child of step(node, raw)) advance(state, raw, child, rank - rankOf(segment))
        rank -= 1
      }
    }
    for (const child of node.rest) {
      compare({
        ...state,
        node: child,
        path: completed(path),
        hasWon: state.hasWon || rankOf(segment) > 0
      })
    }
  }

  /** `difference` above 0: the other one is more specific here. */
  function advance(state: State, raw: string, node: Node, difference: number): void {
    if (difference > 0 && !state.hasWon) return
    steps++
    const hasWon = state.hasWon || difference < 0
    const hasLost = state.hasLost || difference > 0
    visit({ node, path: [...state.path, raw], hasWon, hasLost })
  }

  /** The rest of the path, with any segments that this rule takes. */
  function completed(path: readonly string[]): readonly string[] {
    return [...path, ...segments.slice(path.length).map(sampleOf)]
  }

  function compare({ node, path, hasWon, hasLost }: State): void {
    if (!hasWon || !hasLost) return
    for (const { rule: loser } of trie.rulesAt(node)) {
      const method = methodsOf(loser).find(name => winnerOf(name, `/${path.join('/')}`) === rule)
      if (method === undefined || found.has(loser)) continue
      found.set(loser, { winner: rule, loser, request: `${method} /${path.join('/')}` })
    }
  }
}

/** A rest takes every further segment too. */
function lastRest(segments: readonly Segment[]): Segment | undefined {
  const last = segments.at(-1)
  return last?.kind === 'rest' ? last : undefined
}

/** What it takes requests of: HEAD follows GET. */
function methodsOf({ methods }: Rule): readonly string[] {
  return methods.includes('GET') ? [...new Set([...methods, 'HEAD'])] : methods
}
