/** The compiled rules against a slow, obvious reading of the same ones. */
import * as fc from 'fast-check'
import t from 'tap'
import { matchesSegment, parseOrThrow, rankOf } from '../../src/core/route-pattern.ts'
import type { Rule } from '../../src/core/rule.ts'
import { decodeSegment, readTarget } from '../../src/core/target.ts'
import { effort } from '../support/effort.ts'
import { compileText } from '../support/routes.ts'
import { method, path, routeKey } from './support/random.ts'

const keys = fc.uniqueArray(routeKey, { minLength: 1, maxLength: 8 })

function fileOf(rules: readonly string[]): string {
  return ['version: 1\nscopes: {}\nroutes:', ...rules.map(key => `  "${key}": jwt`)].join('\n')
}

/** Whether the path is the rule's, whatever the method. */
function hasPath(rule: Rule, sent: readonly string[]): boolean {
  const { segments } = parseOrThrow(rule.key)
  const hasRest = segments.at(-1)?.kind === 'rest'
  const isLong = hasRest ? sent.length >= segments.length : sent.length === segments.length
  return isLong && segments.every((segment, i) => matchesSegment(segment, sent[i] ?? ''))
}

/** 3 names it, 2 is GET's for HEAD, 1 is `*`, 0 does not take it. */
function methodRank({ methods, isWildcard }: Rule, asked: string): number {
  if (isWildcard) return methods.includes(asked) ? 1 : 0
  if (methods.includes(asked)) return 3
  return asked === 'HEAD' && methods.includes('GET') ? 2 : 0
}

/** Segment by segment from the left, then by the method. */
function compareRules(a: Rule, b: Rule, asked: string): number {
  const [first, second] = [a, b].map(({ key }) => parseOrThrow(key).segments.map(rankOf))
  for (const [i, rank] of (first ?? []).entries()) {
    const difference = (second?.[i] ?? 0) - rank
    if (difference !== 0) return difference
  }
  return methodRank(b, asked) - methodRank(a, asked)
}

/** Every candidate, the most specific first. */
function candidates(rules: readonly Rule[], asked: string, sent: readonly string[]) {
  return rules
    .filter(rule => hasPath(rule, sent) && methodRank(rule, asked) > 0)
    .toSorted((a, b) => compareRules(a, b, asked))
}

function isNearMiss(rules: readonly Rule[], sent: readonly string[]): boolean {
  return rules.some(({ key }) => {
    const { segments } = parseOrThrow(key)
    return segments.some((segment, i) => {
      const raw = sent[i]
      const isThere = segments
        .slice(0, i)
        .every((before, j) => matchesSegment(before, sent[j] ?? ''))
      if (raw === undefined || !isThere) return false
      const texts =
        segment.kind === 'literal' ? [segment.text] : segment.kind === 'enum' ? segment.values : []
      const folded = decodeSegment(raw).toLowerCase()
      return texts.some(text => text !== raw && text.toLowerCase() === folded)
    })
  })
}

t.test(
  'the compiled rules and an obvious reading of them choose the same, and one alone',
  async t => {
    let matched = 0
    const law = fc.property(
      keys,
      fc.array(fc.tuple(method, path), { minLength: 15, maxLength: 15 }),
      (set, requests) => {
        const loaded = compileText(fileOf(set))
        fc.pre('table' in loaded)
        const { rules } = loaded
        for (const [asked, raw] of requests) {
          const target = readTarget(raw)
          if ('kind' in target) continue
          const match = loaded.table.match(asked, target)
          const found = match.kind === 'rule' ? match.rule.key : match.kind
          const [first, second] = candidates(rules, asked, target.segments)
          const expected = isNearMiss(rules, target.segments) ? 'near-miss' : (first?.key ?? 'none')
          if (found !== expected) t.fail('another rule', { set, asked, raw, found, expected })
          if (
            expected !== 'near-miss' &&
            first &&
            second &&
            compareRules(first, second, asked) === 0
          ) {
            t.fail('two winners', { set, asked, raw, first: first.key, second: second.key })
          }
          if (first) matched++
        }
      }
    )
    fc.assert(law, { numRuns: effort(500, 50_000) })
    t.ok(matched > 200, `${matched} requests had a rule`)
  }
)

t.test('a refused file shows a request that both rules match, and none of them better', async t => {
  let shown = 0
  const law = fc.property(keys, set => {
    const { findings, rules } = compileText(fileOf(set))
    for (const { code, message } of findings) {
      if (code !== 'overlap') continue
      shown++
      const words = /^(.+) and (.+) \(line \d+\) are equal for (\S+) (\S+)$/.exec(message) ?? []
      const [, first, second, asked = '', raw = ''] = words
      const target = readTarget(raw)
      const pair = [first, second].map(key => rules.find(rule => rule.key === key))
      const [one, other] = pair
      const isTrue =
        one !== undefined &&
        other !== undefined &&
        !('kind' in target) &&
        [one, other].every(rule => hasPath(rule, target.segments) && methodRank(rule, asked) > 0) &&
        compareRules(one, other, asked) === 0
      if (!isTrue) t.fail('the request is none', { set, message })
    }
  })
  fc.assert(law, { numRuns: effort(500, 50_000) })
  t.ok(shown > 10, `${shown} requests were shown`)
})
