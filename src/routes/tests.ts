/**
 * The entries of `tests`: requests with the answer that the file must give.
 */
import type { Static } from 'typebox'
import type { Place } from '../core/rule.ts'
import type { Report } from './findings.ts'
import { type Node, valueOf } from './parse.ts'
import { TestObject } from './schema.ts'
import { readShape } from './shape.ts'
import {
  denyUnknownScope,
  denyUnknownUpstream,
  type ScopeMap,
  type UpstreamMap
} from './vocabulary.ts'

/** Who sends it: nobody, a user, or a token of these rights; `repositories` null: all. */
export type Caller =
  | { readonly kind: 'none' }
  | { readonly kind: 'jwt' }
  | {
      readonly kind: 'cli-token'
      readonly scopes: readonly string[]
      readonly repositories: readonly string[] | null
      readonly isSigned: boolean
    }

export interface RouteTest {
  readonly method: string
  readonly target: string
  readonly caller: Caller
  /** Sent as JSON; undefined: no body. */
  readonly body: unknown
  /** `allow`, `403`, `403 ROUTE_DENIED` or `report 403 INSUFFICIENT_SCOPE`. */
  readonly expected: string
  /** The upstream that must be chosen; undefined: any. */
  readonly upstream: string | undefined
  /** Text for people. */
  readonly note: string | undefined
  readonly place: Place
}

export function readTests(
  nodes: readonly Node[],
  scopes: ScopeMap,
  upstreams: UpstreamMap,
  report: Report
): readonly RouteTest[] {
  return nodes.flatMap(node => {
    const read = readShape(TestObject, node, report)
    denyUnknownNames(node, scopes, upstreams, report)
    return read ? [toTest(read, node.place)] : []
  })
}

function toTest(read: Static<typeof TestObject>, place: Place): RouteTest {
  const [method = '', target = ''] = read.request.split(' ')
  const { body, upstream, note } = read
  return {
    method,
    target,
    caller: toCaller(read.as),
    body,
    expected: String(read.expect),
    upstream,
    note,
    place
  }
}

function toCaller(as: Static<typeof TestObject>['as'] = 'none'): Caller {
  if (typeof as === 'string') return { kind: as }
  const { scopes, repositories = null, signed: isSigned = false } = as
  return { kind: 'cli-token', scopes, repositories, isSigned }
}

function denyUnknownNames(
  node: Node,
  scopes: ScopeMap,
  upstreams: UpstreamMap,
  report: Report
): void {
  if (node.kind !== 'map') return
  const as = valueOf(node, 'as')
  const list = as?.kind === 'map' ? valueOf(as, 'scopes') : undefined
  for (const item of list?.kind === 'list' ? list.items : []) denyUnknownScope(item, scopes, report)
  const upstream = valueOf(node, 'upstream')
  if (upstream) denyUnknownUpstream(upstream, upstreams, report)
}
