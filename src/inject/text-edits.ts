/**
 * Changes as edits of the text they concern: nothing else of a file moves, neither comment nor order,
 * nor the way a value is written.
 */
import { isCollection, isMap, isSeq, type Node } from 'yaml'
import type { Change } from './changes.ts'
import type { Fields } from './fields.ts'
import { endOf, type Followed, follow, nodeOrNothing, startOf, Unreachable } from './places.ts'
import { renderBlock, renderFlow, renderJson } from './render.ts'

export interface Edit {
  readonly from: number
  readonly to: number
  readonly text: string
  /** Of several insertions at one place, the one into the innermost node comes first. */
  readonly depth: number
}

type Insertion = Omit<Edit, 'depth'>

export function applyEdits(text: string, edits: readonly Edit[]): string {
  const ordered = edits.toSorted((a, b) => a.from - b.from || b.depth - a.depth)
  let done = 0
  let result = ''
  for (const { from, to, text: inserted } of ordered) {
    result += text.slice(done, from) + inserted
    done = to
  }
  return result + text.slice(done)
}

export interface Written {
  readonly text: string
  /** The node of the resource. */
  readonly root: Node
  /** As JSON: with what each level is indented; undefined: not as JSON. */
  readonly jsonStep: string | undefined
}

/** Throws Unreachable. */
export function editOf({ text, root, jsonStep }: Written, change: Change): Edit {
  const place = follow(root, change.path)
  const depth = change.path.length - place.missing.length
  const indentSeq = !(hasFlushLists(text, place.node) ?? hasFlushLists(text, root) ?? false)
  const writer = { text, indentSeq, jsonStep }
  return { ...insertionOf(writer, place, change), depth }
}

function insertionOf(writer: Writer, place: Followed, change: Change): Insertion {
  const { node, missing } = place
  if (missing.length > 0) {
    const value = missing.reduceRight<unknown>(
      (inner, step) => ({ [step]: inner }),
      newValue(change)
    )
    return addMembers(writer, place, toFields(value))
  }
  switch (change.kind) {
    case 'set':
      return replaceNode(writer, node, change.value)
    case 'add':
      return addMembers(writer, place, change.members)
    case 'append':
      return appendItems(writer, place, change.items)
  }
}

interface Writer {
  readonly text: string
  readonly indentSeq: boolean
  readonly jsonStep: string | undefined
}

function newValue(change: Change): unknown {
  if (change.kind === 'set') return change.value
  return change.kind === 'add' ? change.members : change.items
}

function toFields(value: unknown): Fields {
  return Object.fromEntries(Object.entries(Object(value)))
}

function columnOf(text: string, offset: number): number {
  return offset - (text.lastIndexOf('\n', offset - 1) + 1)
}

/** Whether the first list in here has its dashes under its key, as kubectl writes them. */
function hasFlushLists(text: string, node: unknown): boolean | undefined {
  if (isSeq(node)) return firstKnown(node.items.map(item => hasFlushLists(text, item)))
  if (!isMap(node)) return undefined
  const own = node.items.flatMap(({ key, value }) => {
    if (!isSeq(value) || value.flow === true || value.items.length === 0) return []
    return [columnOf(text, startOf(value)) === columnOf(text, startOf(nodeOrNothing(key)))]
  })
  return own[0] ?? firstKnown(node.items.map(({ value }) => hasFlushLists(text, value)))
}

function firstKnown(found: readonly (boolean | undefined)[]): boolean | undefined {
  return found.find(value => value !== undefined)
}

