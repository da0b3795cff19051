/** A path template of OpenAPI → segments of a route key, parameters typed by their schemas. */
import { parseKey } from '../core/route-pattern.ts'
import type { Members } from './openapi.ts'

export interface WrittenPath {
  readonly segments: readonly string[]
  readonly note: string | undefined
}

export function segmentsOf(template: string, schemaOf: (name: string) => Members): WrittenPath {
  const [path = ''] = template.split(/[?#]/, 1)
  const names = new Set<string>()
  const mixed: string[] = []
  const segments = path
    .replace(/^\/|\/$/g, '')
    .split('/')
    .filter((text, i, all) => text !== '' || all.length > 1 || i > 0)
    .map(text => {
      const parts = [...text.matchAll(/\{([^{}]+)\}/g)].map(found => found[1] ?? '')
      const [only] = parts
      if (only === undefined) return text
      const isWhole = parts.length === 1 && text === `{${only}}`
      if (!isWhole) mixed.push(text)
      const name = newName(parts.join('_'), names)
      return isWhole ? parameter(name, schemaOf(only)) : `{${name}}`
    })
  const note = mixed.length === 0 ? undefined : `wider than ${mixed.join(', ')}`
  return { segments, note }
}

/** A name of the grammar, each once in a path. */
function newName(text: string, taken: Set<string>): string {
  const clean = text.replaceAll(/\W/g, '_').replace(/^(?![A-Za-z])/, 'p')
  let name = clean.slice(0, 32)
  for (let i = 2; taken.has(name); i++) name = `${clean.slice(0, 29)}_${i}`
  taken.add(name)
  return name
}

const HEX24 = /^\^?(?:\[(?:0-9|\\d|a-f|A-F)+\])\{24\}\$?$/

function parameter(name: string, { type, format, pattern, enum: listed }: Members): string {
  const values = Array.isArray(listed) ? [...new Set(listed.map(String))] : []
  const [only] = values
  if (only !== undefined && values.length === 1 && isWritable(only)) return only
  const choice = `{${name}:${values.join('|')}}`
  if (values.length > 1 && isWritable(choice)) return choice
  if (type === 'integer') return `{${name}:int}`
  if (format === 'uuid') return `{${name}:uuid}`
  if (typeof pattern === 'string' && HEX24.test(pattern)) return `{${name}:hex24}`
  return `{${name}}`
}

function isWritable(segment: string): boolean {
  return !('problem' in parseKey(`GET /${segment}`))
}
