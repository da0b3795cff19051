/**
 * Time. All of it comes in through one object, and no other file here reads a clock: `mono` goes on
 * while the process is stopped but not while the machine sleeps, `wall` shows sleep but can be set,
 * `boot` shows sleep and cannot be set but is dear. A reading that looks wrong by any of them is
 * stale, which costs one more poll and never a verdict.
 *
 * Instants that clients know (expiry, signature age) are judged by the database's clock.
 */
import { uptime } from 'node:os'
import type { Clock } from '../core/ports.ts'

/** Milliseconds, fractions allowed. Only differences of `mono` and of `boot` mean anything. */
export interface Clocks {
  monoMs(): number
  wallMs(): number
  /** Time since boot, sleep included. */
  bootMs(): number
}

/** Runs once, not before the time as the event loop sees it; gives what cancels it. */
export type Schedule = (run: () => void, afterMs: number) => () => void

/**
 * The machine's clocks. Where the system tells its uptime in whole seconds only (macOS), a jump of
 * 100 ms cannot be seen in it; `wall` alone shows sleep there.
 */
export function systemClocks(uptimeSeconds: () => number = uptime): Clocks {
  let isFine = false
  return {
    monoMs: () => performance.now(),
    wallMs: () => Date.now(),
    bootMs: () => {
      const seconds = uptimeSeconds()
      isFine ||= !Number.isInteger(seconds)
      return isFine ? seconds * 1000 : performance.now()
    }
  }
}

/** Timers that do not keep the process alive. */
export const systemSchedule: Schedule = (run, afterMs) => {
  const timer = setTimeout(run, afterMs)
  timer.unref()
  return () => clearTimeout(timer)
}

/**
 * Runs once `mono` has reached `dueMs`. A bare timer can be early: it counts from the start of the
 * event loop's turn, and that may have been long ago.
 */
export function scheduleAt(
  { clocks, schedule }: { readonly clocks: Clocks; readonly schedule: Schedule },
  dueMs: number,
  run: () => void
): () => void {
  let cancel = arm()
  return () => cancel()

  function arm(): () => void {
    return schedule(() => {
      if (clocks.monoMs() >= dueMs) run()
      else cancel = arm()
    }, dueMs - clocks.monoMs())
  }
}

/** The clocks at the sending of a statement. */
export interface Reading {
  readonly monoMs: number
  readonly wallMs: number
  readonly era: number
}

export interface Freshness {
  read(): Reading
  /** Number of sleeps noticed. */
  era(): number
  /** Whether less than `spanMs` have passed since, by every clock. */
  isFresh(reading: Reading, spanMs: number): boolean
  /** Compares `boot` with `mono`; after a sleep every reading so far is stale. */
  checkSleep(): void
}

/** How far `boot` and `mono` may come apart: both have jitter, and 10 ms are uptime's own step. */
const SLEEP_MS = 100

export function createFreshness(clocks: Clocks): Freshness {
  let era = 0
  let aheadMs = clocks.bootMs() - clocks.monoMs()
  return {
    read: () => ({ monoMs: clocks.monoMs(), wallMs: clocks.wallMs(), era }),
    era: () => era,
    isFresh(reading, spanMs) {
      const mono = clocks.monoMs() - reading.monoMs
      const wall = clocks.wallMs() - reading.wallMs
      return mono >= 0 && mono < spanMs && wall >= 0 && wall < spanMs && reading.era === era
    },
    checkSleep() {
      const nowAheadMs = clocks.bootMs() - clocks.monoMs()
      if (Math.abs(nowAheadMs - aheadMs) <= SLEEP_MS) return
      aheadMs = nowAheadMs
      era += 1
    }
  }
}

/** The database's clock as this replica knows it. */
export interface DatabaseClock extends Clock {
  /** An answer just arrived to a statement sent at `sent`, which read the database's clock. */
  observe(sent: Reading, dbNowMs: number): void
  /** Another server answers now: what was learnt of the old one's clock is void. */
  forget(): void
  /** Database minus machine. */
  offsetMs(): number
}

/** Round trips to choose the quickest from: its middle is the nearest to the database's moment. */
const SAMPLES = 8
/** Beyond this difference nobody can say which of the two clocks is wrong. */
const TRUSTED_MS = 30_000

interface Sample {
  readonly roundTripMs: number
  /** Database's clock minus `mono`. */
  readonly baseMs: number
  readonly era: number
}

/**
 * Until the first answer the machine's clock is all there is, and is trusted. After a sleep, `mono`
 * has missed time: then the machine's clock and its last known difference hold until an answer.
 */
export function createClock(clocks: Clocks, freshness: Freshness): DatabaseClock {
  let samples: readonly Sample[] = []
  let best: Sample | undefined
  let offsetMs = 0
  const nowMs = () => {
    const exactMs =
      best?.era === freshness.era() ? clocks.monoMs() + best.baseMs : clocks.wallMs() + offsetMs
    return Math.floor(exactMs)
  }
  return {
    nowMs,
    wallMs: () => clocks.wallMs(),
    isTrusted: () => Math.abs(nowMs() - clocks.wallMs()) <= TRUSTED_MS,
    observe(sent, dbNowMs) {
      const monoMs = clocks.monoMs()
      const { era } = sent
      const baseMs = dbNowMs - (sent.monoMs + monoMs) / 2
      const awake = samples.filter(sample => sample.era === era)
      samples = [...awake.slice(1 - SAMPLES), { roundTripMs: monoMs - sent.monoMs, baseMs, era }]
      best = samples.reduce((a, b) => (b.roundTripMs < a.roundTripMs ? b : a))
      offsetMs = best.baseMs + monoMs - clocks.wallMs()
    },
    forget() {
      samples = []
      best = undefined
    },
    offsetMs: () => nowMs() - clocks.wallMs()
  }
}
