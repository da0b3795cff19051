/**
 * One request through the gate's own decision functions, offline: no network, no database, a clock
 * that stands. What `explain` and the file's tests say is therefore what the running gate does.
 */
import type { Decision } from '../core/decision.ts'
import { createGate, type GateRequest } from '../core/gate.ts'
import { type Head, readHead } from '../core/head.ts'
import { NO_OBSERVER } from '../core/observer.ts'
import type { TokenRow } from '../core/principal.ts'
import type { RouteTable } from '../core/rule.ts'
import { sign } from '../core/signature.ts'
import { digestToken, makeToken, previewToken } from '../core/token.ts'
import type { Caller } from './tests.ts'

export interface AskedRequest {
  readonly method: string
  /** With its query, as on a request line. */
  readonly target: string
  readonly caller: Caller
  /** Sent as application/json; undefined: no body. */
  readonly body: Uint8Array | undefined
}

export interface Evaluation {
  readonly decision: Decision
  /** `allow`, `403 ROUTE_DENIED`, or `report 403 INSUFFICIENT_SCOPE` where only report mode permits. */
  readonly outcome: string
  /** The upstream that was chosen; undefined: the request goes nowhere, or the gate answers it. */
  readonly upstream: string | undefined
  /** As the gate read it; undefined: it was refused there. */
  readonly head: Head | undefined
}

/** Of the settings that decide: their defaults. */
const SIGNING = {
  windowMs: 300_000,
  bodyLimitBytes: 1_048_576,
  query: 'either',
  body: 'raw-or-canonical'
} as const

/** The instant at which everything happens; any would do. */
const NOW_MS = 1_800_000_000_000
/** Well-formed, signed and in no database: nobody else ever sees it. */
const TOKEN = makeToken(count => new Uint8Array(count))
const JWT = 'offline.user.jwt'

/** Nothing is kept from one request to the next, so nonces are new each time. */
export async function evaluate(table: RouteTable, asked: AskedRequest): Promise<Evaluation> {
  const { caller } = asked
  const entry = { row: caller.kind === 'cli-token' ? toRow(caller) : OTHER_ROW }
  const user = { userId: 'user', orgId: null, expiresAtMs: Infinity }
  const gate = createGate({
    routes: () => table,
    tokens: { peek: () => entry, find: async () => entry, lapse: () => undefined },
    users: { verify: async () => user },
    uses: { used: () => undefined },
    load: { admit: () => undefined },
    nonces: { claim: async () => 'new' },
    clock: { nowMs: () => NOW_MS, wallMs: () => NOW_MS, isTrusted: () => true },
    observer: NO_OBSERVER,
    signing: SIGNING
  })
  const request = toRequest(asked)
  const read = readHead(request)
  const head = 'kind' in read ? undefined : read
  const decision = await gate.decide(request)
  return { decision, outcome: outcomeOf(decision), upstream: upstreamOf(decision), head }
}

function outcomeOf(decision: Decision): string {
  if (decision.kind === 'denial') return `${decision.status} ${decision.code}`
  const wouldDeny = decision.kind === 'permit' ? decision.wouldDeny : undefined
  return wouldDeny ? `report ${wouldDeny.status} ${wouldDeny.code}` : 'allow'
}

function upstreamOf(decision: Decision): string | undefined {
  return decision.kind === 'permit' ? (decision.rule?.upstream ?? 'default') : undefined
}

function toRow({ scopes, repositories }: Caller & { readonly kind: 'cli-token' }): TokenRow {
  return {
    id: '00000000-0000-4000-8000-000000000000',
    digest: digestToken(TOKEN),
    preview: previewToken(TOKEN),
    userId: 'user',
    orgId: null,
    name: 'offline',
    scopes,
    repositories,
    requireSignature: false,
    createdAtMs: NOW_MS,
    lastUsedAtMs: null,
    expiresAtMs: null,
    revokedAtMs: null
  }
}

/** Never asked for: callers without a token send none. */
const OTHER_ROW = toRow({ kind: 'cli-token', scopes: [], repositories: [], isSigned: false })

function toRequest({ method, target, caller, body }: AskedRequest): GateRequest {
  const bytes = body ?? new Uint8Array()
  const rawHeaders = ['Host', 'offline']
  if (caller.kind !== 'none') {
    rawHeaders.push('Authorization', `Bearer ${caller.kind === 'jwt' ? JWT : TOKEN}`)
  }
  if (body !== undefined) {
    rawHeaders.push('Content-Type', 'application/json', 'Content-Length', String(bytes.length))
  }
  if (caller.kind === 'cli-token' && caller.isSigned) {
    const stamp = { timestamp: String(NOW_MS), nonce: 'offline' }
    const signature = sign(stamp, { method, path: target, body: bytes }, TOKEN)
    rawHeaders.push('X-Cli-Signature', signature)
    rawHeaders.push('X-Cli-Timestamp', stamp.timestamp, 'X-Cli-Nonce', stamp.nonce)
  }
  const hold = async (limitBytes: number) => (bytes.length > limitBytes ? 'too-large' : bytes)
  return { method, rawTarget: target, httpVersion: '1.1', rawHeaders, body: { hold } }
}
