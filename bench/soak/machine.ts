/**
 * Whether the machine had time for those whose answers have a deadline: a nonce waits 250 ms at most,
 * on its way from a gate over a link in this process to Redis and back. The kernel counts how long
 * each process was ready to run and was not let. What a gate loses by its own doing is not in it.
 * Source: proc(5) and the kernel's sched-stats, /proc/PID/schedstat.
 */
import { readFileSync } from 'node:fs'
import { AFTERMATH_MS, type Book, BUSY } from './book.ts'

const LOOK_MS = 100
/** All of them together, in the time of a deadline: with the way there and back a good part of it. */
const LATE_MS = 80
const DEADLINE_MS = 250
/** A stall explains what was under way, and nothing later. */
const SOON_MS = 500
const NANOSECONDS_PER_MS = 1e6

export interface MachineOptions {
  readonly book: Book
  /** Those that answers go through, besides this process. */
  readonly pids: () => readonly (number | undefined)[]
  readonly nowMs: () => number
}

interface Look {
  readonly atMs: number
  readonly lateMs: number
}

/** Gives what ends the watch. */
export function watchMachine({ book, pids, nowMs }: MachineOptions): () => void {
  let waited = new Map<number, number>()
  let dueMs = nowMs() + LOOK_MS
  let looks: readonly Look[] = []
  const look = () => {
    const atMs = nowMs()
    let lateMs = Math.max(0, atMs - dueMs)
    dueMs = atMs + LOOK_MS
    const next = new Map<number, number>()
    for (const pid of pids()) {
      const ms = pid === undefined ? undefined : waitedMs(pid)
      if (pid === undefined || ms === undefined) continue
      lateMs += ms - (waited.get(pid) ?? ms)
      next.set(pid, ms)
    }
    waited = next
    looks = [...looks.filter(past => past.atMs > atMs - DEADLINE_MS), { atMs, lateMs }]
    const sumMs = looks.reduce((sum, past) => sum + past.lateMs, 0)
    if (sumMs < LATE_MS) return
    const span = book.open(`${BUSY}, processes waited ${LATE_MS} ms or more for it`)
    const fromMs = atMs - DEADLINE_MS - lateMs - LOOK_MS
    Object.assign(span, { fromMs, toMs: atMs - AFTERMATH_MS + SOON_MS })
  }
  const timer = setInterval(look, LOOK_MS)
  return () => clearInterval(timer)
}

/** How long its main thread was ready and did not run; undefined: it is gone, or nobody counts. */
function waitedMs(pid: number): number | undefined {
  try {
    const [, waitedNs] = readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')
    return Number(waitedNs) / NANOSECONDS_PER_MS
  } catch {
    return undefined
  }
}
