/**
 * A text of manifests as its resources: YAML documents, JSON, `List` and the `ResourceList` of kustomize
 * functions, each resource with its place in the text.
 */
import { isMap, isSeq, LineCounter, type Node, parseAllDocuments } from 'yaml'
import type { Change } from './changes.ts'
import { type Fields, isFields, listAt, type Path } from './fields.ts'
import { offsetAt, Unreachable } from './places.ts'
import { type Edit, editOf } from './text-edits.ts'

export interface Resource {
  /** As plain values. */
  readonly value: Fields
  readonly node: Node
  /** Written as JSON: with what each level is indented; undefined: not as JSON. */
  readonly jsonStep: string | undefined
}

export interface Manifests {
  readonly resources: readonly Resource[]
  /** `FILE:LINE`, of a path in a resource; its nearest part where it is not there. */
  lineOf(resource: Resource, path: Path): number
  /** What changes the text; or the first place that cannot be changed. */
  edits(
    resource: Resource,
    changes: readonly Change[]
  ): readonly Edit[] | { line: number; message: string }
}

export type Read = Manifests | { readonly problems: readonly { line: number; message: string }[] }

const LISTS = ['List', 'ResourceList']

export function readManifests(text: string): Read {
  const lineCounter = new LineCounter()
  const documents = parseAllDocuments(text, {
    lineCounter,
    merge: true,
    stringKeys: true,
    prettyErrors: false
  })
  const lineAt = (offset: number) => lineCounter.linePos(offset).line
  if (!Array.isArray(documents)) return manifests(text, [], lineAt)
  const problems = documents.flatMap(({ errors }) =>
    errors.map(({ pos, message }) => ({ line: lineAt(pos[0]), message: `no YAML: ${message}` }))
  )
  if (problems.length > 0) return { problems }
  const resources = documents.flatMap(document => {
    const { contents } = document
    if (!isMap(contents)) return []
    const value: unknown = document.toJS({ maxAliasCount: MOST_ALIASES })
    return resourcesOf(value, contents, jsonStepOf(text, contents))
  })
  return manifests(text, resources, lineAt)
}

/** More is no manifest but an attack. */
const MOST_ALIASES = 1000

function resourcesOf(
  value: unknown,
  node: Node,
  jsonStep: string | undefined
): readonly Resource[] {
  if (!isFields(value)) return []
  const { kind } = value
  if (typeof kind !== 'string' || !LISTS.includes(kind)) return [{ value, node, jsonStep }]
  const items = isMap(node) ? node.get('items', true) : undefined
  if (!isSeq(items)) return []
  return listAt(value, 'items').flatMap((item, i) => {
    const itemNode = items.items[i]
    return isMap(itemNode) ? resourcesOf(item, itemNode, jsonStep) : []
  })
}

function jsonStepOf(text: string, node: Node): string | undefined {
  const json = text.slice(node.range?.[0], node.range?.[1])
  try {
    JSON.parse(json)
  } catch {
    return undefined
  }
  return /^\{\r?\n([ \t]+)"/.exec(json)?.[1] ?? ''
}

function manifests(
  text: string,
  resources: readonly Resource[],
  lineAt: (offset: number) => number
): Manifests {
  return {
    resources,
    lineOf({ node }, path) {
      try {
        return lineAt(offsetAt(node, path))
      } catch (thrown) {
        if (thrown instanceof Unreachable) return lineAt(thrown.offset)
        throw thrown
      }
    },
    edits({ node, jsonStep }, changes) {
      if (changes.length === 0) return []
      try {
        return changes.map(change => editOf({ text, root: node, jsonStep }, change))
      } catch (thrown) {
        if (!(thrown instanceof Unreachable)) throw thrown
        return { line: lineAt(thrown.offset), message: thrown.message }
      }
    }
  }
}
