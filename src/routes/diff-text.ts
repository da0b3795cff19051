/** A difference as people read it: what changed for whom, and for each change a request to try. */
import type { Need, Rule } from '../core/rule.ts'
import { countDiff, type DiffExample, type DiffLine, type RoutesDiff } from './diff.ts'
import { bindingText } from './needs.ts'
import { alignCells, type Paint, PLAIN, printable, type Tone } from './text.ts'
import type { Caller } from './tests.ts'

const INDENT = ' '.repeat(10)
const TONES = { WIDENED: 'bad', NARROWED: 'good', MOVED: 'warn' } as const satisfies Record<
  DiffLine['word'],
  Tone
>

/** Each line ended. */
export function formatDiff(diff: RoutesDiff, paint: Paint = PLAIN): string {
  const heads = alignCells(
    [
      ...diff.lines.map(line => [keyOf(line), changeOf(line)]),
      ...diff.defaults.map(({ scope, word }) => [
        `scope ${scope}`,
        word === 'WIDENED' ? 'default: false → true' : 'default: true → false'
      ])
    ].map(texts => texts.map(text => ({ text: printable(text) }))),
    PLAIN
  )
  const words = [...diff.lines, ...diff.defaults].map(({ word }) => word)
  const details = [
    ...diff.lines.map(line => [...sentencesOf(line), ...reasonsOf(line)]),
    ...diff.defaults.map(({ scope, word }) => [
      `a new token made without scopes ${word === 'WIDENED' ? 'gets' : 'no longer gets'} ${scope}`
    ])
  ]
  const lines = words.flatMap((word, i) => [
    `${paint(TONES[word], word.padEnd(8))}  ${heads[i]}`,
    ...(details[i] ?? []).map(text => `${INDENT}${printable(text)}`)
  ])
  const { unchanged } = countDiff(diff)
  return [...lines, `${unchanged} rule${unchanged === 1 ? '' : 's'} unchanged`]
    .map(line => `${line}\n`)
    .join('')
}

/** The rule's key, or what the requests have in common. */
export function keyOf({ before, after, subject }: DiffLine): string {
  return (after ?? before)?.key ?? subject
}

/** `repos:write → repos:read`, with whatever else of the rules decides differently. */
export function changeOf({ before, after, subject }: DiffLine): string {
  if (!before || !after) {
    const none = subject.startsWith('spellings') ? 'refused as malformed' : 'no rule'
    return [before, after].map(rule => (rule ? summaryOf(rule) : none)).join(' → ')
  }
  const [first, second] = [partsOf(before), partsOf(after)]
  const isToldBy = (i: number) => {
    const sides = [first[i] ?? '', second[i] ?? '']
    // Of what one of the two cannot have, only what is unusual is told.
    return sides.includes('') ? !sides.every(side => USUAL.includes(side)) : sides[0] !== sides[1]
  }
  const differing = first.map((_, i) => i).filter(isToldBy)
  const shown = differing.length === 0 ? [0] : differing
  const [from, to] = [first, second].map(parts =>
    shown
      .map(i => parts[i] ?? '')
      .filter(part => part !== '')
      .join(', ')
  )
  return `${from}${before.key === after.key ? '' : ` (${before.key})`} → ${to}`
}

/** What decides, each part always at the same place; empty where it cannot be said. */
function partsOf({ need, bindings, signature, mode, upstream, upgrade }: Rule): readonly string[] {
  if (need.kind === 'deny') return ['deny', '', '', '', '', '']
  const hasToken = need.kind !== 'public' && need.kind !== 'jwt'
  return [
    needText(need),
    hasToken ? `repo ${bindings?.map(bindingText).join(' ') ?? 'not said'}` : '',
    hasToken ? `signature ${signature}` : '',
    mode,
    `upstream ${upstream}`,
    upgrade ?? 'no websocket'
  ]
}

const USUAL: readonly string[] = [
  'repo not said',
  'signature optional',
  'enforce',
  'upstream default',
  'no websocket',
  ''
]

function summaryOf(rule: Rule): string {
  return partsOf(rule)
    .filter(part => !USUAL.includes(part))
    .join(', ')
}

function needText(need: Need): string {
  if (need.kind === 'all') return need.scopes.join(' and ')
  return need.kind === 'any' ? need.scopes.join(' or ') : need.kind
}

function reasonsOf({ before, after }: DiffLine): readonly string[] {
  if (after?.why !== undefined) return [`why: ${after.why}`]
  return before?.why === undefined ? [] : [`why it was: ${before.why}`]
}

function sentencesOf({ examples }: DiffLine): readonly string[] {
  const [now, no] = (['may now', 'may no longer'] as const).map(wanted =>
    examples.find(({ change }) => change === wanted)
  )
  const isOne = now && no && requestText(now) === requestText(no)
  const rest = isOne ? examples.filter(example => example !== now && example !== no) : examples
  const both = isOne
    ? [
        `${who(now.asked.caller)} may now, ${who(no.asked.caller)} may no longer, ${requestText(now)}`
      ]
    : []
  return [...both, ...rest.map(sentenceOf)]
}

function sentenceOf(example: DiffExample): string {
  const caller = who(example.asked.caller)
  switch (example.change) {
    case 'may now':
    case 'may no longer':
      return `${caller} ${example.change} ${requestText(example)}`
    case 'tunnel':
      return `${caller} may now open a WebSocket at ${example.asked.target}`
    case 'no tunnel':
      return `${caller} may no longer open a WebSocket at ${example.asked.target}`
    case 'upstream':
      return `${requestText(example)} goes to ${example.to}, no longer to ${example.from}`
  }
}

function requestText({ asked: { method, target, body } }: DiffExample): string {
  const sent = body === undefined ? '' : ` with the body ${Buffer.from(body).toString('utf8')}`
  return `${method} ${target}${sent}`
}

function who(caller: Caller): string {
  if (caller.kind !== 'cli-token') return caller.kind === 'none' ? 'anybody' : 'a user'
  const { scopes, repositories, isSigned } = caller
  const held = scopes.length === 0 ? 'a token without scopes' : `a token with ${scopes.join(', ')}`
  const limit = repositories === null ? '' : ` limited to ${repositories.join(', ')}`
  return `${held}${limit}${isSigned ? ', signing,' : ''}`
}
