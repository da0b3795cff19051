/**
 * YAML text → a tree in which everything knows its line and column.
 *
 * YAML 1.2, one document, one meaning: no anchors, aliases, tags and merge keys, no key twice.
 * Whatever is not plain data is a finding, so that the file says what it seems to say.
 */
import {
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  parseDocument,
  type ParsedNode,
  type YAMLMap
} from 'yaml'
import type { Place } from '../core/rule.ts'
import { placeSeenFrom, type Report } from './findings.ts'

export type Scalar = string | number | boolean | null

export interface ScalarNode {
  readonly kind: 'scalar'
  readonly place: Place
  readonly value: Scalar
}

export interface ListNode {
  readonly kind: 'list'
  readonly place: Place
  readonly items: readonly Node[]
}

export interface MapNode {
  readonly kind: 'map'
  readonly place: Place
  /** In the order of the text; each key once. */
  readonly entries: readonly Entry[]
}

export type Node = ScalarNode | ListNode | MapNode

export interface Entry {
  readonly key: string
  readonly place: Place
  readonly value: Node
}

/** One mistake can make a parser complain about every following line. */
const MAX_SYNTAX_FINDINGS = 20

/** The root of the text, or undefined where it is no YAML at all; `report` has been told why. */
export function parseYaml(text: string, file: string, report: Report): Node | undefined {
  const lines = new LineCounter()
  const document = parseDocument(text, {
    version: '1.2',
    schema: 'core',
    merge: false,
    stringKeys: true,
    uniqueKeys: false,
    prettyErrors: false,
    logLevel: 'error',
    lineCounter: lines
  })
  const placeAt = (offset: number): Place => ({ file, ...lines.linePos(offset) })
  for (const { pos, message } of document.errors.slice(0, MAX_SYNTAX_FINDINGS)) {
    report('yaml', placeAt(pos[0]), message)
  }
  if (document.directives.yaml.explicit) report('yaml', placeAt(0), 'directives are not allowed')
  if (document.errors.length > 0) return undefined
  return toNode(document.contents, placeAt(0), { report, placeAt })
}

/** Plain data, for the shape check. */
export function plain(node: Node): unknown {
  if (node.kind === 'scalar') return node.value
  if (node.kind === 'list') return node.items.map(plain)
  return Object.fromEntries(node.entries.map(entry => [entry.key, plain(entry.value)]))
}

/** The value of a key, where the map has it. */
export function valueOf(node: MapNode, key: string): Node | undefined {
  return node.entries.find(entry => entry.key === key)?.value
}

interface Reading {
  readonly report: Report
  readonly placeAt: (offset: number) => Place
}

/** `fallback` is where a missing value is looked for: at its key. */
function toNode(from: ParsedNode | null, fallback: Place, reading: Reading): Node {
  if (from === null) return { kind: 'scalar', place: fallback, value: null }
  const { report, placeAt } = reading
  const place = placeAt(from.range[0])
  if (isAlias(from)) {
    report('yaml', place, 'aliases are not allowed; write the value out')
    return { kind: 'scalar', place, value: null }
  }
  denyProperties(from, place, report)
  if (isMap(from)) return { kind: 'map', place, entries: toEntries(from, reading) }
  if (isSeq(from)) {
    return { kind: 'list', place, items: from.items.map(item => toNode(item, place, reading)) }
  }
  return { kind: 'scalar', place, value: toScalar(from.value) }
}

function denyProperties(from: ParsedNode, place: Place, report: Report): void {
  if ('anchor' in from && from.anchor !== undefined)
    report('yaml', place, 'anchors are not allowed')
  if (from.tag !== undefined) report('yaml', place, 'tags are not allowed')
}

function toEntries(from: YAMLMap.Parsed, reading: Reading): readonly Entry[] {
  const { report, placeAt } = reading
  const entries = new Map<string, Entry>()
  for (const pair of from.items) {
    const place = placeAt(pair.key.range[0])
    const key = isScalar(pair.key) ? String(pair.key.value) : ''
    denyProperties(pair.key, place, report)
    if (key === '<<') report('yaml', place, 'merge keys are not allowed; write the keys out')
    const first = entries.get(key)
    if (first)
      report(
        'duplicate',
        place,
        `"${key}" stands twice, first in ${placeSeenFrom(place, first.place)}`
      )
    else entries.set(key, { key, place, value: toNode(pair.value, place, reading) })
  }
  return [...entries.values()]
}

/** The core schema makes text, numbers, booleans and null; nothing else reaches this. */
function toScalar(value: unknown): Scalar {
  const isData =
    typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
  return isData ? value : null
}
