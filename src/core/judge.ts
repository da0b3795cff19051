/**
 * A known token against what it asks for: alive, organisation, scope, repository, signature, nonce,
 * in this order. What only a rule would refuse can be waived by report mode; what the credential
 * itself forbids cannot.
 */
import { type Denial, deny, Fault } from './decision.ts'
import { hasBody, type Head } from './head.ts'
import { isRefusedByTime } from './instant.ts'
import { nonceTtlMs } from './nonce.ts'
import { denyOrganization, denyScopes } from './permissions.ts'
import type { Observer } from './observer.ts'
import type { BodyHolder, Clock, NonceStore } from './ports.ts'
import { isExpired, isRevoked, type TokenRow } from './principal.ts'
import { denyBodyRepositories, denyRepositories } from './repositories.ts'
import type { Rule, RouteTable } from './rule.ts'
import { isFresh, type WellFormed } from './signature.ts'
import {
  denySignature,
  denySignedBody,
  denyVersion,
  isSigned,
  matchSignature,
  readSignature,
  type SignatureSettings
} from './signed-request.ts'
import type { Target } from './target.ts'

/** What is asked, whoever asks. */
export interface Asked {
  readonly head: Head
  readonly target: Target
  readonly table: RouteTable
  /** None only in the file's report mode. */
  readonly rule: Rule | undefined
  /** Raw segments, in the order of `rule.params`. */
  readonly params: readonly string[]
  readonly body: BodyHolder
}

/** One try to get a request through; a second one follows when a permit lapsed before sending. */
export interface Attempt {
  readonly asked: Asked
  /** What report mode has waived so far. */
  waived: Denial | undefined
  /** The nonce is this request's own: claimed once, also when it is decided again. */
  hasNonce: boolean
}

export interface Approval {
  readonly kind: 'approval'
  readonly isSigned: boolean
  readonly heldBody: Uint8Array | undefined
}

export interface JudgeDeps {
  readonly nonces: NonceStore
  readonly clock: Clock
  readonly observer: Observer
  readonly signing: SignatureSettings
}

interface Holder {
  /** As sent: the key of its signatures. */
  readonly text: string
  readonly row: TokenRow
}

/** A denial that the rule, not the credential, is the reason of: undefined where it is waived. */
export function waive(attempt: Attempt, denial: Denial | undefined): Denial | undefined {
  if (denial === undefined || denial.status === 400) return denial
  const { rule, table } = attempt.asked
  if ((rule?.mode ?? table.mode) === 'enforce') return denial
  attempt.waived ??= denial
  return undefined
}

/** Throws Faults of the clock, the nonce store and the held bodies. */
export function judgeToken(
  attempt: Attempt,
  holder: Holder,
  deps: JudgeDeps
): Approval | Denial | Promise<Approval | Denial> {
  const { row } = holder
  const { head, rule, params, target, table } = attempt.asked
  const dead = denyDead(row, deps)
  if (dead) return dead
  const foreign = denyOrganization(row, head.orgId)
  if (foreign) return foreign
  let needsBody = false
  if (rule) {
    const scope = waive(attempt, denyScopes(rule.need, row, table))
    if (scope) return scope
    const repository = row.repositories && denyRepositories(rule, params, target, row.repositories)
    needsBody = repository === 'body-needed'
    const denied =
      repository === 'body-needed' ? undefined : waive(attempt, repository ?? undefined)
    if (denied) return denied
  }
  if (needsBody || isSigned(head)) return judgeWithBody(attempt, holder, needsBody, deps)
  return judgeUnsigned(attempt, row, undefined, deps)
}

function denyDead(row: TokenRow, { clock, observer }: JudgeDeps): Denial | undefined {
  const isLate = () => isRefusedByTime(clock, nowMs => isExpired(row, nowMs))
  const reason = isRevoked(row) ? 'revoked' : row.expiresAtMs !== null && isLate() ? 'expired' : ''
  if (!reason) return undefined
  observer.count('tokens_refused_total', { reason })
  return deny('INVALID_CLI_TOKEN', { reason })
}

function denyUnsigned(): Denial {
  return denySignature('Request signature required', 'required')
}

const UNSIGNED = Object.freeze({ result: 'unsigned' })
const VALID = Object.freeze({ result: 'valid' })

