/**
 * Reads rows that the cache does not have: misses are gathered, and one query asks for all of them.
 * A reply is used, to decide or to be cached, only if it comes from the primary that the last poll
 * spoke to, this replica was a live member in its snapshot, it was sent less than a lease ago and no
 * change applied since has overtaken it. Anything else is read again, and is never a "not found".
 */
import { Fault } from '../core/decision.ts'
import type { Observer } from '../core/observer.ts'
import type { Epoch, EpochStore, TokenEntry } from '../core/ports.ts'
import type { TokenRow } from '../core/principal.ts'
import type { TokenDigest } from '../core/token.ts'
import type { Clocks, DatabaseClock, Freshness, Schedule } from './clocks.ts'
import type { Finality } from './finality.ts'
import type { Lease } from './lease.ts'
import type { Membership } from './membership.ts'
import type { Renewal } from './renewal.ts'
import type { Read, TokenCache } from './token-cache.ts'

export interface Lookups {
  /** Throws Fault TOKEN_STORE_UNAVAILABLE, OVERLOADED. */
  find(digest: TokenDigest): Promise<TokenEntry | 'unknown'>
}

export interface LookupsDeps {
  readonly epochs: Pick<EpochStore, 'lookUp'>
  readonly membership: Membership
  readonly renewal: Renewal
  readonly lease: Lease
  readonly cache: TokenCache
  readonly finality: Finality
  readonly freshness: Freshness
  readonly clocks: Clocks
  readonly clock: DatabaseClock
  readonly schedule: Schedule
  readonly observer: Observer
  readonly random: () => number
}

type Reply = Epoch & { readonly rows: readonly TokenRow[] }
type Discarded = 'standby' | 'history' | 'not_member' | 'generation' | 'stale' | 'invalidated'

interface Waiting {
  readonly digest: TokenDigest
  queuedMs: number
  readsLeft: number
  readonly found: PromiseWithResolvers<TokenEntry | 'unknown'>
}

const BATCH = 256
const QUERIES_IN_FLIGHT = 4
/**
 * The next query starts so long after the last one, unless many wait or there was no company: at 64
 * connections some 20 misses share a query, and a lone caller never waits.
 */
const GATHER_MS = 5
const MANY = 64
const QUEUE = 10_000
const QUEUED_MS = 1000
/** One read, and two more where its reply could not be used. */
const READS = 3
/** Failed look-ups in a row after which the next ones fail at once, until a poll succeeds. */
const BREAK_AFTER = 3

