/**
 * The one reading of JSON: UTF-8 without BOM, one value, bounded depth, no member twice. Two parsers
 * that meet such a text agree about it; what they could read in two ways is refused.
 *
 * The value is JSON.parse's own. What that function hides is found by one pass over the text that it
 * has accepted: so the text is well-formed here, and only strings and brackets have to be told apart.
 * Source: RFC 8259 sections 4 and 8; RFC 7493 (I-JSON) section 2.3.
 */

export type StrictJson = { readonly value: unknown } | { readonly problem: JsonProblem }
export type JsonProblem = 'encoding' | 'syntax' | 'depth' | 'duplicate-member' | 'unsafe-member'

const MAX_DEPTH = 64

export function parseStrictJson(bytes: Uint8Array): StrictJson {
  const text = decode(bytes)
  if (text === undefined) return { problem: 'encoding' }
  // Before parsing: a megabyte of brackets must not become a megabyte of nesting.
  if (isTooDeep(text)) return { problem: 'depth' }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return { problem: 'syntax' }
  }
  const problem = findMemberProblem(text)
  return problem ? { problem } : { value }
}

const UTF_8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const BOM = '\u{FEFF}'

/** Undefined: no UTF-8, or a byte order mark, which some parsers drop and others refuse. */
function decode(bytes: Uint8Array): string | undefined {
  try {
    const text = UTF_8.decode(bytes)
    return text.startsWith(BOM) ? undefined : text
  } catch {
    return undefined
  }
}

/** A string, or one bracket, colon or comma; what is between them does not matter here. */
const TOKENS = /"(?:[^"\\]|\\.)*"|[[\]{}:,]/gs

function isTooDeep(text: string): boolean {
  let depth = 0
  for (const [token] of text.matchAll(TOKENS)) {
    if (token === '[' || token === '{') depth += 1
    if (token === ']' || token === '}') depth -= 1
    if (depth > MAX_DEPTH) return true
  }
  return false
}

/** `text` is well-formed. A string before a colon is a name; names count after escapes. */
function findMemberProblem(text: string): JsonProblem | undefined {
  const open: (Set<string> | undefined)[] = []
  let last = ''
  for (const [token] of text.matchAll(TOKENS)) {
    if (token === '{') open.push(new Set())
    else if (token === '[') open.push(undefined)
    else if (token === '}' || token === ']') open.pop()
    else if (token === ':') {
      const name: unknown = JSON.parse(last)
      const names = open.at(-1)
      if (typeof name !== 'string' || names?.has(name)) return 'duplicate-member'
      if (name === '__proto__') return 'unsafe-member'
      names?.add(name)
    }
    last = token
  }
  return undefined
}
