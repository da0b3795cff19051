/**
 * Places in parsed YAML: the node at a path, and where nodes begin and end in the text. Source: YAML 1.2,
 * and the offsets that the yaml package keeps.
 */
import { isAlias, isCollection, isMap, isPair, isScalar, isSeq, type Node } from 'yaml'
import type { Path } from './fields.ts'

/** What is to be changed stands elsewhere: an alias, or a merged map. */
export class Unreachable extends Error {
  readonly offset: number

  constructor(offset: number) {
    super('is an alias: write out what it stands for')
    this.offset = offset
  }
}

export interface Followed {
  /** The last one there is. */
  readonly node: Node
  /** The steps after it. */
  readonly missing: Path
  /** Of the pair whose value the node is. */
  readonly key: Node | undefined
  /** Within braces or brackets. */
  readonly isInFlow: boolean
}

export function follow(root: Node, path: Path): Followed {
  let place: Followed = { node: root, missing: [], key: undefined, isInFlow: isFlow(root) }
  for (const [i, step] of path.entries()) {
    const found = stepInto(place.node, step)
    if (found === undefined) return { ...place, missing: path.slice(i) }
    if (isAlias(found.node)) throw new Unreachable(startOf(found.node))
    place = { ...place, ...found, isInFlow: place.isInFlow || isFlow(place.node) }
  }
  return place
}

function isFlow(node: Node): boolean {
  return isCollection(node) && node.flow === true
}

function stepInto(node: Node, step: string | number): Pick<Followed, 'node' | 'key'> | undefined {
  if (isSeq(node)) {
    const item = node.items[Number(step)]
    return isNode(item) ? { node: item, key: undefined } : undefined
  }
  if (!isMap(node)) return undefined
  const pair = node.items.find(({ key }) => isScalar(key) && key.value === step)
  if (pair && isNode(pair.value)) return { node: pair.value, key: nodeOrNothing(pair.key) }
  if (pair) return undefined
  const merged = node.items.find(({ key }) => isScalar(key) && key.value === '<<')
  if (merged) throw new Unreachable(startOf(nodeOrNothing(merged.key)))
  return undefined
}

function isNode(value: unknown): value is Node {
  return isScalar(value) || isCollection(value) || isAlias(value)
}

export function nodeOrNothing(value: unknown): Node | undefined {
  return isNode(value) ? value : undefined
}

export function startOf(node: Node | undefined): number {
  return node?.range?.[0] ?? 0
}

/** Where the content of a node or a pair ends, without comments after it. */
export function endOf(item: unknown): number {
  if (isPair(item)) return Math.max(endOf(item.key), endOf(item.value))
  if (!isNode(item)) return 0
  const isBlock = isCollection(item) && item.flow !== true && item.items.length > 0
  return isBlock ? endOf(item.items.at(-1)) : (item.range?.[1] ?? 0)
}

/** The key of a map under which something stands, for messages. */
export function offsetAt(root: Node, path: Path): number {
  const { node, key } = follow(root, path)
  return startOf(key ?? node)
}
