/**
 * The entries of `routes` → rules. A rule with something wrong is reported, in all its members, and
 * left out.
 */
import type { Static } from 'typebox'
import { Compile } from 'typebox/compile'
import { Value } from 'typebox/value'
import { parseKey, type RoutePattern } from '../core/route-pattern.ts'
import type { Binding, Mode, Need, Rule } from '../core/rule.ts'
import { readBindings } from './bindings.ts'
import { type Report, suggestion } from './findings.ts'
import { type Entry, type MapNode, type Node, plain, valueOf } from './parse.ts'
import type { ReadRule } from './rule-trie.ts'
import { AnyOf, RuleObject, ScopeList, ScopeName, Word } from './schema.ts'
import { explainMap, explainMember } from './shape.ts'
import {
  denyUnknownScope,
  denyUnknownUpstream,
  type ScopeMap,
  type UpstreamMap
} from './vocabulary.ts'

/** Checked for each rule, so compiled: a file may have thousands. */
const ruleObject = Compile(RuleObject)
const word = Compile(Word)
const scopeName = Compile(ScopeName)

export interface RuleContext {
  readonly scopes: ScopeMap
  readonly upstreams: UpstreamMap
  /** The file's own, for rules that do not say. */
  readonly mode: Mode
  readonly timeoutMs: number
  readonly report: Report
}

export function readRules(entries: readonly Entry[], context: RuleContext): readonly ReadRule[] {
  return entries.flatMap(entry => {
    const pattern = parseKey(entry.key)
    if ('problem' in pattern) context.report('bad-key', entry.place, pattern.problem)
    const read = readValue(entry.value, 'problem' in pattern ? undefined : pattern, context)
    if ('problem' in pattern || !read) return []
    return [{ rule: toRule(entry, pattern, read, context), pattern }]
  })
}

interface ReadValue {
  readonly need: Need
  readonly bindings: readonly Binding[] | undefined
  readonly options: Omit<Static<typeof RuleObject>, 'scope' | 'repo'>
}

function toRule(
  { key, place }: Entry,
  { path, methods, isWildcard, params }: RoutePattern,
  { need, bindings, options }: ReadValue,
  context: RuleContext
): Rule {
  const { signature = 'optional', mode = context.mode, upstream = 'default' } = options
  const timeoutMs =
    options.timeoutMs ?? context.upstreams.get(upstream)?.timeoutMs ?? context.timeoutMs
  const { upgrade, why } = options
  const behaviour = { need, bindings, signature, mode, upstream, timeoutMs, upgrade, why }
  return { key, methods, isWildcard, path, params, ...behaviour, place }
}

function readValue(
  node: Node,
  pattern: RoutePattern | undefined,
  context: RuleContext
): ReadValue | undefined {
  if (node.kind === 'map' && !valueOf(node, 'any')) return readObject(node, pattern, context)
  const need = readNeed(node, context)
  return need && { need, bindings: undefined, options: {} }
}

function readObject(
  node: MapNode,
  pattern: RoutePattern | undefined,
  context: RuleContext
): ReadValue | undefined {
  const { report } = context
  const value = plain(node)
  const isRight = ruleObject.Check(value)
  if (!isRight) explainMap(RuleObject, node, report, ['scope', 'repo'])
  const scope = valueOf(node, 'scope')
  const need = scope && readNeed(scope, context)
  const repo = valueOf(node, 'repo')
  const bindings = repo && readBindings(repo, pattern, report)
  if (need) denyIdleKeys(need, node, report)
  if (pattern) denyWrongUpgrade(node, pattern, report)
  const upstream = valueOf(node, 'upstream')
  if (upstream) denyUnknownUpstream(upstream, context.upstreams, report)
  if (!need || !isRight) return undefined
  const { scope: _scope, repo: _repo, ...options } = value
  return { need, bindings, options }
}

function readNeed(node: Node, { scopes, report }: RuleContext): Need | undefined {
  const value = plain(node)
  if (node.kind === 'scalar') {
    if (word.Check(value)) return { kind: value }
    denyUnknownScope(node, scopes, report)
    if (scopeName.Check(value)) return { kind: 'all', scopes: [value] }
    const hint =
      typeof value === 'string' ? suggestion(value, [...Word.enum, ...scopes.keys()]) : ''
    report(
      'bad-value',
      node.place,
      `${JSON.stringify(value)} is neither a word nor a scope.${hint}`
    )
    return undefined
  }
  const list = node.kind === 'map' ? valueOf(node, 'any') : node
  for (const item of list?.kind === 'list' ? list.items : []) denyUnknownScope(item, scopes, report)
  if (node.kind === 'list') explainMember(ScopeList, 'scope', node, report)
  else explainMap(AnyOf, node, report, [])
  if (Value.Check(ScopeList, value)) return { kind: 'all', scopes: value }
  return Value.Check(AnyOf, value) ? { kind: 'any', scopes: value.any } : undefined
}

const NEEDS_NO_TOKEN: readonly Need['kind'][] = ['public', 'jwt', 'deny']

/** A key that changes nothing is a mistake about what the rule does. */
function denyIdleKeys({ kind }: Need, node: MapNode, report: Report): void {
  for (const { key, place } of node.entries) {
    const isIdle =
      kind === 'deny'
        ? key !== 'scope' && key !== 'why'
        : NEEDS_NO_TOKEN.includes(kind) && (key === 'repo' || key === 'signature')
    if (isIdle) report('no-effect', place, `"${key}" has no effect on a rule that is ${kind}`)
  }
}

function denyWrongUpgrade(node: MapNode, { methods }: RoutePattern, report: Report): void {
  const upgrade = node.entries.find(({ key }) => key === 'upgrade')
  if (!upgrade || (methods.length === 1 && methods[0] === 'GET')) return
  report('no-effect', upgrade.place, '"upgrade" is for rules whose one method is GET')
}
