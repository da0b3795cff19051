/**
 * A strict reader of Prometheus' text format: what it accepts, any scraper does. Fails on what
 * promtool fails on (syntax, a sample without its TYPE, a metric in two places, a series twice) and
 * on histograms that do not add up.
 * Source: https://prometheus.io/docs/instrumenting/exposition_formats/ (text format 0.0.4).
 */
import type { GateProcess } from './gate.ts'

export interface Sample {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

export interface Family {
  readonly name: string
  readonly help: string
  readonly kind: string
  readonly samples: readonly Sample[]
}

interface Growing extends Family {
  readonly samples: Sample[]
}

const NAME = '[a-zA-Z_:][a-zA-Z0-9_:]*'
const COMMENT = new RegExp(`^# (HELP|TYPE) (${NAME}) (.*)$`)
const SAMPLE = new RegExp(`^(${NAME})(?:\\{(.*)\\})? (\\S+)$`)
const LABEL = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(?:,|$)/
const KINDS = ['counter', 'gauge', 'histogram', 'summary', 'untyped']
const SUFFIXES = ['_bucket', '_sum', '_count']

/** Throws with the number of the line that is wrong. */
export function parseMetrics(text: string): ReadonlyMap<string, Family> {
  if (!text.endsWith('\n')) throw new Error('the last line does not end')
  const families = new Map<string, Growing>()
  let current: Growing | undefined
  const series = new Set<string>()
  for (const [i, line] of text.split('\n').entries()) {
    const wrong = (why: string) => new Error(`line ${i + 1}: ${why}: ${line}`)
    if (line === '') continue
    if (line.startsWith('#')) {
      const [, keyword, name = '', rest = ''] = COMMENT.exec(line) ?? []
      if (keyword === undefined) throw wrong('no HELP and no TYPE')
      if (keyword === 'HELP') {
        if (families.has(name)) throw wrong('the metric is there already')
        current = { name, help: rest, kind: '', samples: [] }
      } else {
        if (current?.name !== name || current.kind !== '') throw wrong('TYPE without its HELP')
        if (!KINDS.includes(rest)) throw wrong('no kind')
        current = { ...current, kind: rest }
        families.set(name, current)
      }
      continue
    }
    const [, name = '', inner, valueText = ''] = SAMPLE.exec(line) ?? []
    if (name === '') throw wrong('no sample')
    if (!current || current.kind === '' || !isOf(current, name))
      throw wrong('not of the metric above')
    const labels = parseLabels(inner ?? '')
    if (!labels) throw wrong('labels')
    const value = parseValue(valueText)
    if (value === undefined) throw wrong('no value')
    const key = `${name} ${Object.entries(labels)
      .map(pair => pair.join('='))
      .toSorted()
      .join('\n')}`
    if (series.has(key)) throw wrong('the series is there already')
    series.add(key)
    current.samples.push({ name, labels, value })
  }
  for (const family of families.values()) checkFamily(family)
  return families
}

function isOf({ name, kind }: Family, sample: string): boolean {
  if (kind !== 'histogram') return sample === name
  return SUFFIXES.some(suffix => sample === name + suffix)
}

function parseLabels(text: string): Readonly<Record<string, string>> | undefined {
  const labels: Record<string, string> = {}
  let rest = text
  while (rest !== '') {
    const [all, name = '', value = ''] = LABEL.exec(rest) ?? []
    if (all === undefined || name in labels) return undefined
    labels[name] = value.replaceAll(/\\([\\"n])/g, (_, of: string) => (of === 'n' ? '\n' : of))
    rest = rest.slice(all.length)
  }
  return labels
}

function parseValue(text: string): number | undefined {
  if (text === '+Inf') return Infinity
  if (text === '-Inf') return -Infinity
  if (text === 'NaN') return Number.NaN
  return /^[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?$/.test(text) ? Number(text) : undefined
}

function checkFamily(family: Family): void {
  const { name, kind, samples } = family
  if (family.help === '') throw new Error(`${name} has no help`)
  if (kind === 'counter') {
    if (!name.endsWith('_total')) throw new Error(`the counter ${name} does not end with _total`)
    if (samples.some(({ value }) => !(value >= 0))) throw new Error(`${name} is below zero`)
  }
  if (kind === 'histogram') checkHistogram(family)
}

function checkHistogram({ name, samples }: Family): void {
  const groups = new Map<string, { buckets: [number, number][]; count?: number; sum?: number }>()
  for (const sample of samples) {
    const { le, ...rest } = sample.labels
    const key = JSON.stringify(rest)
    const group = groups.get(key) ?? { buckets: [] }
    groups.set(key, group)
    if (sample.name === `${name}_sum`) group.sum = sample.value
    else if (sample.name === `${name}_count`) group.count = sample.value
    else group.buckets.push([parseValue(le ?? '') ?? Number.NaN, sample.value])
  }
  for (const [key, { buckets, count, sum }] of groups) {
    const isRising = buckets.every(([le, value], i) => {
      const [before = -Infinity, valueBefore = 0] = buckets[i - 1] ?? []
      return le > before && value >= valueBefore
    })
    const [last, total] = buckets.at(-1) ?? []
    const isWhole = last === Infinity && total === count && sum !== undefined
    if (!isRising || !isWhole) throw new Error(`the histogram ${name} ${key} does not add up`)
  }
}

export interface Scrape {
  readonly families: ReadonlyMap<string, Family>
  /** Of the series with these labels and no others; 0 where it is not there. Without the prefix. */
  value(name: string, labels?: Readonly<Record<string, string>>): number
  /** Of all series that have these labels, besides others. */
  sum(name: string, labels?: Readonly<Record<string, string>>): number
}

export async function metricsOf({ adminUrl }: Pick<GateProcess, 'adminUrl'>): Promise<Scrape> {
  const answer = await fetch(`${adminUrl}/metrics`)
  const families = parseMetrics(await answer.text())
  const samples = (name: string) => {
    const full = `tollgate_${name}`
    const family = families.get(full) ?? families.get(full.replace(/_(?:count|sum|bucket)$/, ''))
    if (!family) throw new Error(`no metric ${name}`)
    return family.samples.filter(sample => sample.name === full)
  }
  const has = (sample: Sample, labels: Readonly<Record<string, string>>) =>
    Object.entries(labels).every(([key, value]) => sample.labels[key] === value)
  return {
    families,
    value: (name, labels = {}) =>
      samples(name).find(
        sample =>
          has(sample, labels) && Object.keys(sample.labels).length === Object.keys(labels).length
      )?.value ?? 0,
    sum: (name, labels = {}) =>
      samples(name)
        .filter(sample => has(sample, labels))
        .reduce((total, { value }) => total + value, 0)
  }
}
