/**
 * The gate: one request in, one decision out, and the only maker of a Permit.
 *
 *   head → target → route → credential there → of a kind the rule takes → valid → judge.ts → permit
 *
 * Cheap before dear, reads before the one write: whoever is refused early costs nothing, and only
 * the holder of a good token with a right signature reaches the nonce. Denials are returned, faults
 * are thrown. A cached token without signature and held body is decided without a promise.
 */
import { type Decision, type Denial, deny, type Permit, type PermitFields } from './decision.ts'
import { denyHandshake } from './handshake.ts'
import { bearerOf, type Head, readHead } from './head.ts'
import {
  type Approval,
  type Asked,
  type Attempt,
  type JudgeDeps,
  judgeToken,
  waive
} from './judge.ts'
import { decideOwn } from './own-call.ts'
import { denyCredentialKind } from './permissions.ts'
import type {
  BodyHolder,
  Load,
  TokenEntry,
  TokenSource,
  UseRecorder,
  UserVerifier
} from './ports.ts'
import { isExpired, NOBODY, type User } from './principal.ts'
import type { Match, Rule, RouteTable } from './rule.ts'
import { readTarget, type Target } from './target.ts'
import { digestToken, isWellFormedToken, type TokenDigest } from './token.ts'

export interface GateRequest {
  readonly method: string
  readonly rawTarget: string
  readonly httpVersion: string
  readonly rawHeaders: readonly string[]
  readonly body: BodyHolder
}

export interface GateDeps extends JudgeDeps {
  /** The table in force; a request keeps the one it began with. */
  readonly routes: () => RouteTable
  readonly tokens: TokenSource
  readonly users: UserVerifier
  readonly uses: UseRecorder
  /** Asked between rule and credential: what the rules refuse anyway costs less than an answer. */
  readonly load: Load
}

export interface Gate {
  /** Throws, or rejects with, a Fault where no verdict can be reached. */
  decide(request: GateRequest): Decision | Promise<Decision>
}

export function createGate(deps: GateDeps): Gate {
  return { decide: request => decide(request, deps) }
}

function decide(request: GateRequest, deps: GateDeps): Decision | Promise<Decision> {
  const head = readHead(request)
  if ('kind' in head) return head
  const target = readTarget(head.rawTarget)
  if ('kind' in target) return target
  const table = deps.routes()
  return decideMatch(table.match(head.method, target), { head, target, table, request }, deps)
}

interface Read {
  readonly head: Head
  readonly target: Target
  readonly table: RouteTable
  readonly request: GateRequest
}

/** Methods that a rule can name; any other never passes, in no mode. */
const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])

function decideMatch(match: Match, read: Read, deps: GateDeps): Decision | Promise<Decision> {
  const { head, target, table } = read
  const { body } = read.request
  switch (match.kind) {
    case 'near-miss':
      return deny('MALFORMED_REQUEST', { reason: 'near-miss' })
    case 'reserved':
      return deny('ROUTE_DENIED')
    case 'own':
      return decideOwn(match, read, deps)
    case 'options':
      deps.load.admit()
      return permitNobody({ head, target, table, rule: undefined, params: [], body })
    case 'none': {
      const attempt = startAttempt({ head, target, table, rule: undefined, params: [], body })
      const denied = METHODS.has(head.method)
        ? waive(attempt, deny('ROUTE_DENIED'))
        : deny('ROUTE_DENIED')
      if (denied) return denied
      deps.load.admit()
      return authenticate(attempt, deps)
    }
    case 'rule': {
      const { rule, params } = match
      return withRule(rule, decideRule({ head, target, table, rule, params, body }, rule, deps))
    }
  }
}

function decideRule(asked: Asked, rule: Rule, deps: GateDeps): Decision | Promise<Decision> {
  if (rule.need.kind === 'deny') return deny('ROUTE_DENIED')
  const isTunnel = rule.upgrade === 'websocket' && asked.head.wantsWebSocket
  const unclear = isTunnel ? denyHandshake(asked.head) : undefined
  if (unclear) return unclear
  deps.load.admit()
  return rule.need.kind === 'public' ? permitNobody(asked) : authenticate(startAttempt(asked), deps)
}

