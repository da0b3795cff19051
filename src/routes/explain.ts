/**
 * Why one request is answered as it is: the gate's decision, the rule it was made by, what that rule
 * needs and what is there of it, the rules that were nearly it, and what would change the answer.
 */
import type { Match, Place, Rule, RouteTable } from '../core/rule.ts'
import { decodeSegment, readTarget, type Target } from '../core/target.ts'
import { causeOf, causeOfUnread } from './cause.ts'
import { type AskedRequest, evaluate, type Evaluation } from './evaluate.ts'
import { type Fix, fixFor } from './fix.ts'
import { type Loser, losersOf } from './losers.ts'
import { type NeedItem, needsOf } from './needs.ts'

export interface Explanation {
  /** As evaluate.ts gives it. */
  readonly outcome: string
  readonly isAllowed: boolean
  /** What decided, where it was no need of a rule: one sentence. */
  readonly cause: string | undefined
  readonly rule: ExplainedRule | undefined
  readonly needs: readonly NeedItem[]
  /** Where it goes, or would go; undefined: nowhere, or the gate answers it. */
  readonly upstream: { readonly name: string; readonly timeoutMs: number } | undefined
  readonly losers: readonly Loser[]
  /** What to change; undefined: nothing has to be, or only the request itself. */
  readonly fix: Fix | undefined
}

export interface ExplainedRule {
  readonly key: string
  readonly place: Place
  /** Name and value, percent-decoded once. */
  readonly params: readonly (readonly [string, string])[]
  readonly mode: Rule['mode']
  readonly why: string | undefined
}

export async function explainRequest(table: RouteTable, asked: AskedRequest): Promise<Explanation> {
  const evaluation = await evaluate(table, asked)
  const target = readTarget(asked.target)
  const isRead = evaluation.head !== undefined && !('kind' in target)
  return isRead
    ? explainMatch(table, asked, evaluation, target)
    : { ...NOTHING, outcome: evaluation.outcome, cause: unreadCause(evaluation, asked) }
}

const NOTHING: Omit<Explanation, 'outcome' | 'cause'> = {
  isAllowed: false,
  rule: undefined,
  needs: [],
  upstream: undefined,
  losers: [],
  fix: undefined
}

function unreadCause({ decision }: Evaluation, { target }: AskedRequest): string | undefined {
  return decision.kind === 'denial' ? causeOfUnread(decision, target) : undefined
}

async function explainMatch(
  table: RouteTable,
  asked: AskedRequest,
  { decision, outcome, head }: Evaluation,
  target: Target
): Promise<Explanation> {
  const { method } = asked
  const match = table.match(method, target)
  const denial = decision.kind === 'denial' ? decision : undefined
  const found = match.kind === 'rule' ? { ...asked, ...match, target, head } : undefined
  const isFixable = found !== undefined && outcome !== 'allow'
  return {
    outcome,
    isAllowed: !denial,
    cause: causeOf(match, denial, { method, target }, table),
    rule: found && explainedRule(found.rule, found.params),
    needs: found ? needsOf(found, table) : [],
    upstream: upstreamOf(match, !denial, table),
    losers: losersFor(match, { method, segments: target.segments }, table),
    fix: isFixable ? await fixFor(asked, found, table) : fixWithoutRule(match, asked)
  }
}

function explainedRule(rule: Rule, params: readonly string[]): ExplainedRule {
  const { key, place, mode, why } = rule
  const named = rule.params.map((name, i) => [name, decodeSegment(params[i] ?? '')] as const)
  return { key, place, params: named, mode, why }
}

function losersFor(
  match: Match,
  sought: { readonly method: string; readonly segments: readonly string[] },
  { rules }: RouteTable
): readonly Loser[] {
  if (match.kind === 'rule') return losersOf(sought, match.rule, rules)
  return match.kind === 'none' ? losersOf(sought, undefined, rules) : []
}

function fixWithoutRule(match: Match, { method, target, caller }: AskedRequest): Fix | undefined {
  if (match.kind === 'own') {
    const isIn = match.route.need === 'public' || caller.kind === 'jwt'
    return isIn ? undefined : { text: 'a user JWT', caller: { kind: 'jwt' } }
  }
  if (match.kind !== 'none') return undefined
  const [path = ''] = target.split('?', 1)
  return { text: `a rule in the route file, for ${method} ${path}`, caller: undefined }
}

function upstreamOf(match: Match, isAllowed: boolean, table: RouteTable): Explanation['upstream'] {
  if (match.kind === 'rule') {
    const { need, upstream: name, timeoutMs } = match.rule
    return need.kind === 'deny' ? undefined : { name, timeoutMs }
  }
  const goesOn = isAllowed && (match.kind === 'options' || match.kind === 'none')
  return goesOn ? { name: 'default', timeoutMs: table.timeoutMs } : undefined
}
