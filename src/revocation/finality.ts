/**
 * A revocation is final, also when the database forgets it: a failover may lose the last commits, a
 * restore goes back in time, a hand-written statement may undo it. Each replica remembers for an
 * hour whom it saw revoked; such a token stays refused here, and is revoked once more.
 */
import type { Barrier, Log, TokenStore } from '../core/ports.ts'
import type { Observer } from '../core/observer.ts'
import type { TokenRow } from '../core/principal.ts'
import type { Clocks, DatabaseClock, Schedule } from './clocks.ts'

export interface Finality {
  /** From the database only: whoever can forge a nudge must not be able to revoke. */
  remember(ids: readonly string[]): void
  /** The row as it counts. Repairs the database where the two differ. */
  correct(row: TokenRow): TokenRow
}

export interface FinalityDeps {
  readonly store: Pick<TokenStore, 'revoke'>
  readonly barrier: Barrier
  readonly clocks: Clocks
  readonly clock: DatabaseClock
  readonly schedule: Schedule
  readonly observer: Observer
  readonly log: Log
  /** Who did it, for the audit trail. */
  readonly replicaId: () => string
}

const REMEMBERED_MS = 3_600_000
const REMEMBERED_IDS = 10_000
const RETRY_MS = 5000

interface Memory {
  readonly monoMs: number
  readonly revokedAtMs: number
}

export function createFinality(deps: FinalityDeps): Finality {
  const { store, barrier, clocks, clock, schedule, observer, log, replicaId } = deps
  const revoked = new Map<string, Memory>()
  const underRepair = new Set<string>()

  function repair(id: string): void {
    if (underRepair.has(id)) return
    underRepair.add(id)
    log.error('a revocation had been undone', { tokenId: id })
    void attempt(id)
  }

  /** The barrier is not waited for by anybody: it tells the other replicas. */
  async function attempt(id: string): Promise<void> {
    const actor = { kind: 'replica', id: replicaId(), ip: undefined, requestId: undefined } as const
    try {
      const outcome = await store.revoke(id, undefined, actor)
      if (outcome !== 'not-found') await barrier.wait(outcome.change)
      observer.count('revocations_reapplied_total')
      underRepair.delete(id)
    } catch (cause) {
      log.error('a revocation that had been undone is not repaired yet', { tokenId: id, cause })
      schedule(() => void attempt(id), RETRY_MS)
    }
  }

  return {
    remember(ids) {
      for (const id of ids) {
        revoked.delete(id)
        revoked.set(id, { monoMs: clocks.monoMs(), revokedAtMs: clock.nowMs() })
      }
      for (const oldest of revoked.keys()) {
        if (revoked.size <= REMEMBERED_IDS) break
        revoked.delete(oldest)
      }
    },
    correct(row) {
      const memory = row.revokedAtMs === null ? revoked.get(row.id) : undefined
      if (!memory || clocks.monoMs() - memory.monoMs > REMEMBERED_MS) return row
      repair(row.id)
      return { ...row, revokedAtMs: memory.revokedAtMs }
    }
  }
}
