/**
 * The compiled rules, asked for the most specific one of a request.
 *
 * Whatever a less strict server could take for a literal is refused first, whichever rule would
 * win: such a server would act on another rule than the one decided by. The gate's own paths are
 * in the same trie, and out of reach for the route file.
 * Source: the README's chapter on the route file.
 */
import { parseOrThrow, type Segment, WILDCARD_METHODS } from './route-pattern.ts'
import { createNode, entered, find, isNearMiss, type Leaf, type Node, reach } from './route-trie.ts'
import type { Match, Mode, OwnRoute, Rule, RouteTable, ScopeEntry, UpstreamEntry } from './rule.ts'
import { decodeSegment, type Target } from './target.ts'

export interface RouteTableParts {
  /** No two of them equally specific for one request. */
  readonly rules: readonly Rule[]
  readonly ownRoutes: readonly OwnRoute[]
  readonly scopes: ReadonlyMap<string, ScopeEntry>
  readonly upstreams: ReadonlyMap<string, UpstreamEntry>
  readonly mode: Mode
  readonly options: 'deny' | 'upstream'
  readonly timeoutMs: number
  readonly hash: string
}

/** A table that grows, so that a large one can be made a part at a time. */
export interface RouteTableBuilder {
  /** In the order of the file. Throws TypeError where a key does not parse. */
  add(rules: readonly Rule[]): void
  /** The last call. */
  finish(): RouteTable
}

/** Throws TypeError where a key does not parse; the route file's own keys are checked before. */
export function createRouteTable({ rules, ...parts }: RouteTableParts): RouteTable {
  const builder = startRouteTable(parts)
  builder.add(rules)
  return builder.finish()
}

export function startRouteTable(parts: Omit<RouteTableParts, 'rules'>): RouteTableBuilder {
  const { ownRoutes, scopes, upstreams, mode, options, timeoutMs, hash } = parts
  const rules: Rule[] = []
  const root = createNode()
  const roots = [root]
  let hasUpperCaseLiteral = false
  for (const route of ownRoutes) insertOwnRoute(root, route)
  for (const prefix of reservedPrefixes(ownRoutes)) {
    reach(root, prefix.map(toLiteral)).fallback = RESERVED_LEAF
  }
  const closures = new Map([...scopes.keys()].map(name => [name, impliedBy(name, scopes)]))
  /** By the very list: that of a cached row is asked for at every request. */
  const effective = new WeakMap<readonly string[], readonly string[]>()
  return {
    add(more) {
      for (const rule of more) {
        const { segments } = parseOrThrow(rule.key)
        insertRule(root, rule, segments)
        hasUpperCaseLiteral ||= segments.some(hasUpperCase)
        rules.push(rule)
      }
    },
    finish: () => ({
      match,
      rules,
      scopes,
      upstreams,
      mode,
      options,
      timeoutMs,
      hash,
      hasPage: ownRoutes.some(({ name }) => name === 'page.document'),
      effectiveScopes(granted) {
        const known = effective.get(granted)
        if (known) return known
        const found = effectiveScopes(granted, closures)
        effective.set(granted, found)
        return found
      }
    })
  }

  function match(method: string, target: Target): Match {
    const { segments, path } = target
    // Where all literals are in lower case, nothing but these characters can make a near miss.
    const mayMiss = hasUpperCaseLiteral || /[A-Z%]/.test(path)
    if (mayMiss && isNearMiss(root, segments, segments.map(fold), 0)) return NEAR_MISS
    const leaf = find(roots, segments, 0, method)
    if (leaf) return leaf.toMatch(segments)
    return method === 'OPTIONS' && options === 'upstream' && isOpen(segments) ? OPTIONS : NONE
  }

  /** Some method of the path has a rule that does not deny. */
  function isOpen(segments: readonly string[]): boolean {
    return WILDCARD_METHODS.some(method => find(roots, segments, 0, method)?.isOpen)
  }
}

/**
 * Paths that the gate keeps for itself, with everything below, as literal segments: its own paths
 * that have no parameters.
 */
export function reservedPrefixes(ownRoutes: readonly OwnRoute[]): readonly (readonly string[])[] {
  return ownRoutes
    .map(route => parseOrThrow(route.key))
    .filter(({ params }) => params.length === 0)
    .map(({ path }) => path.slice(1).split('/'))
}

function toLiteral(text: string): Segment {
  return { kind: 'literal', text }
}

const NEAR_MISS: Match = { kind: 'near-miss' }
const OPTIONS: Match = { kind: 'options' }
const NONE: Match = { kind: 'none' }
const RESERVED: Match = { kind: 'reserved' }

const RESERVED_LEAF: Leaf = { isOpen: false, toMatch: () => RESERVED }

function insertRule(root: Node, rule: Rule, segments: readonly Segment[]): void {
  const readParams = paramReader(segments)
  const leaf: Leaf = {
    isOpen: rule.need.kind !== 'deny',
    toMatch: sent => ({ kind: 'rule', rule, params: readParams(sent) })
  }
  const node = reach(root, segments)
  if (rule.isWildcard) node.wildcard = leaf
  else for (const method of rule.methods) node.named = entered(node.named, method, leaf)
}

function insertOwnRoute(root: Node, route: OwnRoute): void {
  const { methods, segments } = parseOrThrow(route.key)
  const readParams = paramReader(segments)
  const leaf: Leaf = {
    isOpen: false,
    toMatch: sent => ({ kind: 'own', route, params: readParams(sent) })
  }
  const node = reach(root, segments)
  for (const method of methods) node.named = entered(node.named, method, leaf)
}

/** Values of the parameters in order; a rest is all that remains, without a last slash. */
function paramReader(pattern: readonly Segment[]): (sent: readonly string[]) => readonly string[] {
  const places = pattern.flatMap((segment, i) => (segment.kind === 'literal' ? [] : [i]))
  const hasRest = pattern.at(-1)?.kind === 'rest'
  if (!hasRest) return sent => places.map(i => sent[i] ?? '')
  const last = pattern.length - 1
  return sent => places.map(i => (i === last ? sent.slice(i).join('/') : (sent[i] ?? '')))
}

function hasUpperCase(segment: Segment): boolean {
  if (segment.kind === 'literal') return /[A-Z]/.test(segment.text)
  return segment.kind === 'enum' && segment.values.some(value => /[A-Z]/.test(value))
}

/** Decoded once and in lower case: what a less strict server might compare. */
function fold(raw: string): string {
  return decodeSegment(raw).toLowerCase()
}

function impliedBy(name: string, scopes: ReadonlyMap<string, ScopeEntry>): readonly string[] {
  const found = new Set([name])
  for (const known of found) for (const next of scopes.get(known)?.implies ?? []) found.add(next)
  return [...found].slice(1)
}

function effectiveScopes(
  granted: readonly string[],
  closures: ReadonlyMap<string, readonly string[]>
): readonly string[] {
  const declared = granted.filter(name => closures.has(name))
  return [...new Set([...declared, ...declared.flatMap(name => closures.get(name) ?? [])])]
}
