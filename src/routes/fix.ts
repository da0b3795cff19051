/**
 * What would change the answer: another credential where that is enough, which is tried before it is
 * told; else what to change in the request or in the file.
 */
import type { Need, Rule, RouteTable } from '../core/rule.ts'
import { parseStrictJson } from '../core/strict-json.ts'
import { type AskedRequest, evaluate } from './evaluate.ts'
import { placeText as fileText } from './findings.ts'
import { type AskedOfRule, bindingText, valueOf } from './needs.ts'
import type { Caller } from './tests.ts'

export interface Fix {
  /** `a token with scopes scans:trigger and repository r2`. */
  readonly text: string
  /** With whom the request passes; undefined: a credential alone is not enough. */
  readonly caller: Caller | undefined
}

/** For a request that a rule refused, or lets through in report mode alone. */
export async function fixFor(
  asked: AskedRequest,
  found: AskedOfRule,
  table: RouteTable
): Promise<Fix | undefined> {
  const { rule } = found
  if (rule.need.kind === 'deny') return change(`nothing but the rule, at ${fileText(rule.place)}`)
  const caller = whoMay(found)
  const { decision, outcome } = await evaluate(table, { ...asked, caller })
  if (outcome === 'allow') return { text: callerText(caller, found), caller }
  const reason = decision.kind === 'denial' ? decision.reason : undefined
  return reason === 'absent' ? change(nameIt(rule)) : undefined
}

function change(text: string): Fix {
  return { text, caller: undefined }
}

/** The least that the rule takes, of the kind that asked. */
function whoMay({ rule, caller, ...rest }: AskedOfRule): Caller {
  if (rule.need.kind === 'jwt') return { kind: 'jwt' }
  const limit = caller.kind === 'cli-token' && rule.bindings ? caller.repositories : null
  const named = limit && repositoriesNamed({ rule, caller, ...rest })
  const repositories = named && named.length > 0 ? named : limit
  const isSigned = rule.signature === 'required'
  return { kind: 'cli-token', scopes: scopesOf(rule.need), repositories, isSigned }
}

function scopesOf(need: Need): readonly string[] {
  if (need.kind === 'all') return need.scopes
  return need.kind === 'any' ? need.scopes.slice(0, 1) : []
}

/** All that the request names, wherever. */
function repositoriesNamed(asked: AskedOfRule): readonly string[] {
  const named = (asked.rule.bindings ?? []).flatMap(binding => {
    if (binding.kind === 'body' || binding.kind === 'body-list') {
      return textsIn(memberOf(asked.body, binding.name))
    }
    return textsIn(valueOf(binding, asked))
  })
  return [...new Set(named)]
}

function memberOf(body: Uint8Array | undefined, name: string): unknown {
  const parsed = body && parseStrictJson(body)
  if (!parsed || 'problem' in parsed || typeof parsed.value !== 'object') return undefined
  return new Map<string, unknown>(Object.entries(parsed.value ?? {})).get(name)
}

function textsIn(value: unknown): readonly string[] {
  if (typeof value === 'string') return value === '' ? [] : [value]
  return Array.isArray(value) ? value.flatMap(textsIn) : []
}

function callerText(fixed: Caller, { rule, caller }: AskedOfRule): string {
  if (fixed.kind !== 'cli-token') return 'a user JWT'
  const { scopes, repositories, isSigned } = fixed
  const held = scopes.length > 0 ? `a token with scopes ${scopes.join(', ')}` : 'any token'
  const jwt = caller.kind === 'none' ? ', or a user JWT' : ''
  return `${held}${limitText(repositories, { rule, caller })}${isSigned ? ', the request signed' : ''}${jwt}`
}

function limitText(
  repositories: readonly string[] | null,
  { rule, caller }: Pick<AskedOfRule, 'rule' | 'caller'>
): string {
  if (repositories !== null) {
    const word = repositories.length === 1 ? 'repository' : 'repositories'
    return ` and ${word} ${repositories.join(', ') || '(none)'}`
  }
  const wasLimited = caller.kind === 'cli-token' && caller.repositories !== null
  return wasLimited ? ` for all repositories; or repo on the rule, at ${fileText(rule.place)}` : ''
}

/** Where the request has to name a repository, and does not. */
function nameIt({ bindings = [] }: Rule): string {
  const places = bindings.filter(({ kind }) => kind !== 'path').map(bindingText)
  return `name the repository in the request: ${places.join(', ')}`
}
