/** What the gates say of themselves during a soak, every few seconds. */
import type { GateProcess } from '../../test/support/gate.ts'
import { metricsOf } from '../../test/support/prometheus.ts'
import { median } from '../result.ts'

export interface Sample {
  readonly atMs: number
  readonly residentBytes: number
  readonly heapBytes: number
  readonly files: number
  readonly lagMs: number
  readonly streams: number
}

/** Undefined: it does not answer, because it is stopped. */
export async function sampleGate(gate: GateProcess, atMs: number): Promise<Sample | undefined> {
  try {
    const scrape = await metricsOf(gate)
    return {
      atMs,
      residentBytes: scrape.value('process_resident_memory_bytes'),
      heapBytes: scrape.value('heap_used_bytes'),
      files: scrape.value('open_fds'),
      lagMs: scrape.value('event_loop_lag_seconds') * 1000,
      streams: scrape.sum('streams')
    }
  } catch {
    return undefined
  }
}

/** The medians of a share of the time: `part(samples, 0.9, 1)` is its last tenth. */
export function part(samples: readonly Sample[], from: number, to: number) {
  const some = samples.slice(
    Math.floor(samples.length * from),
    Math.max(1, Math.ceil(samples.length * to))
  )
  const of = (read: (sample: Sample) => number) => median(some.map(read))
  return {
    residentBytes: of(sample => sample.residentBytes),
    heapBytes: of(sample => sample.heapBytes),
    files: of(sample => sample.files),
    lagMs: of(sample => sample.lagMs),
    streams: of(sample => sample.streams)
  }
}
