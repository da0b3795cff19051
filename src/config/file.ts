/**
 * The settings file: one YAML mapping of setting names to values. Every scalar is read as the text
 * that stands there, so a value means the same here as in the environment.
 */
import { isMap, isScalar, isSeq, LineCounter, parseDocument } from 'yaml'
import { nearest } from './nearest.ts'

/** What is wrong with one setting. No part of it repeats a value. */
export interface Problem {
  /** The setting's name; the file's path where it is wrong as a whole. */
  readonly name: string
  /** `environment`, or `file:line:col`. */
  readonly place: string
  /** The end of a sentence that begins with the name. */
  readonly message: string
}

export interface Given {
  readonly text: string
  readonly place: string
}

export interface SettingsFile {
  readonly given: ReadonlyMap<string, Given>
  readonly problems: readonly Problem[]
}

/** `known`: the keys there are, and the shape of those that are no plain text. */
export function parseSettingsFile(
  path: string,
  source: string,
  known: ReadonlyMap<string, 'text' | 'list' | 'map'>
): SettingsFile {
  const lines = new LineCounter()
  const document = parseDocument(source, {
    schema: 'failsafe',
    prettyErrors: false,
    lineCounter: lines
  })
  const given = new Map<string, Given>()
  const problems: Problem[] = []
  const placeOf = (offset: number) => {
    const { line, col } = lines.linePos(offset)
    return `${path}:${line}:${col}`
  }
  // The parser's own messages quote the source, which may be a secret: its codes do not.
  for (const { code, pos } of document.errors) {
    const message = `is no valid YAML: ${code.toLowerCase().replaceAll('_', ' ')}`
    problems.push({ name: path, place: placeOf(pos[0]), message })
  }
  const root: unknown = document.contents
  const isEmpty = root === null || (isScalar(root) && root.value === '')
  if (problems.length > 0 || isEmpty) return { given, problems }
  if (!isMap(root)) {
    return { given, problems: [{ name: path, place: `${path}:1:1`, message: 'is no mapping' }] }
  }
  for (const { key, value } of root.items) {
    const name = isScalar(key) ? String(key.value) : ''
    const place = placeOf(isScalar(key) ? (key.range?.[0] ?? 0) : 0)
    const shape = known.get(name)
    const text = shape && textOf(value, shape)
    if (shape === undefined) problems.push({ name, place, message: explainUnknown(name, known) })
    else if (text === undefined) problems.push({ name, place, message: EXPECTED[shape] })
    else given.set(name, { text, place })
  }
  return { given, problems }
}

const EXPECTED = {
  text: 'must be one plain value',
  list: 'must be a list of plain values, or one text with commas',
  map: 'must be a mapping of plain values, or one text of JSON'
} as const

function explainUnknown(name: string, known: ReadonlyMap<string, unknown>): string {
  const meant = nearest(name.toUpperCase(), [...known.keys()])
  const isOtherCase = known.has(name.toUpperCase())
  const suggestion = isOtherCase ? name.toUpperCase() : meant
  return suggestion === undefined ? 'is no setting' : `is no setting. Did you mean ${suggestion}?`
}

/** Undefined: neither a plain value nor of the setting's own shape; aliases are neither. */
function textOf(node: unknown, shape: 'text' | 'list' | 'map'): string | undefined {
  if (isScalar(node)) return String(node.value)
  if (shape === 'list' && isSeq(node) && node.items.every(item => isScalar(item))) {
    return node.items.map(item => String(item.value)).join(',')
  }
  if (shape === 'map' && isMap(node) && node.items.every(({ value }) => isScalar(value))) {
    return JSON.stringify(node.toJSON())
  }
  return undefined
}