export function createLookups(deps: LookupsDeps): Lookups {
  const { epochs, membership, renewal, lease, cache, finality, freshness } = deps
  const { clocks, clock, schedule, observer, random } = deps
  /** Queued or in flight, one for each digest. */
  let waiting = new Map<TokenDigest, Waiting>()
  let queue: Waiting[] = []
  let inFlight = 0
  let startedMs = -Infinity
  let lastBatch = 0
  let failures = 0
  let isPumpDue = false
  let isExpiryDue = false

  renewal.onRenewed(() => {
    failures = 0
  })

  function find(digest: TokenDigest): Promise<TokenEntry | 'unknown'> {
    const known = waiting.get(digest)
    if (known) return known.found.promise
    if (failures >= BREAK_AFTER || !membership.isJoined()) {
      return Promise.reject(new Fault('TOKEN_STORE_UNAVAILABLE'))
    }
    if (queue.length >= QUEUE) return Promise.reject(overloaded())
    const found = Promise.withResolvers<TokenEntry | 'unknown'>()
    const miss = { digest, queuedMs: 0, readsLeft: READS, found }
    waiting.set(digest, miss)
    enqueue(miss)
    return found.promise
  }

  function enqueue(miss: Waiting): void {
    miss.queuedMs = clocks.monoMs()
    queue.push(miss)
    if (!isExpiryDue) armExpiry(QUEUED_MS)
    // Not now: the other misses of this turn go with it.
    if (queue.length === 1 || queue.length === MANY) queueMicrotask(pump)
  }

  function overloaded(): Fault {
    observer.count('shed_total', { reason: 'lookups' })
    return new Fault('OVERLOADED', { retryAfterSeconds: 1 + Math.floor(3 * random()) })
  }

  function armExpiry(afterMs: number): void {
    isExpiryDue = true
    schedule(expire, afterMs)
  }

  function expire(): void {
    isExpiryDue = false
    const nowMs = clocks.monoMs()
    const late = queue.filter(miss => nowMs - miss.queuedMs >= QUEUED_MS)
    queue = queue.filter(miss => nowMs - miss.queuedMs < QUEUED_MS)
    for (const miss of late) fail(miss, overloaded())
    const [oldest] = queue
    if (oldest) armExpiry(oldest.queuedMs + QUEUED_MS - nowMs)
  }

  function forget({ digest }: Waiting): void {
    waiting.delete(digest)
    // A Map that is filled and emptied for ever keeps what it held alive: see proxy/connections.ts.
    if (waiting.size === 0) waiting = new Map()
  }

  function fail(miss: Waiting, cause: unknown): void {
    forget(miss)
    miss.found.reject(cause)
  }

  function settle(miss: Waiting, answer: TokenEntry | 'unknown'): void {
    forget(miss)
    miss.found.resolve(answer)
  }

  function pump(): void {
    while (queue.length > 0 && inFlight < QUERIES_IN_FLIGHT) {
      const isAlone = inFlight === 0 && lastBatch <= 1
      const afterMs = startedMs + GATHER_MS - clocks.monoMs()
      if (afterMs > 0 && !isAlone && queue.length < MANY) return pumpLater(afterMs)
      void read(queue.splice(0, BATCH))
    }
  }

  function pumpLater(afterMs: number): void {
    if (isPumpDue) return
    isPumpDue = true
    schedule(() => {
      isPumpDue = false
      pump()
    }, afterMs)
  }

  async function read(batch: readonly Waiting[]): Promise<void> {
    if (!membership.isJoined()) return readAgain(batch, 'not_member')
    inFlight += 1
    lastBatch = batch.length
    startedMs = clocks.monoMs()
    const digests = batch.map(miss => miss.digest)
    const sent = freshness.read()
    const position = { sent, order: cache.order(), generation: cache.generation() }
    observer.measure('token_query_batch_size', batch.length)
    try {
      const reply = await epochs.lookUp(membership.id(), digests, lease.lengthMs() / 2)
      failures = 0
      take(batch, reply, { ...position, seq: reply.seq, leaseMs: reply.leaseMs })
    } catch (cause) {
      failures += 1
      for (const miss of batch) fail(miss, cause)
    }
    observer.measure('token_query_seconds', (clocks.monoMs() - sent.monoMs) / 1000)
    inFlight -= 1
    pump()
  }

  function take(batch: readonly Waiting[], reply: Reply, at: Read): void {
    freshness.checkSleep()
    const objection = object(reply, at)
    if (objection) return readAgain(batch, objection)
    clock.observe(at.sent, reply.dbNowMs)
    const rows = new Map(reply.rows.map(row => [row.digest, row]))
    const overtaken: Waiting[] = []
    for (const miss of batch) {
      const row = rows.get(miss.digest)
      if (!row) cache.addUnknown(miss.digest, at.sent)
      if (row && cache.isOvertaken(row.id, at)) overtaken.push(miss)
      else settle(miss, row ? cache.add(finality.correct(row), at) : 'unknown')
    }
    if (overtaken.length > 0) readAgain(overtaken, 'invalidated')
  }

  function object(reply: Epoch, at: Read): Discarded | undefined {
    if (reply.isStandby) return 'standby'
    if (reply.history !== renewal.history()) return 'history'
    if (reply.member !== 'live') return 'not_member'
    if (at.generation !== cache.generation()) return 'generation'
    if (!freshness.isFresh(at.sent, at.leaseMs)) return 'stale'
    return undefined
  }

  function readAgain(batch: readonly Waiting[], cause: Discarded): void {
    observer.count('reads_discarded_total', { cause }, batch.length)
    for (const miss of batch) miss.readsLeft -= 1
    const rest = batch.filter(miss => miss.readsLeft > 0)
    const spent = batch.filter(miss => miss.readsLeft <= 0)
    for (const miss of spent) fail(miss, new Fault('TOKEN_STORE_UNAVAILABLE'))
    const queueAll = () => {
      for (const miss of rest) enqueue(miss)
    }
    // What a poll has to mend first: who answers, and who asks.
    const isForPoll = cause === 'standby' || cause === 'history' || cause === 'not_member'
    if (isForPoll && rest.length > 0) void renewal.join().then(queueAll)
    else queueAll()
  }

  return { find }
}
