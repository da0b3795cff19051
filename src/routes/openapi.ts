/**
 * An OpenAPI document → its operations, as far as a route file is concerned: method, path with the
 * server's prefix, and what a caller must hold. What does not say is never guessed.
 * Source: OpenAPI Specification 3.0.4 and 3.1.1 (server, path item, security requirement objects).
 */
import { parseDocument } from 'yaml'
import { METHODS } from '../core/route-pattern.ts'
import { segmentsOf } from './openapi-path.ts'

export interface Operation {
  readonly method: string
  /** In the grammar of route keys, where the path can be written in it. */
  readonly path: string
  readonly access: Access
  /** What a reader should know of the path; undefined: nothing. */
  readonly note: string | undefined
}

export type Access =
  | { readonly kind: 'public' }
  /** As the document names them; more than one: all, or any of them. */
  | { readonly kind: 'all' | 'any'; readonly scopes: readonly string[] }
  /** Nothing in the document decides; why, in a few words. */
  | { readonly kind: 'undecided'; readonly reason: string }

export interface OpenApi {
  /** `Title 1.2.3`. */
  readonly name: string
  readonly operations: readonly Operation[]
  /** What the document says of its scopes. */
  readonly scopeTexts: ReadonlyMap<string, string>
}

export interface OpenApiProblem {
  readonly problem: string
}

export type Members = Readonly<Record<string, unknown>>

export function membersOf(value: unknown): Members {
  return isMembers(value) ? value : {}
}

/** YAML reads some texts as numbers, versions above all. */
function textOf(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : ''
}

function isMembers(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function readOpenApi(text: string): OpenApi | OpenApiProblem {
  const document = parseDocument(text, { logLevel: 'silent' })
  const [error] = document.errors
  if (error) return { problem: `it is neither JSON nor YAML: ${error.message.split('\n', 1)[0]}` }
  const root: unknown = document.toJS()
  if (!isMembers(root)) return { problem: 'it is no OpenAPI document' }
  const version = root['openapi']
  if (typeof version !== 'string' || !/^3\.[01](?:\.|$)/.test(version)) {
    const swagger = textOf(root['swagger'])
    const found = textOf(version) || (swagger === '' ? 'none' : `Swagger ${swagger}`)
    return { problem: `it must be OpenAPI 3.0 or 3.1; its version is ${found}` }
  }
  const { title, version: release } = membersOf(root['info'])
  return {
    name: `${textOf(title) || 'An API'} ${textOf(release)}`.trim(),
    operations: operationsOf(root),
    scopeTexts: scopeTextsOf(root)
  }
}

function operationsOf(root: Members): readonly Operation[] {
  return Object.entries(membersOf(root['paths'])).flatMap(([path, given]) => {
    const item = resolve(given, root)
    return METHODS.flatMap(method => {
      const operation = item[method.toLowerCase()]
      return isMembers(operation) ? [toOperation(method, path, operation, item, root)] : []
    })
  })
}

function toOperation(
  method: string,
  path: string,
  operation: Members,
  item: Members,
  root: Members
): Operation {
  const parameters = [operation, item].flatMap(({ parameters: given }) =>
    Array.isArray(given) ? given.map(each => resolve(each, root)) : []
  )
  const servers = [operation, item, root].map(({ servers: given }) => given).find(Array.isArray)
  const schemaOf = (name: string) => {
    const found = parameters.find(each => each['in'] === 'path' && each['name'] === name)
    return resolve(found?.['schema'], root)
  }
  const { segments, note } = segmentsOf(prefixOf(servers?.[0]) + path, schemaOf)
  return { method, path: `/${segments.join('/')}`, access: accessOf(operation, item, root), note }
}

/** The path of a server's address, its variables at their defaults; without a last slash. */
function prefixOf(server: unknown): string {
  const { url, variables } = membersOf(server)
  if (typeof url !== 'string') return ''
  const filled = url.replaceAll(/\{([^}]*)\}/g, (_, name: string) =>
    textOf(membersOf(membersOf(variables)[name])['default'])
  )
  const path = filled.replace(/^(?:[a-z][a-z0-9+.-]*:)?\/\/[^/?#]*/i, '').replace(/[?#].*$/s, '')
  return path.replace(/\/+$/, '').replace(/^(?=[^/])/, '/')
}

/** References inside the document alone; what cannot be found says nothing. */
function resolve(value: unknown, root: Members, depth = 0): Members {
  const members = membersOf(value)
  const reference = members['$ref']
  if (typeof reference !== 'string') return members
  if (!reference.startsWith('#/') || depth > 10) return {}
  const keys = reference.slice(2).split('/').map(unescapePointer)
  const found = keys.reduce<unknown>((at, key) => membersOf(at)[key], root)
  return resolve(found, root, depth + 1)
}

/** Source: RFC 6901 sections 3 and 6. */
function unescapePointer(key: string): string {
  const decoded = URL.canParse(`http://h/${key}`) ? decode(key) : key
  return decoded.replaceAll('~1', '/').replaceAll('~0', '~')
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

function accessOf(operation: Members, item: Members, root: Members): Access {
  const listed = operation['x-required-scopes'] ?? item['x-required-scopes']
  const required = typeof listed === 'string' ? [listed] : textsIn(listed)
  if (required.length > 0) return { kind: 'all', scopes: distinct(required) }
  const security = operation['security'] ?? root['security']
  if (!Array.isArray(security)) return undecided('the document says nothing of security')
  if (security.length === 0) return { kind: 'public' }
  const alternatives = security.map(each => Object.values(membersOf(each)))
  if (alternatives.every(schemes => schemes.length === 0)) return { kind: 'public' }
  if (alternatives.some(schemes => schemes.length === 0)) return undecided('security is optional')
  return fromAlternatives(alternatives.map(schemes => distinct(schemes.flatMap(textsIn))))
}

/** A scheme without scopes, beside one that has some, is another kind of credential. */
function fromAlternatives(alternatives: readonly (readonly string[])[]): Access {
  const sets = [
    ...new Map(
      alternatives.filter(set => set.length > 0).map(set => [set.toSorted().join(' '), set])
    ).values()
  ]
  const [first] = sets
  if (!first) return undecided('a credential is asked for, but no scope')
  if (sets.length === 1) return { kind: 'all', scopes: first }
  const isExpressible = sets.every(set => set.length === 1)
  return isExpressible
    ? { kind: 'any', scopes: sets.flat() }
    : undecided(`any of: ${sets.map(set => set.join(' with ')).join(', ')}`)
}

function undecided(reason: string): Access {
  return { kind: 'undecided', reason }
}

function textsIn(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter(each => typeof each === 'string') : []
}

function distinct(texts: readonly string[]): readonly string[] {
  return [...new Set(texts)]
}

function scopeTextsOf(root: Members): ReadonlyMap<string, string> {
  const schemes = membersOf(membersOf(root['components'])['securitySchemes'])
  const flows = Object.values(schemes).flatMap(scheme =>
    Object.values(membersOf(resolve(scheme, root)['flows']))
  )
  const entries = flows.flatMap(flow => Object.entries(membersOf(membersOf(flow)['scopes'])))
  return new Map(entries.map(([name, about]) => [name, typeof about === 'string' ? about : '']))
}
