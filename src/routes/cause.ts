/**
 * Why a request is answered as it is, where no need of a rule is the reason: one sentence, for people
 * who have only seen `Malformed request` or `Access denied`.
 */
import type { Denial } from '../core/decision.ts'
import { parseOrThrow } from '../core/route-pattern.ts'
import type { Match, Rule, RouteTable } from '../core/rule.ts'
import { decodeSegment, type Target } from '../core/target.ts'

const BODY = 'the body cannot be read in one way'
const QUERY = 'the query cannot be read in one way'

/** By the reason that the log has as well. */
const CAUSES: Readonly<Record<string, string>> = {
  method: 'this is no method; they are written in capitals',
  handshake: 'this is no well-formed WebSocket handshake',
  'signed-get-with-body': 'a signed GET or HEAD has no body',
  'query-separator': `${QUERY}: some servers separate at ";"`,
  'query-encoding': `${QUERY}: an escape is no UTF-8`,
  'query-twins': `${QUERY}: the repository's name stands there twice, or in another spelling`,
  'body-twins': `${BODY}: a member differs from the repository's name in case alone`,
  'body-type': `${BODY}: the repository is not text, or not a list of 1 to 100 texts`,
  'body-no-object': `${BODY}: it is no JSON object`
}

/** Undefined: a rule took the request, and its needs say the rest. */
export function causeOf(
  match: Match,
  denial: Denial | undefined,
  { method, target }: { readonly method: string; readonly target: Target },
  table: RouteTable
): string | undefined {
  switch (match.kind) {
    case 'own':
      return 'the gate answers this path itself'
    case 'reserved':
      return "this path is at or below one of the gate's own, and is none of them"
    case 'options':
      return 'no rule names OPTIONS; the file says options: upstream, so it goes on without a credential'
    case 'near-miss':
      return nearMiss(target, table.rules)
    case 'none':
      return method === 'OPTIONS'
        ? 'no rule names OPTIONS for this path, and the file does not let it through'
        : 'no rule of the route file covers this method and path'
    case 'rule':
      if (match.rule.need.kind === 'deny') return 'the rule refuses everybody'
      return denial?.status === 400 ? (CAUSES[denial.reason ?? ''] ?? BODY) : undefined
  }
}

/** For a request that was refused before any rule was looked for. */
export function causeOfUnread({ reason }: Denial, rawTarget: string): string {
  return reason === 'target' ? describeTarget(rawTarget) : (CAUSES[reason ?? ''] ?? 'malformed')
}

function nearMiss({ segments }: Target, rules: readonly Rule[]): string {
  for (const { key } of rules) {
    for (const [i, segment] of parseOrThrow(key).segments.entries()) {
      const raw = segments[i]
      const texts =
        segment.kind === 'literal' ? [segment.text] : segment.kind === 'enum' ? segment.values : []
      const meant = texts.find(text => raw !== undefined && text !== raw && isLike(text, raw))
      if (meant === undefined) continue
      return `segment ${i + 1}: "${raw}" is not "${meant}", but a less strict server would take it for that`
    }
  }
  return "a segment is nearly one of the gate's own paths"
}

function isLike(text: string, raw: string): boolean {
  return text.toLowerCase() === decodeSegment(raw).toLowerCase()
}

/** What is wrong with a target, the likeliest thing first; each row is a pattern and its sentence. */
const TARGET_FAULTS: readonly (readonly [RegExp, string])[] = [
  [/^(?!\/)/, 'the target must begin with "/": a path, and perhaps a query'],
  [/#/, 'a "#" is never part of a request'],
  [/^[^?]*\/\//, 'the path has an empty segment ("//")'],
  [/^[^?]*\/(?:\.|%2e){1,2}(?:\/|\?|$)/i, 'the path has a segment "." or ".."'],
  [/^[^?]*(?:%2f|\\|%5c)/i, 'the path has an encoded slash or a backslash'],
  [/^[^?]*(?:;|%3b)/i, 'the path has a ";", at which some servers cut'],
  [/%(?![0-9a-f]{2})/i, 'a "%" is not followed by two hex digits'],
  [/^[^?]*%(?:2d|2e|5f|7e|3\d|[46][1-9a-f]|[57][0-9a])/i, 'the path escapes what needs no escape'],
  [/[^\x21-\x7e]/, 'a blank, a control character or a letter beyond ASCII is not percent-encoded']
]

function describeTarget(raw: string): string {
  const found = TARGET_FAULTS.find(([pattern]) => pattern.test(raw))
  return `${found?.[1] ?? 'the path has a character that two servers could read in two ways'}: refused, whatever the rules say`
}
