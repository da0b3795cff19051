/**
 * The one reading of JSON: UTF-8 without BOM, one value, bounded depth, no member twice. Two parsers
 * that meet such a text agree about it; what they could read in two ways is refused.
 *
 * The value is JSON.parse's own. What that function hides is found by walking the text from bracket
 * to bracket and string to string; each character is passed once, whatever the text.
 * Source: RFC 8259 sections 4 and 8; RFC 7493 (I-JSON) section 2.3.
 */

export type StrictJson = { readonly value: unknown } | { readonly problem: JsonProblem }
export type JsonProblem = 'encoding' | 'syntax' | 'depth' | 'duplicate-member' | 'unsafe-member'

const MAX_DEPTH = 64

/** The length of `bytes` is the caller's to bound. */
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

/** Before it is known to be JSON: in any text at all, a quote opens what the next one closes. */
function isTooDeep(text: string): boolean {
  let depth = 0
  for (let at = 0; at < text.length; at++) {
    const char = text[at]
    if (char === '"') at = endOfString(text, at)
    else if (char === '[' || char === '{') depth++
    else if (char === ']' || char === '}') depth--
    if (depth > MAX_DEPTH) return true
  }
  return false
}

/** `text` is well-formed. A string before a colon is a name; names count after escapes. */
function findMemberProblem(text: string): JsonProblem | undefined {
  const open: (Set<string> | undefined)[] = []
  let string = ''
  for (let at = 0; at < text.length; at++) {
    const char = text[at]
    if (char === '"') {
      const end = endOfString(text, at)
      string = text.slice(at, end + 1)
      at = end
    } else if (char === '{' || char === '[') open.push(undefined)
    else if (char === '}' || char === ']') open.pop()
    else if (char === ':') {
      const name = string.includes('\\') ? String(JSON.parse(string)) : string.slice(1, -1)
      // Assigning this name, as merging and copying do, changes what an object inherits.
      if (name === '__proto__') return 'unsafe-member'
      const names = open.pop() ?? new Set()
      if (names.has(name)) return 'duplicate-member'
      open.push(names.add(name))
    }
  }
  return undefined
}

/** Index of the quote that closes the string opened at `from`; past the text where none does. */
function endOfString(text: string, from: number): number {
  let at = text.indexOf('"', from + 1)
  while (at >= 0 && isEscaped(text, at)) at = text.indexOf('"', at + 1)
  return at < 0 ? text.length : at
}

/** A run of backslashes is counted for the one quote behind it, so never twice. */
function isEscaped(text: string, quote: number): boolean {
  let first = quote
  while (text[first - 1] === '\\') first--
  return (quote - first) % 2 === 1
}
