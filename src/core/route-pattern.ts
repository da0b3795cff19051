/**
 * The key of a rule: `METHODS /path`, its grammar, and how specific each segment is.
 *
 *   GET,HEAD /api/scans/{scanId}     literal segments, parameters, typed parameters ({id:uuid}),
 *   "* /internal/{rest...}"          enums ({level:low|high}), and one rest, last
 *
 * No regular expressions and no globs: so whether two keys share a request is decided exactly.
 * Source: the grammar in the README's chapter on the route file.
 */

/** What a rule can name. `*` stands for all of them but OPTIONS. */
export const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const
export const WILDCARD_METHODS: readonly string[] = METHODS.filter(method => method !== 'OPTIONS')

const MAX_SEGMENTS = 32

/** Each type's own alphabet is unreserved, so a raw segment is tested without decoding it. */
const TYPES = {
  int: /^(?:0|[1-9][0-9]{0,18})$/,
  uuid: /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i,
  slug: /^(?=.{1,128}$)[a-z0-9]+(?:-[a-z0-9]+)*$/,
  hex24: /^[0-9a-f]{24}$/i
} as const satisfies Record<string, RegExp>

export type SegmentType = keyof typeof TYPES

export type Segment =
  | { readonly kind: 'literal'; readonly text: string }
  | { readonly kind: 'enum'; readonly name: string; readonly values: readonly string[] }
  | { readonly kind: 'typed'; readonly name: string; readonly type: SegmentType }
  | { readonly kind: 'any' | 'rest'; readonly name: string }

export interface PathPattern {
  /** As written. */
  readonly path: string
  readonly segments: readonly Segment[]
  /** Names in order of appearance, a rest included. */
  readonly params: readonly string[]
}

export interface RoutePattern extends PathPattern {
  /** Sorted; `*` spelt out. */
  readonly methods: readonly string[]
  readonly isWildcard: boolean
}

/** Why a key is refused, for the person who wrote it. */
export interface KeyProblem {
  readonly problem: string
}

const RANKS = { literal: 4, enum: 3, typed: 2, any: 1, rest: 0 } as const satisfies Record<
  Segment['kind'],
  number
>

/** 4 literal, 3 enum, 2 typed, 1 any, 0 rest: the higher one wins, segment by segment. */
export function rankOf(segment: Segment): number {
  return RANKS[segment.kind]
}

/** Whether one raw segment of a canonical target (not empty) is of this type. */
export function isOfType(type: SegmentType, raw: string): boolean {
  return TYPES[type].test(raw)
}

/** Whether one raw segment is what this place of the pattern asks for. */
export function matchesSegment(segment: Segment, raw: string): boolean {
  if (segment.kind === 'literal') return segment.text === raw
  if (segment.kind === 'enum') return segment.values.includes(raw)
  return segment.kind !== 'typed' || isOfType(segment.type, raw)
}

export function parseKey(key: string): RoutePattern | KeyProblem {
  const space = key.indexOf(' ')
  if (space < 0) return problem('a key is METHOD, one space and a path, as in "GET /api/scans"')
  const methods = parseMethods(key.slice(0, space))
  if ('problem' in methods) return methods
  const path = parsePath(key.slice(space + 1))
  return 'problem' in path ? path : { ...path, ...methods }
}

/** For keys that were checked before: throws TypeError where one does not parse. */
export function parseOrThrow(key: string): RoutePattern {
  const pattern = parseKey(key)
  if ('problem' in pattern) throw new TypeError(`${key}: ${pattern.problem}`)
  return pattern
}

function parsePath(path: string): PathPattern | KeyProblem {
  if (!path.startsWith('/')) return problem(`the path ${quote(path)} must begin with "/"`)
  const texts = path === '/' ? [] : path.slice(1).split('/')
  if (texts.at(-1) === '') return problem('a path is written without a last slash; it matches both')
  if (texts.length > MAX_SEGMENTS) return problem(`a path has at most ${MAX_SEGMENTS} segments`)
  const segments: Segment[] = []
  const params: string[] = []
  for (const text of texts) {
    const segment = parseSegment(text)
    if ('problem' in segment) return segment
    if (segments.at(-1)?.kind === 'rest') return problem('a rest stands at the end of a path only')
    segments.push(segment)
    if (segment.kind === 'literal') continue
    if (params.includes(segment.name)) return problem(`two parameters are named "${segment.name}"`)
    params.push(segment.name)
  }
  return { path, segments, params }
}

type Methods = Pick<RoutePattern, 'methods' | 'isWildcard'>

const EVERY: Methods = { methods: WILDCARD_METHODS.toSorted(), isWildcard: true }
/** Most of thousands of keys name one method: one list of it serves them all. */
const SINGLE = new Map<string, Methods>(
  METHODS.map(method => [method, { methods: [method], isWildcard: false }])
)

function parseMethods(text: string): Methods | KeyProblem {
  if (text === '*') return EVERY
  const single = SINGLE.get(text)
  if (single) return single
  const methods = text.split(',')
  for (const method of methods) {
    if (!METHODS.some(known => known === method)) {
      return problem(`${quote(method)} is not a method; use ${METHODS.join(' ')}, or * alone`)
    }
  }
  if (new Set(methods).size < methods.length) return problem('a method stands twice')
  return { methods: methods.toSorted(), isWildcard: false }
}

const LITERAL = /^[A-Za-z0-9._~:@$!+,=-]{1,128}$/
const NAME = /^[A-Za-z][A-Za-z0-9_]{0,31}$/

function isLiteral(text: string): boolean {
  return LITERAL.test(text) && text !== '.' && text !== '..'
}

function parseSegment(text: string): Segment | KeyProblem {
  if (text === '') return problem('a path has no empty segment')
  if (!text.startsWith('{') || !text.endsWith('}')) {
    if (isLiteral(text)) return { kind: 'literal', text }
    if (/[{}]/.test(text)) return problem(`a parameter fills its whole segment, not ${quote(text)}`)
    return problem(
      `${quote(text)} is no literal segment: 1 to 128 of A-Z a-z 0-9 - . _ ~ : @ $ ! + , = but not "." or ".."`
    )
  }
  const inner = text.slice(1, -1)
  if (inner.endsWith('...')) return named('rest', inner.slice(0, -3))
  const colon = inner.indexOf(':')
  if (colon < 0) return named('any', inner)
  const any = named('any', inner.slice(0, colon))
  return 'problem' in any ? any : parseType(any.name, inner.slice(colon + 1))
}

function named(
  kind: 'any' | 'rest',
  name: string
): { readonly kind: 'any' | 'rest'; readonly name: string } | KeyProblem {
  if (NAME.test(name)) return { kind, name }
  return problem(`${quote(name)} is no name: a letter, then up to 31 letters, digits or "_"`)
}

function isType(text: string): text is SegmentType {
  return Object.hasOwn(TYPES, text)
}

function parseType(name: string, type: string): Segment | KeyProblem {
  if (isType(type)) return { kind: 'typed', name, type }
  const values = type.split('|')
  if (values.length === 1) {
    return problem(
      `${quote(type)} is no type: int, uuid, slug, hex24, or values as in {level:low|high}`
    )
  }
  const bad = values.find(value => !isLiteral(value))
  if (bad !== undefined)
    return problem(`${quote(bad)} cannot be a value; it is written as a literal`)
  if (new Set(values).size < values.length) return problem(`a value of {${name}} stands twice`)
  return { kind: 'enum', name, values }
}

function quote(text: string): string {
  return JSON.stringify(text)
}

function problem(text: string): KeyProblem {
  return { problem: text }
}
