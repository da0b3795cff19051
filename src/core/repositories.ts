/**
 * Where a request names repositories, against the list a token is limited to. Absent is not allowed,
 * two readings are refused, and every binding of a rule has to be allowed. Values are compared byte
 * by byte after one decoding.
 * Source: README, the route file, repositories; WHATWG URL (application/x-www-form-urlencoded).
 */
import { type Denial, deny } from './decision.ts'
import type { Head } from './head.ts'
import type { Binding, Rule } from './rule.ts'
import { parseStrictJson } from './strict-json.ts'
import { decodeSegment, type Target } from './target.ts'

type Allowed = readonly string[]

/** `body-needed`: nothing is refused so far, and the body has to be looked at. */
export function denyRepositories(
  { bindings }: Rule,
  params: readonly string[],
  target: Target,
  allowed: Allowed
): Denial | 'body-needed' | undefined {
  if (!bindings) return denied('no-binding')
  const hasUpstream = leavesToUpstream(bindings)
  let needsBody = false
  for (const binding of bindings) {
    const verdict = denyBinding(binding, { params, target, allowed, hasUpstream })
    if (verdict === 'body') needsBody = true
    else if (verdict) return verdict
  }
  return needsBody ? 'body-needed' : undefined
}

interface Asked {
  readonly params: readonly string[]
  readonly target: Target
  readonly allowed: Allowed
  readonly hasUpstream: boolean
}

function denyBinding(binding: Binding, asked: Asked): Denial | 'body' | undefined {
  switch (binding.kind) {
    case 'path':
      return denyValue(decodeSegment(asked.params[binding.index] ?? ''), asked)
    case 'query': {
      const value = readQuery(asked.target.query, binding.name)
      return typeof value === 'object' ? value : denyValue(value, asked)
    }
    case 'body':
    case 'body-list':
      return 'body'
    case 'upstream':
    case 'none':
      return undefined
  }
}

/** Undefined: the request does not name one. */
function denyValue(
  value: string | undefined,
  { allowed, hasUpstream }: Pick<Asked, 'allowed' | 'hasUpstream'>
): Denial | undefined {
  if (value === undefined) return hasUpstream ? undefined : denied('absent')
  return allowed.includes(value) ? undefined : denied('not-allowed')
}

function denied(reason: string): Denial {
  return deny('REPOSITORY_DENIED', {
    body: { error: 'This token does not have access to this repository' },
    reason
  })
}

function ambiguous(reason: string): Denial {
  return deny('MALFORMED_REQUEST', { reason })
}

/** `upstream` stands beside other bindings: what the request leaves out, the upstream narrows. */
function leavesToUpstream(bindings: readonly Binding[]): boolean {
  return bindings.some(({ kind }) => kind === 'upstream')
}

/**
 * The value of one parameter; undefined where it is not there. Servers differ on a name that stands
 * twice, on `name[]`, on `name.x`, on case and on `;`, so each of these is refused.
 */
export function readQuery(query: string | undefined, name: string): string | Denial | undefined {
  if (query === undefined) return undefined
  if (query.includes(';')) return ambiguous('query-separator')
  let found: string | undefined
  for (const pair of query.split('&')) {
    const equals = pair.indexOf('=')
    const key = decodeForm(equals < 0 ? pair : pair.slice(0, equals))
    const value = decodeForm(equals < 0 ? '' : pair.slice(equals + 1))
    if (key === undefined || value === undefined) return ambiguous('query-encoding')
    if (!isLike(key, name)) continue
    if (key !== name || found !== undefined) return ambiguous('query-twins')
    found = value
  }
  return found
}

/** Undefined: its escapes are no UTF-8. */
function decodeForm(text: string): string | undefined {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    return undefined
  }
}

/** The name itself, in another case, or with what some servers read as a path or cut off behind it. */
function isLike(key: string, name: string): boolean {
  const folded = foldCase(key.trim())
  const wanted = foldCase(name)
  // PHP writes these as underscores into its variables.
  if (folded.replaceAll(/[. ]/g, '_') === wanted) return true
  return folded.startsWith(wanted) && /^(?:$|[[.\0])/.test(folded.slice(wanted.length))
}

/**
 * The same for all names that some reader takes for one. Down alone is not enough: a long s is
 * lower-case, and servers that match names without case read it as an `s`.
 */
function foldCase(name: string): string {
  return name.toUpperCase().toLowerCase()
}

const JSON_TYPE = /^application\/json[\t ]*(?:;[\t ]*charset=(?:utf-8|"utf-8")[\t ]*)?$/i

/** `body`: as received, zero bytes where there is none. Only for rules that bind to the body. */
export function denyBodyRepositories(
  { bindings = [] }: Rule,
  head: Head,
  body: Uint8Array,
  allowed: Allowed
): Denial | undefined {
  const hasUpstream = leavesToUpstream(bindings)
  const object = body.length === 0 ? new Map<string, unknown>() : readObject(head, body)
  if ('kind' in object) return object
  for (const binding of bindings) {
    if (binding.kind !== 'body' && binding.kind !== 'body-list') continue
    const member = { name: binding.name, isList: binding.kind === 'body-list' }
    const refused = denyMember(member, object, { allowed, hasUpstream })
    if (refused) return refused
  }
  return undefined
}

function readObject(head: Head, body: Uint8Array): ReadonlyMap<string, unknown> | Denial {
  if (head.contentEncoding !== undefined && head.contentEncoding.toLowerCase() !== 'identity') {
    return deny('UNSUPPORTED_CONTENT_ENCODING')
  }
  if (!JSON_TYPE.test(head.contentType ?? '')) return deny('UNSUPPORTED_MEDIA_TYPE')
  const parsed = parseStrictJson(body)
  if ('problem' in parsed) return ambiguous(`body-${parsed.problem}`)
  const { value } = parsed
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
  return isObject ? new Map(Object.entries(value)) : ambiguous('body-no-object')
}

const MOST_IDS = 100

function denyMember(
  { name, isList }: { readonly name: string; readonly isList: boolean },
  object: ReadonlyMap<string, unknown>,
  asked: Pick<Asked, 'allowed' | 'hasUpstream'>
): Denial | undefined {
  const folded = foldCase(name)
  const twins = [...object.keys()].filter(key => foldCase(key) === folded)
  if (twins.some(key => key !== name)) return ambiguous('body-twins')
  const value = object.get(name) ?? undefined
  if (value === undefined) return denyValue(undefined, asked)
  if (!isList) return typeof value === 'string' ? denyValue(value, asked) : ambiguous('body-type')
  if (!isTextList(value) || value.length > MOST_IDS) return ambiguous('body-type')
  if (value.length === 0) return denyValue(undefined, asked)
  return value.map(id => denyValue(id, asked)).find(refused => refused !== undefined)
}

function isTextList(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every(item => typeof item === 'string')
}
