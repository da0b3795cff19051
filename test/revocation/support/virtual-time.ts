/** Clocks and timers that move when a test says so. */
import type { Clocks, Schedule } from '../../../src/revocation/clocks.ts'

/** Fixed instant of every test here, ms since the epoch. */
export const NOW = 1_800_000_000_000

interface Timer {
  readonly dueMs: number
  readonly run: () => void
}

export interface VirtualTime {
  readonly clocks: Clocks
  readonly schedule: Schedule
  /** All clocks go on; timers run when they are due, and what follows from them. */
  advance(byMs: number): Promise<void>
  /** The process is stopped: time passes, and nothing runs until the next `advance`. */
  stop(forMs: number): void
  /** The machine sleeps: `mono` stands still. */
  sleep(forMs: number): void
  setWall(byMs: number): void
  /** Timers not due yet. */
  pending(): number
}

/** Settles when everything that waits for nothing but other promises has run. */
export function settled(): Promise<void> {
  return new Promise(resolve => setImmediate(resolve))
}

export function createVirtualTime(): VirtualTime {
  let monoMs = 1000
  let wallMs = NOW
  let bootMs = 50_000
  let timers: readonly Timer[] = []
  const pass = (byMs: number) => {
    monoMs += byMs
    wallMs += byMs
    bootMs += byMs
  }
  return {
    clocks: { monoMs: () => monoMs, wallMs: () => wallMs, bootMs: () => bootMs },
    schedule(run, afterMs) {
      const timer = { dueMs: monoMs + afterMs, run }
      timers = [...timers, timer].toSorted((a, b) => a.dueMs - b.dueMs)
      return () => {
        timers = timers.filter(other => other !== timer)
      }
    },
    async advance(byMs) {
      const endMs = monoMs + byMs
      await settled()
      for (;;) {
        const [next, ...later] = timers
        if (!next || next.dueMs > endMs) break
        timers = later
        pass(Math.max(0, next.dueMs - monoMs))
        next.run()
        await settled()
      }
      pass(Math.max(0, endMs - monoMs))
    },
    stop: pass,
    sleep(forMs) {
      wallMs += forMs
      bootMs += forMs
    },
    setWall(byMs) {
      wallMs += byMs
    },
    pending: () => timers.length
  }
}
