/**
 * The promise of this product, put together: once a revocation is answered, no replica accepts the
 * token any more. A replica answers from its cache only while its lease runs (lease.ts); a revoker
 * waits until every replica has applied the change, or until every lease that ran at COMMIT is over
 * (barrier.ts). The database alone is needed for it; Redis makes the wait short.
 *
 * Holds if clocks of a running machine advance at their normal rate, every statement reaches the
 * primary, and a process is not stopped for longer than the margin between its last look and the
 * first byte it sends.
 */
import { Fault } from '../core/decision.ts'
import type { Observer } from '../core/observer.ts'
import type {
  Barrier,
  Clock,
  EpochStore,
  Log,
  Nudge,
  Streams,
  TokenEntry,
  TokenSource,
  TokenStore
} from '../core/ports.ts'
import type { TokenDigest } from '../core/token.ts'
import { createBarrier, type OwnReplica } from './barrier.ts'
import { createChanges } from './changes.ts'
import { type Clocks, createClock, createFreshness, type Schedule } from './clocks.ts'
import { createFinality } from './finality.ts'
import { createLease } from './lease.ts'
import { createLookups } from './lookups.ts'
import { createMembership } from './membership.ts'
import { createNudges } from './nudges.ts'
import { createRenewal } from './renewal.ts'
import { createTokenCache } from './token-cache.ts'
import { type CacheUse, type ReplicaState, startWatch, type Watch } from './watch.ts'

export interface RevocationOptions {
  readonly epochs: EpochStore
  readonly store: Pick<TokenStore, 'revoke' | 'confirm'>
  readonly nudge: Nudge
  readonly streams: Streams
  readonly clocks: Clocks
  readonly schedule: Schedule
  readonly observer: Observer
  readonly log: Log
  /** 0 to 1, 1 excluded: jitter, no secrets. */
  readonly random: () => number
  readonly randomUuid: () => string
  /** From a cryptographic source. */
  readonly randomBytes: (bytes: number) => Uint8Array
  readonly cacheMaxTokens: number
}

export interface Revocation {
  readonly tokens: TokenSource
  readonly clock: Clock
  readonly barrier: Barrier
  /** For streams, which ask before each chunk. */
  isLeaseValid(): boolean
  /** Joins and polls, as often as it takes; settles with the first lease, or at `stop`. */
  start(): Promise<void>
  /** Clears the cache, then deletes the replica's row. No token is known from the call on. */
  stop(): Promise<void>
  state(): ReplicaState
}

export function createRevocation(options: RevocationOptions): Revocation {
  const { clocks, streams, cacheMaxTokens, observer } = options
  const freshness = createFreshness(clocks)
  const clock = createClock(clocks, freshness)
  const lease = createLease(freshness)
  const cache = createTokenCache(freshness, cacheMaxTokens)
  const membership = createMembership({ ...options, lease })
  const own: OwnReplica = {
    apply: message => nudges.applyOwn(message),
    sawMembers: (members, waitMs) => membership.sawMembers(members, waitMs)
  }
  const barrier = createBarrier({ ...options, own })
  const replicaId = () => membership.id()
  const finality = createFinality({ ...options, clock, barrier, replicaId })
  const changes = createChanges({ cache, streams, finality, observer })
  const renewal = createRenewal({ ...options, membership, lease, changes, freshness, clock })
  const nudges = createNudges({ ...options, renewal, changes, membership })
  const parts = { ...options, membership, renewal, lease, cache, finality, freshness, clock }
  const lookups = createLookups(parts)
  const use: CacheUse = { hits: 0, misses: 0, negatives: 0 }
  const firstLease = Promise.withResolvers<void>()
  let isStopped = false
  let watch: Watch | undefined

  /** Without a lease, a row may still be used for as long as the lease of its own read would run. */
  function known(digest: TokenDigest): TokenEntry | 'unknown' | undefined {
    const entry = cache.get(digest)
    if (entry) return lease.isValid() || cache.isFreshRead(entry) ? entry : undefined
    return cache.isUnknown(digest) ? 'unknown' : undefined
  }

  const tokens: TokenSource = {
    peek(digest) {
      const found = known(digest)
      if (found === undefined) use.misses += 1
      else if (found === 'unknown') use.negatives += 1
      else use.hits += 1
      return found
    },
    async find(digest) {
      if (!lease.isValid() && !isStopped) await renewal.join()
      const found = known(digest)
      if (found) return found
      if (isStopped) throw new Fault('TOKEN_STORE_UNAVAILABLE')
      return lookups.find(digest)
    },
    lapse(digest, entry) {
      const isHeld = cache.holds(digest, entry)
      if ((isHeld && lease.isValid()) || cache.isFreshRead(entry)) return undefined
      return isHeld ? 'lease' : 'entry'
    }
  }

  function state(): ReplicaState {
    return {
      id: membership.id(),
      isJoined: membership.isJoined(),
      leaseValid: lease.isValid(),
      leaseAgeMs: lease.ageMs(),
      appliedSeq: renewal.appliedSeq(),
      clockTrusted: clock.isTrusted(),
      clockOffsetMs: clock.offsetMs(),
      cachedTokens: cache.size()
    }
  }

  return {
    tokens,
    clock,
    barrier,
    isLeaseValid: () => lease.isValid(),
    start() {
      nudges.listen(barrier.replyTo)
      watch = startWatch({ ...options, freshness, lease, use, state })
      // First: whoever is told that the gate is ready may read its metrics in the same moment.
      renewal.onRenewed(watch.report)
      renewal.onRenewed(firstLease.resolve)
      renewal.start()
      return firstLease.promise
    },
    async stop() {
      isStopped = true
      watch?.stop()
      firstLease.resolve()
      // The row last: a barrier that no longer waits for this replica relies on its forgetting.
      const settled = renewal.stop()
      lease.end()
      membership.retire()
      changes.forget('left')
      await settled
      await membership.leave()
      barrier.close()
    },
    state
  }
}
