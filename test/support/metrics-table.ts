/** The README's table of metrics: written from the catalogue, and read back from the README. */
import {
  COUNTERS,
  GAUGES,
  HISTOGRAMS,
  type Metric,
  PROCESS
} from '../../src/telemetry/catalogue.ts'
import { CODES, type Values } from '../../src/telemetry/labels.ts'

export interface MetricRow {
  /** With the prefix. */
  readonly name: string
  readonly kind: string
  readonly labels: readonly string[]
  readonly meaning: string
}

const DYNAMIC = {
  routes: 'keys of the first `METRICS_ROUTES` rules, `none`, `own`, `other`',
  upstreams: 'names of the route file',
  newest: 'one at a time'
}

export function metricsTable(): string {
  const row = (kind: string, [name, { help, labels }]: readonly [string, Metric]) =>
    `| \`${name}\` | ${kind} | ${labelsText(labels)} | ${help} |`
  const rows = [
    ...Object.entries<Metric>(COUNTERS).map(entry => row('counter', entry)),
    ...Object.entries<Metric>(GAUGES).map(entry => row('gauge', entry)),
    ...Object.entries<Metric>(HISTOGRAMS).map(entry => row('histogram', entry)),
    ...Object.entries<Metric>(PROCESS).map(entry =>
      row(entry[0].endsWith('_total') ? 'counter' : 'gauge', entry)
    )
  ]
  return ['| `tollgate_` + | kind | labels | meaning |', '|---|---|---|---|', ...rows].join('\n')
}

function labelsText(labels: Readonly<Record<string, Values>>): string {
  const texts = Object.entries(labels).map(([name, values]) => `\`${name}\`: ${valuesText(values)}`)
  return texts.length === 0 ? '–' : texts.join('; ')
}

function valuesText(values: Values): string {
  if (typeof values === 'string') return DYNAMIC[values]
  return values === CODES ? 'codes of answers, `OK`' : values.join(', ')
}

const ROW = /^\| `(\w+)` \| (counter|gauge|histogram) \| (.*?) \| (.*?) \|$/gm

/** As somebody reads it who has only the README. */
export function readMetricsTable(readme: string): readonly MetricRow[] {
  const table = /<!-- generated: metrics -->\n([\s\S]*?)<!-- end -->/.exec(readme)?.[1] ?? ''
  return [...table.matchAll(ROW)].map(([, name = '', kind = '', labels = '', meaning = '']) => ({
    name: `tollgate_${name}`,
    kind,
    labels: [...labels.matchAll(/`(\w+)`:/g)].map(([, label = '']) => label),
    meaning
  }))
}
