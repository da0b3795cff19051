/**
 * Histograms: counted in flat lists, written as text when they are asked for. prom-client's own finds
 * the series anew and keeps its buckets under names made of numbers; three observations of a request
 * cost 4 % of it that way.
 * Source: https://prometheus.io/docs/instrumenting/exposition_formats/
 */
import type { Labels } from '../core/observer.ts'
import type { HistogramMetric } from './catalogue.ts'
import { allLabels, createSeriesSet, type IsAllowed, type Series } from './series.ts'

/** What one series has seen. */
interface Distribution {
  /** By bucket: those above the bound before, and not above its own; the last one has no bound. */
  readonly counts: number[]
  sum: number
}

export interface Histogram {
  /** `value`: finite, in the unit of the metric's name. */
  observe(value: number, labels: Labels): void
  /** Without a line break at the end. */
  render(): string
}

/** `name`: as it is served. Bounds rise. */
export function createHistogram(
  name: string,
  metric: HistogramMetric,
  isAllowed: IsAllowed
): Histogram {
  const { help, buckets } = metric
  const series = createSeriesSet<Distribution>(metric, isAllowed, () => ({
    counts: Array.from({ length: buckets.length + 1 }, () => 0),
    sum: 0
  }))
  for (const labels of allLabels(metric)) series.of(labels)
  return {
    observe(value, labels) {
      const distribution = series.of(labels)
      let place = 0
      while (value > (buckets[place] ?? Infinity)) place += 1
      distribution.counts[place] = (distribution.counts[place] ?? 0) + 1
      distribution.sum += value
    },
    render() {
      const head = [`# HELP ${name} ${help}`, `# TYPE ${name} histogram`]
      const lines = [...series.all()].flatMap(one => textOf(name, buckets, one))
      return [...head, ...lines].join('\n')
    }
  }
}

function textOf(
  name: string,
  buckets: readonly number[],
  { labels, state }: Series<Distribution>
): readonly string[] {
  const pairs = Object.entries(labels).map(([label, value]) => `${label}="${escape(value)}"`)
  const own = pairs.length > 0 ? `{${pairs.join(',')}}` : ''
  let count = 0
  const lines = state.counts.map((seen, place) => {
    count += seen
    const bound = `le="${buckets[place] ?? '+Inf'}"`
    return `${name}_bucket{${[bound, ...pairs].join(',')}} ${count}`
  })
  return [...lines, `${name}_sum${own} ${state.sum}`, `${name}_count${own} ${count}`]
}

/** Of a label's value: the three characters that would end it. */
function escape(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
}
