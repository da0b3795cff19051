/**
 * Looks every 100 ms whether the machine slept and whether the lease is over, and reports how this
 * replica stands. What is counted on the hot path is a plain number, handed on from here.
 */
import type { Observer } from '../core/observer.ts'
import type { Log } from '../core/ports.ts'
import type { Freshness, Schedule } from './clocks.ts'
import type { Lease } from './lease.ts'

/** Looks at the cache since the last report. */
export interface CacheUse {
  hits: number
  misses: number
  negatives: number
}

/** What `/replicas` and `/readyz` tell about this replica. */
export interface ReplicaState {
  readonly id: string
  readonly isJoined: boolean
  readonly leaseValid: boolean
  /** Since the sending of the poll it rests on. Undefined: there is none. */
  readonly leaseAgeMs: number | undefined
  /** Every change up to this number is in force here. */
  readonly appliedSeq: number
  readonly clockTrusted: boolean
  /** Database minus machine. */
  readonly clockOffsetMs: number
  readonly cachedTokens: number
}

export interface WatchDeps {
  readonly freshness: Freshness
  readonly lease: Lease
  readonly schedule: Schedule
  readonly observer: Observer
  readonly log: Log
  readonly use: CacheUse
  readonly state: () => ReplicaState
}

const EVERY_MS = 100
const HIT = { result: 'hit' }
const MISS = { result: 'miss' }
const NEGATIVE = { result: 'negative' }

export interface Watch {
  /** Tells the metrics how this replica stands now. */
  readonly report: () => void
  readonly stop: () => void
}

export function startWatch(deps: WatchDeps): Watch {
  const { freshness, lease, schedule, observer, log, use, state } = deps
  let wasValid = false
  let cancel = schedule(look, EVERY_MS)
  return { report, stop: () => cancel() }

  function look(): void {
    freshness.checkSleep()
    const isValid = lease.isValid()
    if (wasValid && !isValid) {
      observer.count('lease_lapses_total')
      log.warn('the lease is over: the cache rests until the database answers', {
        leaseAgeMs: lease.ageMs()
      })
    }
    wasValid = isValid
    report()
    cancel = schedule(look, EVERY_MS)
  }

  function report(): void {
    const now = state()
    observer.gauge('lease_valid', now.leaseValid ? 1 : 0)
    observer.gauge('lease_age_seconds', (now.leaseAgeMs ?? Infinity) / 1000)
    observer.gauge('applied_seq', now.appliedSeq)
    observer.gauge('clock_trusted', now.clockTrusted ? 1 : 0)
    observer.gauge('clock_offset_seconds', now.clockOffsetMs / 1000)
    observer.gauge('cache_entries', now.cachedTokens)
    if (use.hits > 0) observer.count('cache_lookups_total', HIT, use.hits)
    if (use.misses > 0) observer.count('cache_lookups_total', MISS, use.misses)
    if (use.negatives > 0) observer.count('cache_lookups_total', NEGATIVE, use.negatives)
    use.hits = 0
    use.misses = 0
    use.negatives = 0
  }
}
