/**
 * How late the event loop is, and what follows: while it is late for long, new requests are refused
 * at once, so that those under way get done. A single long turn is no overload, and shedding ends
 * only well below where it began, or it would flicker.
 */
import type { Observer } from '../core/observer.ts'
import type { Load, Log } from '../core/ports.ts'
import { overloaded } from './body.ts'

export interface LagMeter {
  /** One look: how late it came. Gives whether new work has to stay outside. */
  sample(lagMs: number, nowMs: number): boolean
  /** Of the last 10 s. */
  highestMs(nowMs: number): number
}

const EVERY_MS = 100
const SHED_ABOVE_MS = 250
const SAMPLES_ABOVE = 3
const UNTIL_BELOW_MS = 100
const SHOWN_MS = 10_000
/** A flickering overload is one line, not one each time. */
const TELL_ONCE_IN_MS = 10_000

export function createLagMeter(): LagMeter {
  let samplesAbove = 0
  let isShedding = false
  /** Falling lags by time: what is lower than a later one is never the highest again. */
  let peaks: { readonly lagMs: number; readonly atMs: number }[] = []
  return {
    sample(lagMs, nowMs) {
      peaks = [...peaks.filter(peak => peak.lagMs > lagMs), { lagMs, atMs: nowMs }]
      samplesAbove = lagMs > SHED_ABOVE_MS ? samplesAbove + 1 : 0
      if (samplesAbove >= SAMPLES_ABOVE) isShedding = true
      else if (lagMs < UNTIL_BELOW_MS) isShedding = false
      return isShedding
    },
    highestMs(nowMs) {
      peaks = peaks.filter(({ atMs }) => nowMs - atMs <= SHOWN_MS)
      return peaks[0]?.lagMs ?? 0
    }
  }
}

export interface RunningLoad extends Load {
  stop(): void
}

export interface LoadDeps {
  readonly observer: Observer
  readonly log: Log
}

export function startLoad({ observer, log }: LoadDeps): RunningLoad {
  const meter = createLagMeter()
  let isShedding = false
  let toldMs = -Infinity
  let dueMs = performance.now() + EVERY_MS
  let timer = setTimeout(look, EVERY_MS).unref()

  function look(): void {
    const nowMs = performance.now()
    const lagMs = Math.max(0, nowMs - dueMs)
    const wasShedding = isShedding
    isShedding = meter.sample(lagMs, nowMs)
    observer.gauge('event_loop_lag_seconds', meter.highestMs(nowMs) / 1000)
    if (isShedding && !wasShedding && nowMs - toldMs > TELL_ONCE_IN_MS) {
      toldMs = nowMs
      log.warn('too busy: new requests are refused', { lagMs: Math.round(lagMs) })
    }
    dueMs = nowMs + EVERY_MS
    timer = setTimeout(look, EVERY_MS).unref()
  }

  return {
    admit() {
      if (!isShedding) return
      observer.count('shed_total', { reason: 'lag' })
      throw overloaded()
    },
    stop: () => clearTimeout(timer)
  }
}