/** A refusal is told with the rule it was decided by. */
function withRule(
  rule: Rule,
  decision: Decision | Promise<Decision>
): Decision | Promise<Decision> {
  if ('then' in decision) return decision.then(settled => withRule(rule, settled))
  return decision.kind === 'denial' ? { ...decision, rule } : decision
}

function startAttempt(asked: Asked): Attempt {
  return { asked, waived: undefined, hasNonce: false }
}

function authenticate(attempt: Attempt, deps: GateDeps): Decision | Promise<Decision> {
  const bearer = bearerOf(attempt.asked.head)
  switch (bearer.kind) {
    case 'none':
      return deny('NO_TOKEN')
    case 'unusable':
      return deny('INVALID_TOKEN', { reason: 'unusable' })
    case 'jwt':
      return deps.users
        .verify(bearer.text)
        .then(user =>
          user === 'invalid' ? deny('INVALID_TOKEN') : permitUser(attempt, user, deps)
        )
    case 'cli-token':
      return authenticateToken(attempt, bearer.text, deps)
  }
}

function authenticateToken(
  attempt: Attempt,
  text: string,
  deps: GateDeps
): Decision | Promise<Decision> {
  const { rule } = attempt.asked
  const wrongKind = rule && waive(attempt, denyCredentialKind(rule.need, 'cli-token'))
  if (wrongKind) return wrongKind
  if (!isWellFormedToken(text)) return denyToken('malformed', deps)
  const digest = digestToken(text)
  const judge = (entry: TokenEntry | 'unknown') => {
    if (entry === 'unknown') return denyToken('unknown', deps)
    const verdict = judgeToken(attempt, { text, row: entry.row }, deps)
    const conclude = (outcome: Approval | Denial): Decision =>
      outcome.kind === 'denial'
        ? { ...outcome, principal: { kind: 'cli-token', token: entry.row } }
        : permitToken(attempt, { digest, entry }, outcome, deps)
    return 'then' in verdict ? verdict.then(conclude) : conclude(verdict)
  }
  const known = deps.tokens.peek(digest)
  return known === undefined ? deps.tokens.find(digest).then(judge) : judge(known)
}

function denyToken(reason: 'malformed' | 'unknown', { observer }: GateDeps): Denial {
  observer.count('tokens_refused_total', { reason })
  return deny('INVALID_CLI_TOKEN', { reason })
}

function isPermit(fields: PermitFields): fields is Permit {
  return fields.kind === 'permit'
}

function makePermit(fields: PermitFields): Permit {
  if (!isPermit(fields)) throw new TypeError('not a permit')
  return fields
}

/** Public routes, and OPTIONS by the file's word: nobody is identified, whatever was sent. */
function permitNobody(asked: Asked): Permit {
  const permit: Permit = makePermit({
    ...whatIsAsked(asked),
    principal: NOBODY,
    signed: false,
    heldBody: undefined,
    wouldDeny: undefined,
    lapse: () => undefined,
    again: () => Promise.resolve(permit)
  })
  return permit
}

function whatIsAsked({ head, target, table, rule }: Asked) {
  return { kind: 'permit', head, target, table, rule } as const
}

function permitUser(attempt: Attempt, user: User, deps: GateDeps): Permit {
  return makePermit({
    ...whatIsAsked(attempt.asked),
    principal: { kind: 'jwt', user },
    signed: false,
    heldBody: undefined,
    wouldDeny: attempt.waived,
    lapse: () => (deps.clock.nowMs() >= user.expiresAtMs ? 'expired' : undefined),
    again: async () => authenticate(attempt, deps)
  })
}

function permitToken(
  attempt: Attempt,
  { digest, entry }: { digest: TokenDigest; entry: TokenEntry },
  { isSigned, heldBody }: Approval,
  deps: GateDeps
): Permit {
  const { row } = entry
  const { clock, tokens, uses } = deps
  uses.used(row.id, clock.nowMs())
  return makePermit({
    ...whatIsAsked(attempt.asked),
    principal: { kind: 'cli-token', token: row },
    signed: isSigned,
    heldBody,
    wouldDeny: attempt.waived,
    lapse: () =>
      tokens.lapse(digest, entry) ?? (isExpired(row, clock.nowMs()) ? 'expired' : undefined),
    again: async () => authenticate(attempt, deps)
  })
}
