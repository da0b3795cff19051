/** An explanation as people read it in a terminal: labels at the left, columns behind them. */
import type { Place } from '../core/rule.ts'
import type { Explanation } from './explain.ts'
import { placeText } from './findings.ts'
import type { NeedItem } from './needs.ts'
import { alignCells, type Cell, type Paint, PLAIN, printable, type Tone } from './text.ts'

const LABEL_WIDTH = 10

/** Each line ended. */
export function formatExplanation(explanation: Explanation, paint: Paint = PLAIN): string {
  const { outcome, cause, rule, needs, upstream, losers, fix } = explanation
  const tone: Tone = outcome === 'allow' ? 'good' : explanation.isAllowed ? 'warn' : 'bad'
  const lines = [
    paint(tone, outcome),
    ...labelled('because', cause === undefined ? [] : [[{ text: cause }]], paint),
    ...labelled('rule', rule ? ruleRows(rule) : [], paint),
    ...labelled('needs', needs.map(needRow), paint),
    ...labelled('upstream', upstream ? [[{ text: upstreamText(upstream) }]] : [], paint),
    ...labelled(
      'not',
      losers.map(({ rule: { key, place }, reason }) => [
        { text: key },
        { text: placeBeside(place, rule?.place), tone: 'quiet' },
        { text: reason }
      ]),
      paint
    ),
    ...labelled('fix', fix ? [[{ text: fix.text, tone: 'strong' }]] : [], paint)
  ]
  return lines.map(line => `${line}\n`).join('')
}

type Row = readonly Cell[]

function labelled(label: string, rows: readonly Row[], paint: Paint): readonly string[] {
  const clean = rows.map(row => row.map(cell => ({ ...cell, text: printable(cell.text) })))
  return alignCells(clean, paint).map((line, i) => {
    const shown = (i === 0 ? label : '').padEnd(LABEL_WIDTH)
    return `${paint('quiet', shown)}${line}`
  })
}

function ruleRows(rule: NonNullable<Explanation['rule']>): readonly Row[] {
  const { key, place, params, mode, why } = rule
  return [
    [{ text: key }, { text: placeText(place), tone: 'quiet' }],
    ...params.map(([name, value]) => [{ text: `${name} = ${value}` }]),
    ...(mode === 'report' ? [[{ text: 'in report mode: what it refuses is let through' }]] : []),
    ...(why === undefined ? [] : [[{ text: why, tone: 'quiet' } as const]])
  ]
}

const TONES = {
  given: 'good',
  missing: 'bad',
  optional: undefined,
  'not asked': undefined
} as const satisfies Record<NeedItem['state'], Tone | undefined>

function needRow({ what, state, note }: NeedItem): Row {
  const said = [{ text: what }, { text: state, tone: TONES[state] }]
  return note === '' ? said : [...said, { text: note }]
}

function upstreamText({ name, timeoutMs }: NonNullable<Explanation['upstream']>): string {
  return `${name}, ${timeoutMs} ms`
}

/** In the file of the rule: line and column alone. */
function placeBeside(place: Place, other: Place | undefined): string {
  return place.file === other?.file ? `:${place.line}:${place.col}` : placeText(place)
}
