/**
 * The metrics, in the text format of Prometheus. The catalogue is the only place where one is made.
 *
 * Own gauges of the process instead of prom-client's default set: that one keeps an observer of
 * garbage collection and a delay histogram running. They are read when somebody asks.
 * Source: https://prometheus.io/docs/instrumenting/exposition_formats/
 */
import { readdir } from 'node:fs/promises'
import { Counter, Gauge, Registry } from 'prom-client'
import type { CounterName, GaugeName, HistogramName, Observer } from '../core/observer.ts'
import { COUNTERS, GAUGES, HISTOGRAMS, type Metric, PROCESS } from './catalogue.ts'
import { createHistogram } from './histogram.ts'
import { allLabels, createSeriesSet, type IsAllowed, OTHER, type SeriesSet } from './series.ts'

export interface Metrics extends Observer {
  /** Content-Type of the rendered text. */
  readonly contentType: string
  render(): Promise<string>
  /** Called at each rendering, for gauges that are read where they stand. */
  onRender(read: () => void): void
  /** Keys of the rules in the order of the file: the first ones get series of their own. */
  setRoutes(keys: readonly string[]): void
}

export interface MetricsOptions {
  /** Of the product. */
  readonly version: string
  /** How many rules get series of their own; later ones count as `other`. */
  readonly routeLimit: number
}

interface Cell {
  value: number
}

const PREFIX = 'tollgate_'
/** Upstreams are named in the route file; this many over the life of a process are told apart. */
const MOST_UPSTREAMS = 100
/** What a request has for a rule when it has none. */
const NO_RULE = ['none', 'own', OTHER]

export function createMetrics({ version, routeLimit }: MetricsOptions): Metrics {
  const registry = new Registry()
  let routes = new Set(NO_RULE)
  const upstreams = new Set<string>()
  const isAllowed: IsAllowed = (values, value) => {
    if (values === 'newest') return true
    if (values === 'routes') return routes.has(value)
    if (upstreams.size < MOST_UPSTREAMS) upstreams.add(value)
    return upstreams.has(value)
  }
  const counters = startCells(COUNTERS, isAllowed)
  // From zero on: an alert on the increase of a counter does not see one that begins with 1.
  for (const { metric, series } of counters.values()) {
    for (const labels of allLabels(metric)) series.of(labels)
  }
  const gauges = startCells(GAUGES, isAllowed)
  const histograms = new Map(
    Object.entries(HISTOGRAMS).map(([name, metric]) => [
      name,
      createHistogram(PREFIX + name, metric, isAllowed)
    ])
  )
  const writeCounters = makeInstruments(
    counters,
    metric => new Counter({ ...metric, registers: [registry] }),
    (counter, labels, value) => counter.inc(labels, value)
  )
  const writeGauges = makeInstruments(
    gauges,
    metric => new Gauge({ ...metric, registers: [registry] }),
    (gauge, labels, value) => gauge.set(labels, value)
  )
  const readers: (() => void)[] = []
  const readProcess = createProcessGauges(registry, version)

  return {
    contentType: registry.contentType,
    count(name: CounterName, labels = {}, by = 1) {
      const cell = counters.get(name)?.series.of(labels)
      if (cell && by > 0 && Number.isFinite(by)) cell.value += by
    },
    gauge(name: GaugeName, value: number, labels = {}) {
      const cell = gauges.get(name)?.series.of(labels)
      if (cell && !Number.isNaN(value)) cell.value = value
    },
    measure(name: HistogramName, value: number, labels = {}) {
      if (Number.isFinite(value)) histograms.get(name)?.observe(value, labels)
    },
    onRender: read => void readers.push(read),
    async render() {
      for (const read of readers) read()
      await readProcess()
      writeCounters()
      writeGauges()
      const texts = Array.from(histograms.values(), histogram => histogram.render())
      return `${await registry.metrics()}\n${texts.join('\n\n')}\n`
    },
    setRoutes(keys) {
      routes = new Set([...NO_RULE, ...keys.slice(0, routeLimit)])
      for (const { series } of counters.values()) series.prune()
    }
  }
}

interface Cells {
  readonly metric: Metric
  readonly series: SeriesSet<Cell>
}

function startCells(
  metrics: Readonly<Record<string, Metric>>,
  isAllowed: IsAllowed
): ReadonlyMap<string, Cells> {
  const start = (metric: Metric) => ({
    metric,
    series: createSeriesSet<Cell>(metric, isAllowed, () => ({ value: 0 }))
  })
  return new Map(Object.entries(metrics).map(([name, metric]) => [name, start(metric)]))
}

/** Gives the function that carries the numbers over into prom-client's instruments. */
function makeInstruments<T extends { reset(): void }>(
  cells: ReadonlyMap<string, Cells>,
  make: (described: ReturnType<typeof describe>) => T,
  set: (instrument: T, labels: Record<string, string>, value: number) => void
): () => void {
  const pairs = [...cells].map(([name, { metric, series }]) => ({
    instrument: make(describe(name, metric)),
    series
  }))
  return () => {
    for (const { instrument, series } of pairs) {
      instrument.reset()
      for (const { labels, state } of series.all()) set(instrument, { ...labels }, state.value)
    }
  }
}

function describe(name: string, { help, labels }: Metric) {
  return { name: PREFIX + name, help, labelNames: Object.keys(labels) }
}

/** Gives the function that reads them. */
function createProcessGauges(registry: Registry, version: string): () => Promise<void> {
  const make = (name: keyof typeof PROCESS) =>
    new Gauge({ ...describe(name, PROCESS[name]), registers: [registry] })
  const cpuName = 'process_cpu_seconds_total'
  const cpu = new Counter({ ...describe(cpuName, PROCESS[cpuName]), registers: [registry] })
  const resident = make('process_resident_memory_bytes')
  const heap = make('heap_used_bytes')
  const files = make('open_fds')
  const build = make('build_info')
  build.set({ version, node: process.versions.node }, 1)
  return async () => {
    const { user, system } = process.cpuUsage()
    const { rss, heapUsed } = process.memoryUsage()
    cpu.reset()
    cpu.inc((user + system) / 1_000_000)
    resident.set(rss)
    heap.set(heapUsed)
    files.set(
      await readdir('/proc/self/fd').then(
        names => names.length,
        () => 0
      )
    )
  }
}
