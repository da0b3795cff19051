/**
 * Keeps the lease: poll, apply what changed, extend. In this order, because an extended lease says
 * that everything up to its poll is known here. One poll at a time; by a timer, when a request finds
 * the lease over, and when a nudge speaks of another history than the one known.
 */
import type { Observer } from '../core/observer.ts'
import type { Epoch, EpochStore, Invalidation, Log } from '../core/ports.ts'
import type { Changes } from './changes.ts'
import type { Clocks, DatabaseClock, Freshness, Reading, Schedule } from './clocks.ts'
import type { Lease } from './lease.ts'
import type { Membership } from './membership.ts'

export interface Renewal {
  /** Begins to poll; again and again until `stop`. */
  start(): void
  /** A poll is wanted at once: no other one has to be awaited first but the one under way. */
  wake(cause: 'request' | 'nudge'): void
  /** The end of the poll under way or next, or 300 ms, whichever comes first. Never rejects. */
  join(): Promise<void>
  /** Called after each poll that extended the lease. */
  onRenewed(listener: () => void): void
  /** Server and timeline of the last poll; undefined: none was answered yet. */
  history(): string | undefined
  /** Every change up to this number has been applied. */
  appliedSeq(): number
  /** No lease is extended from the call on. Settles when the poll under way has. */
  stop(): Promise<void>
}

export interface RenewalDeps {
  readonly epochs: Pick<EpochStore, 'poll'>
  readonly membership: Membership
  readonly lease: Lease
  readonly changes: Changes
  readonly freshness: Freshness
  readonly clocks: Clocks
  readonly clock: DatabaseClock
  readonly schedule: Schedule
  readonly observer: Observer
  readonly log: Log
  readonly random: () => number
}

type Cause = 'timer' | 'request' | 'nudge'
type Result = 'ok' | 'timeout' | 'error' | 'standby' | 'not_member'
type Reply = Epoch & { readonly events: readonly Invalidation[] }

/** Four polls a lease: three may be lost. */
const POLLS_A_LEASE = 4
/** The store gives one more than this when there are more. */
const MAX_EVENTS = 1000
/** A request waits so long for the lease before its row is looked up. */
const JOIN_MS = 300
/** Between the starts of two polls, whoever wants them: nobody can make a storm of them. */
const SPACING_MS = 100
const BACK_OFF_MS = { least: 50, first: 100, most: 5000 }

export function createRenewal(deps: RenewalDeps): Renewal {
  const { epochs, membership, lease, changes, freshness, clocks, clock } = deps
  const { schedule, observer, log, random } = deps
  let history: string | undefined
  let appliedSeq = 0
  let running: Promise<void> | undefined
  let isWanted = false
  let isStopped = false
  let startedMs = -Infinity
  let failures = 0
  let dueMs = Infinity
  let cancelTimer: (() => void) | undefined
  const joined = new Set<() => void>()
  const listeners: (() => void)[] = []

  function arm(afterMs: number, cause: Cause): void {
    cancelTimer?.()
    dueMs = clocks.monoMs() + afterMs
    cancelTimer = schedule(() => begin(cause), afterMs)
  }

  function begin(cause: Cause): void {
    cancelTimer?.()
    dueMs = Infinity
    isWanted = false
    startedMs = clocks.monoMs()
    running = renew(cause)
  }

  function wake(cause: 'request' | 'nudge'): void {
    // The poll under way may have been sent before the nudge's event; a lapsed lease it does mend.
    if (running) isWanted ||= cause === 'nudge'
    if (running || isStopped) return
    const afterMs = startedMs + SPACING_MS - clocks.monoMs()
    if (afterMs <= 0) begin(cause)
    else if (clocks.monoMs() + afterMs < dueMs) arm(afterMs, cause)
  }

  async function renew(cause: Cause): Promise<void> {
    let result = await poll()
    // Marked as dead by mistake: come back under another id, at once.
    if (result === 'not_member' && !isStopped) result = await poll()
    observer.count('lease_renewals_total', { cause, result })
    running = undefined
    failures = result === 'ok' ? 0 : failures + 1
    if (!isStopped) arm(isWanted ? SPACING_MS : pauseMs(), isWanted ? 'nudge' : 'timer')
    for (const done of joined) done()
    if (result === 'ok') for (const listener of listeners) listener()
  }

  function pauseMs(): number {
    if (failures === 0) return (lease.lengthMs() / POLLS_A_LEASE) * (0.8 + 0.4 * random())
    const mostMs = Math.min(BACK_OFF_MS.most, BACK_OFF_MS.first * 2 ** failures)
    return BACK_OFF_MS.least + (mostMs - BACK_OFF_MS.least) * random()
  }

  /** Never rejects: whatever a store does, the next poll comes. */
  async function poll(): Promise<Result> {
    const deadlineMs = lease.lengthMs() / 2
    const after = history === undefined ? Number.MAX_SAFE_INTEGER : appliedSeq
    let sent = freshness.read()
    try {
      if (!membership.isJoined()) await membership.join()
      sent = freshness.read()
      const reply = await epochs.poll(membership.id(), after, deadlineMs)
      observer.measure('lease_renewal_seconds', (clocks.monoMs() - sent.monoMs) / 1000)
      return take(reply, sent)
    } catch (cause) {
      const isLate = clocks.monoMs() - sent.monoMs >= deadlineMs
      if (failures === 0) log.warn('the lease could not be renewed', { cause })
      return isLate ? 'timeout' : 'error'
    }
  }

  /** In one turn, so that no request sees a lease without what it stands for. */
  function take(reply: Reply, sent: Reading): Result {
    freshness.checkSleep()
    if (isStopped) return 'not_member'
    if (reply.isStandby) {
      observer.count('store_errors_total', { store: 'postgres', reason: 'standby' })
      return 'standby'
    }
    if (reply.member !== 'live') return becomeNobody()
    if (reply.history !== history || reply.seq < appliedSeq) changeHistory(reply)
    else if (appliedSeq < reply.prunedSeq || reply.events.length > MAX_EVENTS) {
      changes.skipTo(reply.seq)
    }
    for (const event of reply.events) changes.apply(event, 'poll')
    clock.observe(sent, reply.dbNowMs)
    appliedSeq = reply.seq
    lease.extend(sent, reply.leaseMs)
    return lease.isValid() ? 'ok' : 'timeout'
  }

  function becomeNobody(): Result {
    lease.end()
    membership.lose()
    changes.forget('rejoined')
    log.warn('this replica was taken for dead and joins anew', { replica: membership.id() })
    return 'not_member'
  }

  function changeHistory({ history: to, seq }: Reply): void {
    const from = history
    history = to
    clock.forget()
    changes.forget(from === undefined ? 'start' : 'history')
    if (from === undefined) return
    observer.count('history_changes_total')
    // On the same timeline and with all that was known, it was a restart; else commits may be lost.
    if (from.split('/')[1] === to.split('/')[1] && seq >= appliedSeq) {
      log.warn('the database was restarted: everything is read again', { from, to })
    } else log.error('the database changed its history: commits may be lost', { from, to })
  }

  return {
    start: () => begin('timer'),
    wake,
    join() {
      if (isStopped) return Promise.resolve()
      return new Promise(resolve => {
        const cancel = schedule(done, JOIN_MS)
        joined.add(done)
        wake('request')
        function done(): void {
          cancel()
          joined.delete(done)
          resolve()
        }
      })
    },
    onRenewed: listener => void listeners.push(listener),
    history: () => history,
    appliedSeq: () => appliedSeq,
    async stop() {
      isStopped = true
      cancelTimer?.()
      await running
    }
  }
}