function judgeUnsigned(
  attempt: Attempt,
  row: TokenRow,
  heldBody: Uint8Array | undefined,
  { observer }: JudgeDeps
): Approval | Denial {
  const { head, rule } = attempt.asked
  const denied =
    denyVersion(head) ??
    (row.requireSignature ? denyUnsigned() : undefined) ??
    (rule?.signature === 'required' ? waive(attempt, denyUnsigned()) : undefined)
  observer.count('signatures_total', denied ? { result: denied.reason ?? '' } : UNSIGNED)
  return denied ?? { kind: 'approval', isSigned: false, heldBody }
}

async function judgeWithBody(
  attempt: Attempt,
  holder: Holder,
  needsBody: boolean,
  deps: JudgeDeps
): Promise<Approval | Denial> {
  const { head, rule } = attempt.asked
  let heldBody: Uint8Array | undefined
  if (needsBody && rule && holder.row.repositories) {
    const allowed = holder.row.repositories
    const held = await holdBody(attempt.asked, deps.signing.bodyLimitBytes)
    if ('kind' in held) return held
    heldBody = held
    const denied = waive(attempt, denyBodyRepositories(rule, head, held, allowed))
    if (denied) return denied
  }
  if (!isSigned(head)) return judgeUnsigned(attempt, holder.row, heldBody, deps)
  const signature = denyVersion(head) ?? readSignature(head)
  const outcome =
    'kind' in signature ? signature : await judgeSigned(attempt, signature, holder, deps)
  if (outcome.kind === 'denial') {
    if (outcome.code === 'INVALID_SIGNATURE') {
      deps.observer.count('signatures_total', { result: outcome.reason ?? 'malformed' })
    }
    return outcome
  }
  deps.observer.count('signatures_total', VALID)
  return outcome
}

/** Age before HMAC before nonce: each step costs more, and only the last one writes. */
async function judgeSigned(
  attempt: Attempt,
  signature: WellFormed,
  { text, row }: Holder,
  deps: JudgeDeps
): Promise<Approval | Denial> {
  const { clock, observer, signing, nonces } = deps
  const { head, target } = attempt.asked
  const timestampMs = Number(signature.timestamp)
  observer.measure('signature_lead_seconds', (timestampMs - clock.nowMs()) / 1000)
  if (!isFresh(signature, clock.nowMs(), signing.windowMs)) {
    if (!clock.isTrusted()) throw new Fault('CLOCK_UNSYNCHRONISED')
    return denySignature('Request timestamp too old or too far in future', 'stale')
  }
  const unreadable = denySignedBody(head)
  if (unreadable) return unreadable
  const body = await holdBody(attempt.asked, signing.bodyLimitBytes)
  if ('kind' in body) return body
  const form = matchSignature(signature, { head, target, body }, text, signing)
  if (!form) return denySignature('Signature does not match', 'mismatch')
  observer.count('signature_forms_total', { target: form.target, body: form.body })
  if (!attempt.hasNonce && !(await claimNonce(row, signature.nonce, timestampMs))) {
    return denySignature('Nonce has already been used', 'replayed')
  }
  attempt.hasNonce = true
  return {
    kind: 'approval',
    isSigned: true,
    heldBody: form.bytes.length > 0 ? form.bytes : undefined
  }

  async function claimNonce(token: TokenRow, nonce: string, atMs: number): Promise<boolean> {
    try {
      return (await nonces.claim(token.id, nonce, atMs, nonceTtlMs(atMs, clock.nowMs()))) === 'new'
    } catch (cause) {
      observer.count('signatures_total', { result: 'fault' })
      throw cause
    }
  }
}

const NO_BODY = new Uint8Array()

/** Zero bytes where there is no body. Held for a signature and for a repository: read once. */
export async function holdBody(
  { head, body }: Pick<Asked, 'head' | 'body'>,
  limitBytes: number
): Promise<Uint8Array | Denial> {
  if (!hasBody(head)) return NO_BODY
  const held = await body.hold(limitBytes)
  switch (held) {
    case 'too-large':
      return deny('BODY_TOO_LARGE')
    case 'too-slow':
      return deny('REQUEST_TIMEOUT', { reason: 'body' })
    case 'cut-off':
      return deny('MALFORMED_REQUEST', { reason: 'body-cut-off' })
    default:
      return held
  }
}
