/**
 * The one hook: every request, routed or not, is decided here before anything else happens to it,
 * and ends as a refusal, as one of the gate's own answers, or at the sender. Whatever is thrown on
 * the way is a fault, and no fault forwards anything.
 */
import { type Decision, deny, type Permit } from '../core/decision.ts'
import type { Gate } from '../core/gate.ts'
import { dropsBody, hasBody } from '../core/head.ts'
import type { Observer } from '../core/observer.ts'
import type { OwnRoutes } from '../core/own-routes.ts'
import type { Log } from '../core/ports.ts'
import type { RouteTable } from '../core/rule.ts'
import { readTarget } from '../core/target.ts'
import { type Arrived, Exchange, type ExchangeDeps } from './exchange.ts'
import type { Forward } from './forward.ts'
import { isTunnel } from './outgoing.ts'
import type { Answers } from './problem.ts'
import { shapeOf } from './shape.ts'
import type { Usage } from './usage.ts'

export interface AdmitDeps extends ExchangeDeps {
  readonly gate: Gate
  readonly own: OwnRoutes
  readonly routes: () => RouteTable
  readonly answers: Answers
  readonly forward: Forward
  readonly usage: Usage
  /** Sent from the hook, or by the plugin's handler; undefined: by whether a body goes on. */
  readonly lane?: (() => Lane | undefined) | undefined
  readonly observer: Observer
  readonly log: Log
}

/** Both end at the one sender; that there are two must make no difference to anybody. */
export type Lane = 'hook' | 'plugin'

/** What waits for the plugin's handler to send it. */
export interface Admitted {
  readonly exchange: Exchange
  readonly permit: Permit
}

/** What GET and HEAD may carry, to be dropped, in bytes. */
const DROPPED_LIMIT_BYTES = 65_536

/**
 * Undefined: the request was answered or is being sent. Nothing is waited for where the decision is
 * known at once and there is no body; else a promise. Never throws.
 */
export function createAdmit(deps: AdmitDeps) {
  const { gate, answers, observer } = deps

  return function admit(arrived: Arrived): Outcome | Promise<Outcome> {
    const { request, rawTarget } = arrived
    const exchange = new Exchange(arrived, deps)
    const fail = (thrown: unknown): undefined => {
      noteRoute(exchange, deps)
      observer.count('decisions_total', { auth: 'none', result: 'fault' })
      answers.fail(exchange, thrown)
    }
    try {
      const decision = gate.decide({
        method: request.method ?? '',
        rawTarget,
        httpVersion: request.httpVersion,
        rawHeaders: request.rawHeaders,
        body: exchange.body
      })
      const outcome =
        'then' in decision
          ? decision.then(settled => carryOut(exchange, settled, deps))
          : carryOut(exchange, decision, deps)
      return outcome instanceof Promise ? outcome.catch(fail) : outcome
    } catch (thrown) {
      return fail(thrown)
    }
  }
}

type Outcome = Admitted | undefined

function carryOut(
  exchange: Exchange,
  decision: Decision,
  deps: AdmitDeps
): Outcome | Promise<Outcome> {
  const { answers, observer } = deps
  switch (decision.kind) {
    case 'denial':
      if (decision.rule) deps.usage.ruled(decision.rule)
      else noteRoute(exchange, deps)
      answers.deny(exchange, decision)
      observer.count('decisions_total', { auth: authOf(exchange), result: 'deny' })
      return undefined
    case 'own':
      exchange.stage.route = 'own'
      exchange.stage.principal = decision.principal
      return answerOwn(exchange, decision, deps)
    case 'permit':
      exchange.permitted(decision)
      noteUse(decision, deps)
      observer.count('decisions_total', ALLOWED[exchange.stage.principal.kind])
      noteWaived(exchange, decision, deps)
      if (isTunnel(decision) && !exchange.isDetached) {
        // Sent before the answers to earlier requests: its frames would be read as requests.
        answers.deny(exchange, deny('MALFORMED_REQUEST', { reason: 'pipelined-handshake' }))
        return undefined
      }
      if (hasBody(decision.head) && dropsBody(decision.head)) {
        return dropBody(exchange, decision, deps)
      }
      return send(exchange, decision, deps)
  }
}

