/**
 * What to do about a route file, from what a replica has seen of its use: rules that nobody uses,
 * requests that no rule covers with lines for them, scopes that are granted and never needed.
 */
import { Type } from 'typebox'
import { Value } from 'typebox/value'
import type { Coverage } from '../core/coverage.ts'

const Count = Type.Integer({ minimum: 0 })
const Texts = Type.Array(Type.String())
/** Open: a newer gate may tell more. */
const CoverageShape = Type.Object({
  routesHash: Type.String(),
  since: Type.String(),
  rules: Type.Array(Type.Object({ key: Type.String(), requests: Count })),
  unmatched: Type.Array(
    Type.Object({ method: Type.String(), path: Type.String(), requests: Count })
  ),
  unmatchedBeyond: Count,
  tokens: Type.Array(Type.Object({ id: Type.String(), granted: Texts, needed: Texts })),
  tokensBeyond: Count
})

/** The answer of `/coverage`; undefined: something else answered. */
export function readCoverage(answer: unknown): Coverage | undefined {
  return Value.Check(CoverageShape, answer) ? answer : undefined
}

export interface CoverageAdvice {
  /** Keys of rules without a request. */
  readonly unused: readonly string[]
  readonly uncovered: readonly Uncovered[]
  /** By scope: how many tokens hold it, of which none needed it. Sorted by name. */
  readonly idleScopes: readonly IdleScope[]
}

export interface Uncovered {
  readonly requests: number
  /** A line for `routes`: refused until somebody decides. */
  readonly line: string
}

export interface IdleScope {
  readonly scope: string
  readonly tokens: readonly string[]
}

export function adviseOn({ rules, unmatched, tokens }: Coverage): CoverageAdvice {
  const holders = new Map<string, string[]>()
  for (const { granted } of tokens) for (const scope of granted) holders.set(scope, [])
  for (const { id, granted, needed } of tokens) {
    for (const scope of granted) if (!needed.includes(scope)) holders.get(scope)?.push(id)
  }
  return {
    unused: rules.flatMap(({ key, requests }) => (requests === 0 ? [key] : [])),
    uncovered: unmatched.map(({ method, path, requests }) => ({
      requests,
      line: `${method} ${path}: deny`
    })),
    idleScopes: [...holders]
      .filter(([, ids]) => ids.length > 0)
      .map(([scope, ids]) => ({ scope, tokens: ids }))
      .toSorted((a, b) => (a.scope < b.scope ? -1 : 1))
  }
}