/** The end of a line, and of the comments below it that are indented like what is added. */
function lineEnd(text: string, offset: number, column: number): number {
  // A block scalar ends behind its last line's end.
  let at = text[offset - 1] === '\n' ? offset - 1 : text.indexOf('\n', offset)
  if (at === -1) at = text.length
  for (;;) {
    const next = text.slice(at + 1).match(/^( *)#[^\n]*/)
    if (!next || (next[1] ?? '').length < column || text[at] !== '\n') break
    at += 1 + next[0].length
  }
  return text[at - 1] === '\r' ? at - 1 : at
}

function lines(text: string, rendered: readonly string[], column: number): string {
  const end = text.includes('\r\n') ? '\r\n' : '\n'
  return rendered.map(line => (line === '' ? end : end + ' '.repeat(column) + line)).join('')
}

function replaceNode(writer: Writer, node: Node, value: unknown): Insertion {
  const { text, indentSeq } = writer
  const from = startOf(node)
  if (!isCollection(node) || node.flow === true) {
    const to = node.range?.[1] ?? from
    return { from, to, text: inline(writer, value, from) }
  }
  const to = trimmedEnd(text, endOf(node))
  const column = columnOf(text, from)
  const [first = '', ...rest] = renderBlock(value, { indentSeq })
  return { from, to, text: first + lines(text, rest, column) }
}

/** Within braces, or alone on its line. `at`: on a line that is indented like the value is to be. */
function inline({ text, jsonStep }: Writer, value: unknown, at: number): string {
  if (jsonStep === undefined) return renderFlow(value)
  return renderJson(value, { step: jsonStep, base: indentationAt(text, at) })
}

function indentationAt(text: string, offset: number): string {
  const start = text.lastIndexOf('\n', offset - 1) + 1
  return /^[ \t]*/.exec(text.slice(start, offset))?.[0] ?? ''
}

function trimmedEnd(text: string, end: number): number {
  return end - (text.slice(0, end).match(/\s*$/)?.[0].length ?? 0)
}

function addMembers(writer: Writer, place: Followed, members: Fields): Insertion {
  const { node } = place
  if (isMap(node) && node.items.length > 0) {
    return node.flow ? addToFlow(writer, node, members) : addToBlock(writer, node, members)
  }
  return fillEmpty(writer, place, members)
}

function appendItems(writer: Writer, place: Followed, items: readonly unknown[]): Insertion {
  const { node } = place
  if (!isSeq(node) || node.items.length === 0) return fillEmpty(writer, place, items)
  if (node.flow) return addToFlow(writer, node, items)
  return addToBlock(writer, node, items)
}

/** On lines of their own where the others are; else all on the one line. */
function addToFlow(given: Writer, node: Node & { items: unknown[] }, added: unknown): Insertion {
  const { text } = given
  const at = endOf(node.items.at(-1))
  const isSpread = text.slice(at, node.range?.[1]).includes('\n')
  const isCompact = given.jsonStep !== undefined && !isSpread
  const writer = isCompact ? { ...given, jsonStep: '' } : given
  const separator = isSpread ? `,\n${indentationAt(text, at)}` : ', '
  const parts = Array.isArray(added)
    ? added.map(item => inline(writer, item, at))
    : Object.entries(Object(added)).map(([name, value]) => member(writer, name, value, at))
  return { from: at, to: at, text: parts.map(part => separator + part).join('') }
}

function member(writer: Writer, name: string, value: unknown, at: number): string {
  if (writer.jsonStep !== undefined) return `${JSON.stringify(name)}: ${inline(writer, value, at)}`
  return renderFlow({ [name]: value })
    .slice(1, -1)
    .trim()
}

function addToBlock({ text, indentSeq }: Writer, node: Node, added: unknown): Insertion {
  const column = columnOf(text, startOf(node))
  const at = lineEnd(text, endOf(node), column)
  return {
    from: at,
    to: at,
    text: lines(text, renderBlock(added, { indentSeq }), column)
  }
}

/** `key:`, `key: null`, `key: {}` or `key: []`; within braces it stays on its line. */
function fillEmpty(writer: Writer, place: Followed, value: unknown): Insertion {
  const { text, indentSeq } = writer
  const { node, key, isInFlow } = place
  if (!key) throw new Unreachable(startOf(node))
  const colon = text.indexOf(':', endOf(key))
  const column = columnOf(text, startOf(key))
  const end = Math.max(colon + 1, node.range?.[1] ?? 0)
  if (isInFlow) return { from: colon + 1, to: end, text: ` ${inline(writer, value, colon)}` }
  const isFlushList = Array.isArray(value) && !indentSeq
  const inner = column + (isFlushList ? 0 : 2)
  const rendered = lines(text, renderBlock(value, { indentSeq }), inner)
  return { from: colon + 1, to: end, text: rendered }
}
