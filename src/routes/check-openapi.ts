/** A route file against an OpenAPI document: operations that have no rule, rules that have no operation. */
import { matchesSegment, parseKey, parseOrThrow, type Segment } from '../core/route-pattern.ts'
import type { Rule } from '../core/rule.ts'
import type { Operation } from './openapi.ts'

export interface OpenApiGaps {
  /** Keys of operations. */
  readonly withoutRule: readonly string[]
  readonly withoutOperation: readonly { readonly key: string; readonly rule: Rule }[]
}

interface Sought {
  readonly method: string
  readonly segments: readonly Segment[]
}

/** Rules that deny are what they are also without an operation. */
export function compareWithOpenApi(
  operations: readonly Operation[],
  rules: readonly Rule[]
): OpenApiGaps {
  const sought = operations.map(({ method, path }) => {
    const pattern = parseKey(`${method} ${path}`)
    return {
      key: `${method} ${path}`,
      method,
      segments: 'problem' in pattern ? [] : pattern.segments
    }
  })
  const read = rules.map(rule => ({ rule, segments: parseOrThrow(rule.key).segments }))
  return {
    withoutRule: sought
      .filter(operation => !read.some(each => takes(each.rule, each.segments, operation)))
      .map(({ key }) => key),
    withoutOperation: read
      .filter(({ rule }) => rule.need.kind !== 'deny')
      .flatMap(({ rule, segments }) =>
        idleMethods(rule, segments, sought).map(method => ({ key: `${method} ${rule.path}`, rule }))
      )
  }
}

function takes(
  { methods }: Rule,
  segments: readonly Segment[],
  { method, ...asked }: Sought
): boolean {
  const isNamed = methods.includes(method) || (method === 'HEAD' && methods.includes('GET'))
  return isNamed && meet(segments, asked.segments)
}

/** The methods of a rule for which there is no operation; of `*`, itself alone. */
function idleMethods(
  { methods, isWildcard }: Rule,
  segments: readonly Segment[],
  operations: readonly Sought[]
): readonly string[] {
  const isUsed = (method: string) =>
    operations.some(
      operation =>
        (operation.method === method || (operation.method === 'HEAD' && method === 'GET')) &&
        meet(segments, operation.segments)
    )
  if (isWildcard) return methods.some(isUsed) ? [] : ['*']
  return methods.filter(method => !isUsed(method))
}

/** Whether some request is both the rule's and the operation's. */
function meet(rule: readonly Segment[], operation: readonly Segment[]): boolean {
  const hasRest = rule.at(-1)?.kind === 'rest'
  const fixed = hasRest ? rule.slice(0, -1) : rule
  const isLong = hasRest ? operation.length >= rule.length : operation.length === rule.length
  return isLong && fixed.every((segment, i) => meetSegments(segment, operation[i]))
}

function meetSegments(segment: Segment, other: Segment | undefined): boolean {
  if (!other) return false
  const [texts, taker] =
    other.kind === 'literal' || other.kind === 'enum' ? [other, segment] : [segment, other]
  if (texts.kind === 'literal') return matchesSegment(taker, texts.text)
  return texts.kind === 'enum' ? texts.values.some(value => matchesSegment(taker, value)) : true
}
