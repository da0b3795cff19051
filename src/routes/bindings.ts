/**
 * `repo` of a rule → bindings: where a request names the repositories it touches.
 */
import { Value } from 'typebox/value'
import type { RoutePattern } from '../core/route-pattern.ts'
import type { Binding, Place } from '../core/rule.ts'
import { type Report, suggestion } from './findings.ts'
import type { Node } from './parse.ts'
import { BindingText } from './schema.ts'
import { descriptionOf } from './shape.ts'

interface Item {
  readonly text: string
  readonly place: Place
}

/** What is wrong is reported and left out. `pattern` undefined: the rule's key is wrong itself. */
export function readBindings(
  node: Node,
  pattern: RoutePattern | undefined,
  report: Report
): readonly Binding[] {
  const nodes = node.kind === 'list' ? node.items : [node]
  if (nodes.length === 0) report('bad-value', node.place, '"repo" must not be an empty list')
  const items = nodes.flatMap(item => toItem(item, report))
  for (const [i, { text, place }] of items.entries()) {
    const isRepeated = items.findIndex(item => item.text === text) < i
    if (isRepeated) report('bad-value', place, `"${text}" stands twice`)
    if (text === 'none' && items.length > 1) {
      report('bad-value', place, '"none" stands alone: it says that no repository is touched')
    }
  }
  return pattern ? items.flatMap(item => toBinding(item, pattern, report)) : []
}

function toItem(node: Node, report: Report): readonly Item[] {
  const { place } = node
  if (node.kind === 'scalar' && Value.Check(BindingText, node.value)) {
    return [{ text: node.value, place }]
  }
  const key = node.kind === 'map' && node.entries.length === 1 ? node.entries[0]?.key : undefined
  const hint = key === undefined ? '' : `. Quotes are missing: "{${key}}"`
  report('bad-value', place, `a binding must be ${descriptionOf(BindingText)}${hint}`)
  return []
}

function toBinding(
  { text, place }: Item,
  { params, segments, methods }: RoutePattern,
  report: Report
): readonly Binding[] {
  if (text === 'upstream' || text === 'none') return [{ kind: text }]
  if (text.startsWith('query.')) return [{ kind: 'query', name: text.slice('query.'.length) }]
  if (text.startsWith('body.')) {
    if (methods.includes('GET') || methods.includes('HEAD')) {
      report('bad-value', place, `"${text}" is not for GET and HEAD: their bodies are dropped`)
    }
    const name = text.slice('body.'.length)
    return [
      name.endsWith('[]') ? { kind: 'body-list', name: name.slice(0, -2) } : { kind: 'body', name }
    ]
  }
  const name = text.slice(1, -1)
  const index = params.indexOf(name)
  const isRest = segments.at(-1)?.kind === 'rest' && index === params.length - 1
  if (index >= 0 && !isRest) return [{ kind: 'path', name, index }]
  const reason =
    index < 0
      ? `the path has no parameter "${name}".${suggestion(name, params)}`
      : `"${name}" is a rest; a repository is one segment`
  report('unknown-param', place, reason)
  return []
}