const ALLOWED = {
  none: Object.freeze({ auth: 'none', result: 'allow' }),
  jwt: Object.freeze({ auth: 'jwt', result: 'allow' }),
  'cli-token': Object.freeze({ auth: 'cli-token', result: 'allow' })
}

function authOf({ stage }: Exchange): string {
  return stage.principal.kind
}

/** What has a body that was not read yet goes to the plugin, which hands it over unread. */
function send(exchange: Exchange, permit: Permit, { lane, forward }: AdmitDeps): Outcome {
  const { head, heldBody } = permit
  const isUnread = hasBody(head) && !dropsBody(head) && heldBody === undefined
  const natural = isUnread ? 'plugin' : 'hook'
  if ((lane?.() ?? natural) === 'plugin') return { exchange, permit }
  forward(exchange, permit)
  return undefined
}

/** GET and HEAD go on without theirs. */
async function dropBody(exchange: Exchange, permit: Permit, deps: AdmitDeps): Promise<Outcome> {
  switch (await exchange.body.drop(DROPPED_LIMIT_BYTES)) {
    case 'end':
      return send(exchange, permit, deps)
    case 'too-large':
      deps.answers.deny(exchange, deny('BODY_TOO_LARGE'))
      return undefined
    case 'too-slow':
      deps.answers.deny(exchange, deny('REQUEST_TIMEOUT', { reason: 'body' }))
      return undefined
    case 'cut-off':
      return undefined
  }
}

async function answerOwn(
  exchange: Exchange,
  call: Decision & { kind: 'own' },
  { own, answers, observer }: AdmitDeps
): Promise<undefined> {
  const { requestId, client, body } = exchange
  const answer = await own.handle({ ...call, requestId, ip: client.ip, body })
  const isDenied = 'kind' in answer
  observer.count('decisions_total', {
    auth: authOf(exchange),
    result: isDenied ? 'deny' : 'allow'
  })
  if (isDenied) answers.deny(exchange, answer)
  else answers.own(exchange, answer)
  return undefined
}

function noteUse({ rule, principal, table }: Permit, { usage }: AdmitDeps): void {
  if (!rule) return
  usage.ruled(rule)
  if (principal.kind === 'cli-token') usage.permitted(principal.token, rule, table)
}

/** For the line of a request that ended without a word about its rule. */
function noteRoute({ request, rawTarget, stage }: Exchange, { routes, usage }: AdmitDeps): void {
  const target = readTarget(rawTarget)
  if ('kind' in target) return
  const table = routes()
  const { method = '' } = request
  const match = table.match(method, target)
  if (match.kind === 'rule') {
    stage.route = match.rule.key
    usage.ruled(match.rule)
  } else if (match.kind === 'own') stage.route = 'own'
  else stage.shape = shapeOf(target.segments, table)
  if (match.kind === 'none') usage.unmatched(method, target, table)
}

/** What report mode lets through is told, so that it can be mended before it is enforced. */
function noteWaived(exchange: Exchange, permit: Permit, deps: AdmitDeps): void {
  const { observer, log, usage } = deps
  const { wouldDeny, principal, table, head, target } = permit
  if (!wouldDeny) return
  const route = permit.rule?.key ?? 'none'
  observer.count('would_deny_total', { route, code: wouldDeny.code })
  if (!permit.rule) {
    exchange.stage.shape = shapeOf(target.segments, table)
    usage.unmatched(head.method, target, table)
  }
  const { requiredScopes, tokenScopes } = wouldDeny.body
  log.info('would deny', {
    route,
    code: wouldDeny.code,
    requestId: exchange.requestId,
    tokenId: principal.kind === 'cli-token' ? principal.token.id : undefined,
    needed: requiredScopes,
    held: tokenScopes
  })
}
