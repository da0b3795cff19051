/** The token API over a store in memory: no database, no socket; every call is looked at. */
import { randomBytes } from 'node:crypto'
import type { Denial } from '../../src/core/decision.ts'
import type { Head } from '../../src/core/head.ts'
import type { OwnAnswer, OwnRequest } from '../../src/core/own-routes.ts'
import type {
  Actor,
  Barrier,
  BodyHolder,
  Change,
  LogFields,
  NewToken,
  TokenStore
} from '../../src/core/ports.ts'
import type { TokenRow, User } from '../../src/core/principal.ts'
import type { RouteTable, ScopeEntry } from '../../src/core/rule.ts'
import { readTarget } from '../../src/core/target.ts'
import { createTokenApi, type TokenApiDeps } from '../../src/tokens/api.ts'

export const NOW = 1_800_000_000_000 // ms: 2027-01-15T08:00:00.000Z; every test runs at this instant
export const DAY = 86_400_000
export const USER: User = { userId: 'user-1', orgId: 'org-1', expiresAtMs: NOW + DAY }
export const TOKENS = '/api/auth/cli-tokens'

export function scopeTable(scopes: Readonly<Record<string, 'default' | 'other'>>): RouteTable {
  const entries = Object.entries(scopes).map(([name, kind]): [string, ScopeEntry] => [
    name,
    { name, title: name, about: '', risk: 'low', isDefault: kind === 'default', implies: [] }
  ])
  return {
    match: () => ({ kind: 'none' }),
    rules: [],
    scopes: new Map(entries),
    upstreams: new Map(),
    mode: 'enforce',
    options: 'deny',
    timeoutMs: 30_000,
    hash: '0'.repeat(64),
    hasPage: false,
    effectiveScopes: granted => granted
  }
}

const TABLE = scopeTable({
  'repos:read': 'default',
  'repos:write': 'other',
  'scans:read': 'default',
  'scans:trigger': 'other'
})

export interface Asking {
  readonly name?: OwnRequest['name']
  readonly user?: User
  readonly id?: string
  readonly query?: string | undefined
  /** Text is sent as it is, anything else as JSON; undefined: there is no body. */
  readonly body?: unknown
  readonly contentType?: string | undefined
  readonly contentEncoding?: string
  readonly isChunked?: boolean
}

export function ownRequest(asking: Asking): OwnRequest {
  const { name = 'tokens.create', user = USER, id, query, body } = asking
  const path = id === undefined ? TOKENS : `${TOKENS}/some-id`
  const target = readTarget(query === undefined ? path : `${path}?${query}`)
  if ('kind' in target) throw new Error('the test asks for a target that is refused')
  const isRaw = typeof body === 'string' || body instanceof Uint8Array
  const bytes = body === undefined ? undefined : Buffer.from(isRaw ? body : JSON.stringify(body))
  const contentType = 'contentType' in asking ? asking.contentType : bytes && 'application/json'
  const head: Head = {
    method: 'POST',
    rawTarget: target.raw,
    httpVersion: '1.1',
    rawHeaders: [],
    host: 'gate.test',
    authorization: 'Bearer x.y.z',
    contentType,
    contentEncoding: asking.contentEncoding,
    contentLength: asking.isChunked ? undefined : bytes?.length,
    isChunked: asking.isChunked ?? false,
    expectsContinue: false,
    orgId: undefined,
    signature: undefined,
    timestamp: undefined,
    nonce: undefined,
    signatureVersion: undefined,
    hasBodyDigest: false,
    wantsWebSocket: false,
    nominated: []
  }
  return {
    kind: 'own',
    head,
    target,
    name,
    params: id === undefined ? [] : [id],
    principal: { kind: 'jwt', user },
    requestId: 'request-1',
    ip: '192.0.2.7',
    body: bodyOf(bytes)
  }
}

function bodyOf(bytes: Uint8Array = new Uint8Array()): BodyHolder {
  return {
    hold: limitBytes => Promise.resolve(bytes.length > limitBytes ? 'too-large' : bytes)
  }
}

/** What the store was told, in order. */
export interface Told {
  readonly call: 'create' | 'list' | 'revoke' | 'rotate'
  readonly actor?: Actor
  readonly [detail: string]: unknown
}

export interface World {
  readonly rows: Map<string, TokenRow>
  readonly told: Told[]
  readonly waited: Change[]
  readonly logged: [string, LogFields | undefined][]
  readonly ask: (asking: Asking) => Promise<OwnAnswer | Denial>
}

