/**
 * A compiled rule of the route file, and the table that holds them. Types alone: routes/ makes
 * them, route-table.ts matches, permissions.ts and repositories.ts obey them.
 */
import type { OwnRouteName } from './decision.ts'
import type { Target } from './target.ts'

/** `all` and `any` have one scope or more. */
export type Need =
  | { readonly kind: 'public' | 'deny' | 'jwt' | 'any-token' }
  | { readonly kind: 'all' | 'any'; readonly scopes: readonly string[] }

/** Where a request names repositories. `name` of `path` is the parameter's. */
export type Binding =
  | { readonly kind: 'path'; readonly name: string; readonly index: number }
  | { readonly kind: 'query' | 'body' | 'body-list'; readonly name: string }
  | { readonly kind: 'upstream' | 'none' }

export type Mode = 'enforce' | 'report'

export interface Place {
  readonly file: string
  readonly line: number
  readonly col: number
}

export interface Rule {
  /** As written: `GET /api/scans/{scanId}`. */
  readonly key: string
  /** Sorted; `*` is spelt out as its six methods with `isWildcard` true. */
  readonly methods: readonly string[]
  readonly isWildcard: boolean
  /** The path as written, without methods. */
  readonly path: string
  /** Names of the parameters in order of appearance, a rest included. */
  readonly params: readonly string[]
  readonly need: Need
  /** Undefined: the rule has no `repo`, so restricted tokens are refused. */
  readonly bindings: readonly Binding[] | undefined
  readonly signature: 'optional' | 'required'
  readonly mode: Mode
  readonly upstream: string
  /** Until the upstream's answer begins, in ms. */
  readonly timeoutMs: number
  readonly upgrade: 'websocket' | undefined
  readonly why: string | undefined
  readonly place: Place
}

export interface ScopeEntry {
  readonly name: string
  readonly title: string
  readonly about: string
  readonly risk: 'low' | 'medium' | 'high'
  readonly isDefault: boolean
  /** Directly, as written. */
  readonly implies: readonly string[]
}

export interface UpstreamEntry {
  readonly name: string
  readonly url: string
  readonly timeoutMs: number | undefined
  readonly caFile: string | undefined
  readonly serverName: string | undefined
}

/** The certificates of an upstream cannot be read. The message says whose, and why. */
export class CaFileUnreadable extends Error {
  constructor({ name, caFile }: UpstreamEntry, cause: NodeJS.ErrnoException) {
    const why = cause.code === 'ENOENT' ? 'it is not there' : (cause.code ?? cause.message)
    super(`upstream "${name}": the caFile ${caFile} cannot be read: ${why}`, { cause })
  }
}

/** One of the gate's own paths; matched like a rule, out of reach for the route file. */
export interface OwnRoute {
  readonly key: string
  readonly name: OwnRouteName
  readonly need: 'public' | 'jwt'
}

export type Match =
  /** `params`: raw segments in order (a rest: the remaining raw path), not decoded. */
  | { readonly kind: 'rule'; readonly rule: Rule; readonly params: readonly string[] }
  | { readonly kind: 'own'; readonly route: OwnRoute; readonly params: readonly string[] }
  /** Percent-decoding or ignoring case would turn a segment into a literal: 400. */
  | { readonly kind: 'near-miss' }
  /** OPTIONS without a rule, `options: upstream`, and some method of the path is not denied. */
  | { readonly kind: 'options' }
  /** At or below one of the gate's own paths, and not one of them: refused in every mode. */
  | { readonly kind: 'reserved' }
  | { readonly kind: 'none' }

export interface RouteTable {
  match(method: string, target: Target): Match
  readonly rules: readonly Rule[]
  readonly scopes: ReadonlyMap<string, ScopeEntry>
  readonly upstreams: ReadonlyMap<string, UpstreamEntry>
  readonly mode: Mode
  /** What becomes of OPTIONS requests that no rule names. */
  readonly options: 'deny' | 'upstream'
  readonly timeoutMs: number
  /** The gate serves its page for people. */
  readonly hasPage: boolean
  /** SHA-256 of the file and its includes, 64 hex digits. */
  readonly hash: string
  /**
   * What these granted scopes give: the granted ones that the file still declares, then all that
   * they imply, each once.
   */
  effectiveScopes(granted: readonly string[]): readonly string[]
}
