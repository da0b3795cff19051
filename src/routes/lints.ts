/**
 * What is right and still worth a look: rules that nothing reaches, rules that cross, scopes that
 * nobody asks for, rules that only report.
 */
import type { Segment } from '../core/route-pattern.ts'
import type { Node as TrieNode } from '../core/route-trie.ts'
import type { Rule, RouteTable } from '../core/rule.ts'
import { sampleOf, segmentClasses } from './classes.ts'
import { type Crossing, crossingsOf, type WinnerOf } from './crossing.ts'
import type { RouteDocument } from './document.ts'
import { type Finding, finding, placeSeenFrom } from './findings.ts'
import type { Node, Scalar } from './parse.ts'
import type { ReadRule, RuleTrie } from './rule-trie.ts'
import { targetOf } from './target-of.ts'

/** Scopes that no rule asks for, by themselves or by what they imply. Wrong rules count too. */
export function lintScopes(
  { scopes, routes }: RouteDocument,
  table: RouteTable
): readonly Finding[] {
  const asked = new Set(routes.flatMap(({ value }) => textsIn(value)))
  return scopes
    .filter(({ key }) => !table.effectiveScopes([key]).some(scope => asked.has(scope)))
    .map(({ key, place }) =>
      finding('unused-scope', place, `"${key}" is declared, but no rule asks for it`)
    )
}

function textsIn(node: Node): readonly Scalar[] {
  if (node.kind === 'scalar') return [node.value]
  return (node.kind === 'list' ? node.items : node.entries.map(entry => entry.value)).flatMap(
    textsIn
  )
}

/** Rules in report mode; once for all of them where the file itself is. */
export function lintModes(
  rules: readonly Rule[],
  { settings, modePlace }: RouteDocument
): readonly Finding[] {
  if (settings.mode === 'report' && modePlace) {
    const message = 'the file is in report mode: what its rules refuse is let through'
    return [finding('report-mode', modePlace, message)]
  }
  return rules
    .filter(({ mode }) => mode === 'report')
    .map(({ key, place }) =>
      finding('report-mode', place, `${key} is in report mode: what it refuses is let through`)
    )
}

/** For rules of which no two overlap. */
export function lintRules(
  rules: readonly ReadRule[],
  trie: RuleTrie,
  table: RouteTable
): readonly Finding[] {
  const winnerOf: WinnerOf = (method, path) => {
    const match = table.match(method, targetOf(path))
    return match.kind === 'rule' ? match.rule : undefined
  }
  return rules.flatMap(read =>
    isReachable(read, trie, winnerOf)
      ? crossingsOf(read, trie, winnerOf).map(toFinding)
      : [unreachable(read.rule)]
  )
}

function unreachable({ key, place }: Rule): Finding {
  const message = `${key} is never reached: more specific rules take every request of it`
  return finding('unreachable', place, message)
}

function toFinding({ winner, loser, request }: Crossing): Finding {
  const where = placeSeenFrom(winner.place, loser.place)
  const message = `wins over ${loser.key} (${where}) on ${request}`
  const opens = winner.need.kind === 'public' && loser.need.kind !== 'public'
  return finding('crossing', winner.place, message, opens ? 'warning' : 'note')
}

/** Whether some request is this rule's: the classes of requests that it matches are searched. */
function isReachable(
  { rule, pattern: { segments } }: ReadRule,
  trie: RuleTrie,
  winnerOf: WinnerOf
): boolean {
  if (wins(segments.map(sampleOf))) return true
  const seen = new Set<string>()
  return search([trie.root], [])

  function search(nodes: readonly TrieNode[], path: readonly string[]): boolean {
    const key = `${Math.min(path.length, segments.length)}: ${trie.keyOf(nodes)}`
    if (seen.has(key)) return false
    seen.add(key)
    if (path.length >= segments.length && wins(path)) return true
    const segment = segmentAt(path.length)
    if (!segment) return false
    for (const raw of segmentClasses(nodes, segment)) {
      if (search(trie.follow(nodes, raw), [...path, raw])) return true
    }
    return false
  }

  function wins(path: readonly string[]): boolean {
    return rule.methods.some(method => winnerOf(method, `/${path.join('/')}`) === rule)
  }

  /** A rest takes every further segment too. */
  function segmentAt(i: number): Segment | undefined {
    const last = segments.at(-1)
    return segments[i] ?? (last?.kind === 'rest' ? last : undefined)
  }
}
