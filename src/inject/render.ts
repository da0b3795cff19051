/**
 * New YAML for old files: block style, with what is short on one line. Texts that YAML 1.1 would read
 * as booleans are quoted, because the tools of Kubernetes read them so.
 */
import { Document, isCollection, isPair, type Node, stringify } from 'yaml'

/** So that a line with the usual indentation stays under 100 columns. */
const SHORT = 80
const STYLE = { lineWidth: 0, compat: 'yaml-1.1' } as const

/** Lines without indentation and without an end. The value itself is never on one line. */
export function renderBlock(
  value: unknown,
  { indentSeq }: { readonly indentSeq: boolean }
): readonly string[] {
  const document = new Document(value, { compat: 'yaml-1.1', aliasDuplicateObjects: false })
  if (isCollection(document.contents)) shorten(document.contents)
  return document.toString({ lineWidth: 0, indentSeq }).trimEnd().split('\n')
}

/** One line, for within braces or brackets. */
export function renderFlow(value: unknown): string {
  return stringify(value, {
    ...STYLE,
    aliasDuplicateObjects: false,
    collectionStyle: 'flow'
  }).trimEnd()
}

/** Lines after the first begin with `base`; an empty `step` puts all on one line. */
export function renderJson(
  value: unknown,
  { step, base }: { readonly step: string; readonly base: string }
): string {
  return JSON.stringify(value, null, step).replaceAll('\n', `\n${base}`)
}

function shorten(collection: Node): void {
  if (!isCollection(collection)) return
  for (const item of collection.items) {
    const node = isPair(item) ? item.value : item
    if (!isCollection(node)) continue
    if (renderFlow(node).length <= SHORT) node.flow = true
    else shorten(node)
  }
}
