/**
 * What a revoker waits for after COMMIT: every replica has said that it applied the change, or every
 * lease that was running at COMMIT is over. Acknowledgements only shorten the wait; without them, or
 * without Redis, it ends by the clock, and then the database is asked once more whether the change
 * is still there. Used by a replica for its own callers, and by the command line.
 */
import { Fault } from '../core/decision.ts'
import type { Observer } from '../core/observer.ts'
import type {
  Acknowledgement,
  Barrier,
  BarrierReceipt,
  Change,
  EpochStore,
  Log,
  Member,
  Nudge,
  NudgeMessage,
  TokenStore
} from '../core/ports.ts'
import { isAcknowledgedBy } from './acknowledgement.ts'
import { type Clocks, type Schedule, scheduleAt } from './clocks.ts'
import { marginMs } from './lease.ts'
import { SILENT_LEASES } from './membership.ts'

export interface BarrierDeps {
  readonly epochs: Pick<EpochStore, 'members'>
  readonly store: Pick<TokenStore, 'confirm'>
  readonly nudge: Nudge
  readonly clocks: Clocks
  readonly schedule: Schedule
  readonly observer: Observer
  readonly log: Log
  readonly randomUuid: () => string
  /** The replica in this process. The command line has none. */
  readonly own: OwnReplica | undefined
}

export interface OwnReplica {
  /** Gives the id of the replica that has applied it; undefined: it will, and then acknowledge. */
  apply(message: NudgeMessage): string | undefined
  sawMembers(members: readonly Member[], waitMs: number): void
}

export interface RevokerBarrier extends Barrier {
  /** Where acknowledgements for this process go. */
  readonly replyTo: string
  /** Listens no more for acknowledgements. */
  close(): void
}

/** Acknowledgements kept until the members are known, and so their keys; more are lost. */
const EARLY_ACKS = 20_000

/** One wait. */
interface Round {
  readonly message: NudgeMessage
  /** Undefined: not read (yet), so nobody can tell whether all have acknowledged. */
  members: readonly Member[] | undefined
  readonly missing: Map<string, Member>
  readonly early: Acknowledgement[]
  readonly ownIds: string[]
  readonly end: PromiseWithResolvers<'acks' | 'deadline'>
  readonly startedMs: number
}

export function createBarrier(deps: BarrierDeps): RevokerBarrier {
  const { epochs, store, nudge, clocks, observer, log, randomUuid, own } = deps
  const replyTo = randomUuid()
  const rounds = new Set<Round>()
  // One subscription for the whole life: the first acknowledgement may come within a millisecond.
  const close = nudge.onAcknowledgement(replyTo, acknowledgement => {
    for (const round of rounds) hear(round, acknowledgement)
  })

  function hear(round: Round, given: Acknowledgement): void {
    const { message, members, early } = round
    if (given.seq !== message.seq || given.history !== message.history) return
    if (members) check(round, given)
    else if (early.length < EARLY_ACKS) early.push(given)
  }

  function check(round: Round, given: Acknowledgement): void {
    const member = round.missing.get(given.replica)
    if (!member || !isAcknowledgedBy(round.message, member, given)) return
    const lagMs = clocks.monoMs() - round.startedMs
    observer.measure('invalidation_lag_seconds', lagMs / 1000)
    noteApplied(round, member.id)
  }

  function noteApplied({ missing, members, end }: Round, id: string): void {
    missing.delete(id)
    if (members && missing.size === 0) end.resolve('acks')
  }

  /** In a statement of its own after COMMIT: who joins later polls after COMMIT, too. */
  async function readMembers(round: Round, waitMs: number): Promise<void> {
    try {
      const members = await epochs.members(SILENT_LEASES * waitMs)
      own?.sawMembers(members, waitMs)
      for (const member of members) round.missing.set(member.id, member)
      round.members = members
      for (const id of round.ownIds) round.missing.delete(id)
      for (const given of round.early.splice(0)) check(round, given)
      if (round.missing.size === 0) round.end.resolve('acks')
    } catch (cause) {
      log.warn('members could not be read: the wait ends by the clock', { cause })
    }
  }

  async function wait(change: Change): Promise<BarrierReceipt> {
    const { kind, seq, ids, history, waitMs } = change
    const round: Round = {
      message: { kind, seq, ids, history, replyTo, challenge: randomUuid() },
      members: undefined,
      missing: new Map(),
      early: [],
      ownIds: [],
      end: Promise.withResolvers(),
      startedMs: clocks.monoMs()
    }
    const ownId = own?.apply(round.message)
    if (ownId !== undefined) round.ownIds.push(ownId)
    rounds.add(round)
    nudge.announce(round.message)
    void readMembers(round, waitMs)
    const dueMs = round.startedMs + waitMs + marginMs(waitMs)
    const cancel = scheduleAt(deps, dueMs, () => round.end.resolve('deadline'))
    const end = await round.end.promise
    cancel()
    rounds.delete(round)
    // Past the deadline much may have happened to the database: a failover can lose a COMMIT.
    const cause = end === 'deadline' ? await objectionOf(change) : undefined
    return conclude(round, cause ? 'unconfirmed' : end, cause)
  }

  /** Undefined: the change is there, in the same history. */
  async function objectionOf(change: Change): Promise<unknown> {
    try {
      return (await store.confirm(change)) ? undefined : new Error('the change is gone')
    } catch (cause) {
      return cause
    }
  }

  function conclude(round: Round, end: string, cause: unknown): BarrierReceipt {
    const waitedMs = Math.round(clocks.monoMs() - round.startedMs)
    observer.count('barriers_total', { end })
    observer.measure('barrier_seconds', waitedMs / 1000, { end })
    if (end === 'unconfirmed') throw new Fault('REVOCATION_UNCONFIRMED', { cause })
    const replicas = round.members?.length ?? 0
    return { replicas, acknowledged: replicas - round.missing.size, waitedMs }
  }

  return { replyTo, wait, close }
}
