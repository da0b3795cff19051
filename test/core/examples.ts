/** One good request, token and rule, for the tests of single steps to spoil. */
import { type Head, readHead } from '../../src/core/head.ts'
import type { TokenRow } from '../../src/core/principal.ts'
import type { Rule, RouteTable } from '../../src/core/rule.ts'
import { digestToken } from '../../src/core/token.ts'

export const NOW = 1_800_000_000_000 // ms; every test runs at this instant

export const TOKEN = 'ci_GoldenVector0OnlyForTests000001xNBA0'

export const token: TokenRow = {
  id: '0190c5a0-0000-7000-8000-000000000001',
  digest: digestToken(TOKEN),
  preview: 'ci_Gold…NBA0',
  userId: 'u1',
  orgId: 'o1',
  name: 'ci',
  scopes: ['scans:read'],
  repositories: null,
  requireSignature: false,
  createdAtMs: NOW - 1,
  lastUsedAtMs: null,
  expiresAtMs: null,
  revokedAtMs: null
}

export const rule: Rule = {
  key: 'POST /api/scans/{id}',
  methods: ['POST'],
  isWildcard: false,
  path: '/api/scans/{id}',
  params: ['id'],
  need: { kind: 'all', scopes: ['scans:read'] },
  bindings: undefined,
  signature: 'optional',
  mode: 'enforce',
  upstream: 'default',
  timeoutMs: 30_000,
  upgrade: undefined,
  why: undefined,
  place: { file: 'routes.yaml', line: 1, col: 1 }
}

/** A table of no rules; `implied`: what each scope brings besides itself. */
export function tableWith(implied: Readonly<Record<string, readonly string[]>> = {}): RouteTable {
  return {
    match: () => ({ kind: 'none' }),
    rules: [],
    scopes: new Map(),
    upstreams: new Map(),
    mode: 'enforce',
    options: 'deny',
    timeoutMs: 30_000,
    hash: '0'.repeat(64),
    hasPage: false,
    effectiveScopes: granted => [...granted, ...granted.flatMap(scope => implied[scope] ?? [])]
  }
}

export interface SentHead {
  readonly method?: string
  readonly httpVersion?: string
  /** `Name: value` lines besides Host. */
  readonly lines?: readonly string[]
}

/** Name and value in turn, as Node's parser gives them. */
export function rawHeadersOf(lines: readonly string[]): readonly string[] {
  return lines.flatMap(line => {
    const colon = line.indexOf(':')
    return [line.slice(0, colon), line.slice(colon + 1).trim()]
  })
}

/** The head of `GET /api/a/1 HTTP/1.1` with one Host and these lines. Throws where it is refused. */
export function headOf({ method = 'GET', httpVersion = '1.1', lines = [] }: SentHead = {}): Head {
  const rawHeaders = rawHeadersOf(['Host: gate', ...lines])
  const head = readHead({ method, rawTarget: '/api/a/1', httpVersion, rawHeaders })
  if ('kind' in head) throw new Error(`refused: ${head.reason}`)
  return head
}
