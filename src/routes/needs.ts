/**
 * What a rule asks of one caller, item by item, and whether it is there. The verdicts are those of
 * the gate's own functions; this puts words to them.
 */
import type { Head } from '../core/head.ts'
import { denyBodyRepositories, denyRepositories, readQuery } from '../core/repositories.ts'
import type { Binding, Need, Rule, RouteTable } from '../core/rule.ts'
import { decodeSegment, type Target } from '../core/target.ts'
import type { Caller } from './tests.ts'

export interface NeedItem {
  /** `scope scans:trigger`, `repository r2`, `signature`. */
  readonly what: string
  readonly state: 'given' | 'missing' | 'optional' | 'not asked'
  /** Why, in a few words; may be empty. */
  readonly note: string
}

/** One request that a rule was found for. */
export interface AskedOfRule {
  readonly rule: Rule
  /** Raw segments, in the order of `rule.params`. */
  readonly params: readonly string[]
  readonly target: Target
  /** As the gate read it; undefined: it was refused before that. */
  readonly head: Head | undefined
  readonly body: Uint8Array | undefined
  readonly caller: Caller
}

/** Empty where nothing can be asked: the rule says deny. */
export function needsOf(asked: AskedOfRule, table: RouteTable): readonly NeedItem[] {
  const { rule, caller } = asked
  const { need } = rule
  if (need.kind === 'deny') return []
  if (need.kind === 'public') return [item('credential', 'not asked', 'open to everybody')]
  const credential = credentialItem(need, caller)
  if (need.kind === 'jwt') return [credential]
  const scopes = scopeItems(need, caller, table)
  const first = scopes.length === 0 ? [credential] : scopes
  return [...first, ...repositoryItems(asked), signatureItem(asked)]
}

function item(what: string, state: NeedItem['state'], note = ''): NeedItem {
  return { what, state, note }
}

function credentialItem({ kind }: Need, caller: Caller): NeedItem {
  const what = kind === 'jwt' ? 'user JWT' : 'credential'
  if (caller.kind === 'none') return item(what, 'missing', 'none is sent')
  if (kind === 'jwt' && caller.kind === 'cli-token') {
    return item(what, 'missing', 'a ci_ token is sent')
  }
  return item(what, 'given', caller.kind === 'jwt' ? 'a user JWT' : 'a ci_ token')
}

function scopeItems(need: Need, caller: Caller, table: RouteTable): readonly NeedItem[] {
  if (need.kind !== 'all' && need.kind !== 'any') return []
  if (need.kind === 'any') {
    return [scopeItem(`one of ${need.scopes.join(', ')}`, need.scopes, caller, table)]
  }
  return need.scopes.map(scope => scopeItem(`scope ${scope}`, [scope], caller, table))
}

/** `scopes`: any of them will do. */
function scopeItem(
  what: string,
  scopes: readonly string[],
  caller: Caller,
  table: RouteTable
): NeedItem {
  if (caller.kind === 'none') return item(what, 'missing', 'no credential is sent')
  if (caller.kind === 'jwt') return item(what, 'not asked', 'scopes limit ci_ tokens alone')
  const granted = caller.scopes
  if (granted.some(scope => scopes.includes(scope))) return item(what, 'given')
  const bringer = granted.find(scope =>
    table.effectiveScopes([scope]).some(held => scopes.includes(held))
  )
  if (bringer !== undefined) return item(what, 'given', `through ${bringer}`)
  return item(what, 'missing', `token has: ${granted.join(', ') || 'no scopes'}`)
}

function signatureItem({ rule: { signature }, caller }: AskedOfRule): NeedItem {
  if (signature === 'optional') return item('signature', 'optional')
  if (caller.kind === 'jwt') return item('signature', 'not asked', 'a JWT cannot sign')
  if (caller.kind === 'none') return item('signature', 'missing', 'no credential is sent')
  return caller.isSigned
    ? item('signature', 'given')
    : item('signature', 'missing', 'the request is not signed')
}

function repositoryItems(asked: AskedOfRule): readonly NeedItem[] {
  const { rule, caller } = asked
  const isLimited = caller.kind === 'cli-token' && caller.repositories !== null
  if (!rule.bindings) {
    return isLimited
      ? [item('repository', 'missing', 'the rule names none: no limited token may use it')]
      : []
  }
  const others = rule.bindings.filter(({ kind }) => kind !== 'upstream' && kind !== 'none')
  if (isLimited && others.length === 0) return [limitItem(rule, caller.repositories)]
  return others.map(binding => bindingItem(binding, asked))
}

function limitItem({ bindings = [] }: Rule, allowed: readonly string[]): NeedItem {
  const isUpstream = bindings.some(({ kind }) => kind === 'upstream')
  const note = isUpstream ? `the upstream answers for: ${listed(allowed)}` : 'none is touched'
  return item('repository', 'not asked', note)
}

function listed(allowed: readonly string[]): string {
  return allowed.join(', ') || 'none'
}

function bindingItem(binding: Binding, asked: AskedOfRule): NeedItem {
  const { rule, caller } = asked
  const value = valueOf(binding, asked)
  const what = value === undefined ? `repository in ${bindingText(binding)}` : `repository ${value}`
  if (caller.kind === 'none') return item(what, 'not asked', 'asked of limited tokens alone')
  if (caller.kind === 'jwt') return item(what, 'not asked', 'repositories limit ci_ tokens alone')
  if (caller.repositories === null) return item(what, 'given', 'the token is for all')
  const isLeft = rule.bindings?.some(({ kind }) => kind === 'upstream') ?? false
  const alone = { ...rule, bindings: [binding, ...(isLeft ? [{ kind: 'upstream' } as const] : [])] }
  switch (reasonAgainst(alone, asked, caller.repositories)) {
    case undefined:
      return value === undefined && isLeft && binding.kind !== 'body-list'
        ? item(
            what,
            'not asked',
            `absent: the upstream answers for: ${listed(caller.repositories)}`
          )
        : item(what, 'given')
    case 'absent':
      return item(what, 'missing', 'the request does not name it')
    case 'not-allowed':
      return item(what, 'missing', `token is limited to: ${listed(caller.repositories)}`)
    default:
      return item(what, 'missing', 'it cannot be read in one way')
  }
}

/** The gate's reason for a refusal by this binding; undefined: there is none. */
function reasonAgainst(
  rule: Rule,
  { params, target, head, body }: AskedOfRule,
  allowed: readonly string[]
): string | undefined {
  const verdict = denyRepositories(rule, params, target, allowed)
  if (verdict === undefined) return undefined
  if (verdict !== 'body-needed') return verdict.reason ?? verdict.code
  if (!head) return 'unread'
  const denial = denyBodyRepositories(rule, head, body ?? new Uint8Array(), allowed)
  return denial && (denial.reason ?? denial.code)
}

/** What the request names here, where that is one readable value. */
export function valueOf(binding: Binding, { params, target }: AskedOfRule): string | undefined {
  if (binding.kind === 'path') return decodeSegment(params[binding.index] ?? '')
  if (binding.kind !== 'query') return undefined
  const value = readQuery(target.query, binding.name)
  return typeof value === 'string' ? value : undefined
}

/** As written in the file. */
export function bindingText(binding: Binding): string {
  switch (binding.kind) {
    case 'path':
      return `{${binding.name}}`
    case 'query':
      return `query.${binding.name}`
    case 'body':
      return `body.${binding.name}`
    case 'body-list':
      return `body.${binding.name}[]`
    case 'upstream':
    case 'none':
      return binding.kind
  }
}
