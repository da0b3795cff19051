/**
 * A node against its shape: the typed value, or every way in which it misses it, in words.
 *
 * typebox decides; this explains. One finding a member, at the member's own place.
 */
import { type Static, type TObject, type TSchema, Type } from 'typebox'
import { Value } from 'typebox/value'
import { type Report, suggestion } from './findings.ts'
import { type MapNode, type Node, plain } from './parse.ts'

/** The value, or undefined and findings; members in `elsewhere` are explained by the caller. */
export function readShape<T extends TObject>(
  schema: T,
  node: Node,
  report: Report,
  elsewhere: readonly string[] = []
): Static<T> | undefined {
  const value = plain(node)
  if (Value.Check(schema, value)) return value
  explainMap(schema, node, report, elsewhere)
  return undefined
}

/** Whether the node is a map; else a finding. */
export function isMap(schema: TSchema, node: Node, report: Report): node is MapNode {
  if (node.kind !== 'map') report('bad-value', node.place, `this must be ${descriptionOf(schema)}`)
  return node.kind === 'map'
}

/** Says what is wrong with a map; nothing where it has its shape. */
export function explainMap(
  schema: TObject,
  node: Node,
  report: Report,
  elsewhere: readonly string[]
): void {
  if (!isMap(schema, node, report)) return
  denyUnknownKeys(schema, node, report)
  for (const key of schema.required ?? []) {
    if (!node.entries.some(entry => entry.key === key)) {
      report('bad-value', node.place, `"${key}" is missing`)
    }
  }
  for (const { key, value } of node.entries) {
    const member = schema.properties[key]
    if (member && !elsewhere.includes(key)) explainMember(member, key, value, report)
  }
}

function denyUnknownKeys(schema: TObject, node: MapNode, report: Report): void {
  const known = Object.keys(schema.properties)
  for (const { key, place } of node.entries) {
    if (known.includes(key)) continue
    report('unknown-key', place, `"${key}" is not known here.${suggestion(key, known)}`)
  }
}

/** Nothing where the member is right. A wrong item of a list is shown at the item. */
export function explainMember(schema: TSchema, key: string, node: Node, report: Report): void {
  if (Value.Check(schema, plain(node))) return
  const wrong = wrongItems(schema, node)
  for (const item of wrong) {
    report('bad-value', item.place, `an item of "${key}" must be ${descriptionOf(item.schema)}`)
  }
  if (wrong.length > 0) return
  report('bad-value', node.place, `"${key}" must be ${descriptionOf(schema)}`)
}

function wrongItems(schema: TSchema, node: Node): readonly (Node & { readonly schema: TSchema })[] {
  if (!Type.IsArray(schema) || node.kind !== 'list') return []
  return node.items
    .filter(item => !Value.Check(schema.items, plain(item)))
    .map(item => ({ ...item, schema: schema.items }))
}

/** The check alone, without narrowing the type. */
export function hasShape(schema: TSchema, value: unknown): boolean {
  return Value.Check(schema, value)
}

/** Every schema of schema.ts has one. */
export function descriptionOf(schema: TSchema): string {
  return 'description' in schema && typeof schema.description === 'string' ? schema.description : ''
}