/** One good world; a test spoils one part of it. */
export function tokenWorld(spoiled: Partial<TokenApiDeps> = {}): World {
  const rows = new Map<string, TokenRow>()
  const told: Told[] = []
  const waited: Change[] = []
  const logged: World['logged'] = []
  const log = (message: string, fields?: LogFields) => void logged.push([message, fields])
  const barrier: Barrier = {
    wait: change => {
      waited.push(change)
      return Promise.resolve({ replicas: 3, acknowledged: 3, waitedMs: 12.4 })
    }
  }
  const api = createTokenApi({
    store: memoryStore(rows, told),
    barrier,
    clock: { nowMs: () => NOW, wallMs: () => NOW, isTrusted: () => true },
    routes: () => TABLE,
    randomBytes,
    log: { info: log, warn: log, error: log },
    ...spoiled
  })
  return { rows, told, waited, logged, ask: asking => api.handle(ownRequest(asking)) }
}

function isActive({ expiresAtMs, revokedAtMs }: TokenRow): boolean {
  return revokedAtMs === null && (expiresAtMs === null || expiresAtMs > NOW)
}

function unused(): Promise<never> {
  return Promise.reject(new Error('not of the token API'))
}

/** Rows get ids that count up; what the real store's SQL decides is decided here alike. */
export function memoryStore(rows: Map<string, TokenRow>, told: Told[] = []): TokenStore {
  let seq = 0
  const change = (kind: Change['kind'], ids: readonly string[]): Change => {
    seq += 1
    return { kind, seq, ids, waitMs: 2000, history: 'h1' }
  }
  const add = (token: NewToken): TokenRow => {
    const id = `0190c5a0-0000-7000-8000-${String(rows.size + 1).padStart(12, '0')}`
    const { expires, ...kept } = token
    const expiresAtMs =
      expires === null ? null : 'atMs' in expires ? expires.atMs : NOW + expires.inDays * DAY
    const row = {
      ...kept,
      id,
      createdAtMs: NOW,
      lastUsedAtMs: null,
      expiresAtMs,
      revokedAtMs: null
    }
    rows.set(id, row)
    return row
  }
  const find = (id: string, userId: string | undefined) => {
    const row = rows.get(id)
    return row && (userId === undefined || row.userId === userId) ? row : undefined
  }
  return {
    create: (token, actor) => {
      told.push({ call: 'create', actor, token })
      return Promise.resolve(add(token))
    },
    list: filter => {
      told.push({ call: 'list', filter })
      const { userId, includeInactive } = filter
      const found = [...rows.values()]
        .filter(row => row.userId === userId && (includeInactive || isActive(row)))
        .toReversed()
      return Promise.resolve(found)
    },
    revoke: (id, userId, actor) => {
      told.push({ call: 'revoke', actor, id, userId })
      const row = find(id, userId)
      if (!row) return Promise.resolve('not-found')
      const revokedAtMs = row.revokedAtMs ?? NOW
      rows.set(id, { ...row, revokedAtMs })
      return Promise.resolve({ revokedAtMs, change: change('revoke', [id]) })
    },
    rotate: (id, userId, { digest, preview, graceSeconds }, actor) => {
      told.push({ call: 'rotate', actor, id, userId, graceSeconds })
      const old = find(id, userId)
      if (!old) return Promise.resolve('not-found')
      if (!isActive(old)) return Promise.resolve('inactive')
      const row = add({ ...old, digest, preview, expires: null })
      rows.set(id, { ...old, expiresAtMs: NOW + graceSeconds * 1000 })
      return Promise.resolve({ row, change: change('change', [id]) })
    },
    revokeMany: unused,
    confirm: unused
  }
}

/** The answer's JSON; fails where the answer is a refusal. */
export function jsonOf(answer: OwnAnswer | Denial): Readonly<Record<string, unknown>> {
  if ('kind' in answer) throw new Error(`refused: ${answer.code}`)
  const value: unknown = JSON.parse(String(answer.body))
  if (typeof value !== 'object' || value === null) throw new Error('no object')
  return { ...value }
}

/** The fields that a 400 names, with their messages. */
export function fieldErrors(answer: OwnAnswer | Denial): Readonly<Record<string, string>> {
  if (!('kind' in answer) || answer.code !== 'INVALID_REQUEST') {
    throw new Error(`no INVALID_REQUEST but ${answer.status} ${answer.code}`)
  }
  const { errors } = answer.body
  if (!Array.isArray(errors)) throw new Error('no errors')
  return Object.fromEntries(errors.map(({ field, message }) => [field, message]))
}
