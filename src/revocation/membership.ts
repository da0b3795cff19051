/**
 * The replica's row in the database: barriers wait for whoever has one, so it is there before
 * anything is cached, and goes after everything was dropped. A replica that was taken for dead comes
 * back as another one. Rows of the dead are removed once no lease of theirs can run any more, by the
 * monotonic clock of whoever saw them marked: no wall clock decides who is alive.
 */
import type { Observer } from '../core/observer.ts'
import type { EpochStore, Log, Member } from '../core/ports.ts'
import { type Clocks, type Schedule, scheduleAt } from './clocks.ts'
import { type Lease, marginMs } from './lease.ts'

export interface Membership {
  id(): string
  ackKey(): Uint8Array
  isJoined(): boolean
  /** Under a new id each time. Throws Fault TOKEN_STORE_UNAVAILABLE. */
  join(): Promise<void>
  /** The row is not live any more. The cache has to be cleared in the same turn. */
  lose(): void
  /** Not to come back. The cache has to be cleared in the same turn. */
  retire(): void
  /** Deletes the row, after `retire` and once nothing is under way in its name. Never rejects. */
  leave(): Promise<void>
  /** Members as a barrier read them; `waitMs` is the longest that a lease may still run. */
  sawMembers(members: readonly Member[], waitMs: number): void
}

export interface MembershipDeps {
  readonly epochs: EpochStore
  readonly lease: Lease
  readonly clocks: Clocks
  readonly schedule: Schedule
  readonly observer: Observer
  readonly log: Log
  readonly random: () => number
  readonly randomUuid: () => string
  readonly randomBytes: (bytes: number) => Uint8Array
}

const ACK_KEY_BYTES = 32
const HEARTBEAT_LEASES = 2.5
/** Four heartbeats. */
export const SILENT_LEASES = 10
const TIDY_MS = 3_600_000
/** The schema allows no longer lease: what the tidying waits, which has no barrier's word for it. */
const LONGEST_LEASE_MS = 60_000
const FEED_KEPT_MS = 3_600_000

export function createMembership(deps: MembershipDeps): Membership {
  const { epochs, lease, clocks, schedule, observer, log, random, randomUuid, randomBytes } = deps
  let id = randomUuid()
  let ackKey = randomBytes(ACK_KEY_BYTES)
  let isJoined = false
  /** A row under `id` may exist, also after an INSERT that was not answered. */
  let mayHaveRow = false
  let hasRetired = false
  const doomed = new Set<string>()
  let cancelBeat: (() => void) | undefined
  let cancelTidy: (() => void) | undefined

  /** ± 20 %, so that a fleet started at once does not stay in step. */
  const about = (ms: number) => ms * (0.8 + 0.4 * random())

  function armBeat(): void {
    cancelBeat = schedule(
      () => {
        // A row that is lost shows in the next poll, and so does a store out of reach.
        if (isJoined) void epochs.beat(id).catch(() => undefined)
        armBeat()
      },
      about(HEARTBEAT_LEASES * lease.lengthMs())
    )
  }

  function armTidy(): void {
    cancelTidy = schedule(() => {
      void tidy()
      armTidy()
    }, about(TIDY_MS))
  }

  async function tidy(): Promise<void> {
    try {
      sawMembers(await epochs.members(SILENT_LEASES * lease.lengthMs()), LONGEST_LEASE_MS)
      await epochs.prune(FEED_KEPT_MS)
    } catch (cause) {
      log.warn('the hourly tidying failed', { cause })
    }
  }

  function sawMembers(members: readonly Member[], waitMs: number): void {
    observer.gauge('replicas', members.length)
    const leaving = members.filter(member => member.state === 'leaving' && !doomed.has(member.id))
    if (leaving.length === 0) return
    const ids = leaving.map(member => member.id)
    for (const leavingId of ids) doomed.add(leavingId)
    scheduleAt(deps, clocks.monoMs() + waitMs + marginMs(waitMs), () => void remove(ids))
  }

  async function remove(ids: readonly string[]): Promise<void> {
    for (const leavingId of ids) doomed.delete(leavingId)
    if (hasRetired) return
    try {
      await epochs.remove(ids)
      observer.count('replicas_removed_total', {}, ids.length)
    } catch (cause) {
      log.warn('rows of dead replicas are not removed yet', { cause })
    }
  }

  async function deleteRow(): Promise<void> {
    if (mayHaveRow) await epochs.leave(id)
    mayHaveRow = false
  }

  return {
    id: () => id,
    ackKey: () => ackKey,
    isJoined: () => isJoined,
    async join() {
      // Nothing rests on the old row since the cache was cleared; left there, it slows each barrier.
      await deleteRow()
      id = randomUuid()
      ackKey = randomBytes(ACK_KEY_BYTES)
      mayHaveRow = true
      await epochs.join(id, ackKey)
      if (hasRetired) return
      isJoined = true
      cancelBeat?.()
      cancelTidy?.()
      armBeat()
      armTidy()
    },
    lose() {
      isJoined = false
    },
    retire() {
      hasRetired = true
      isJoined = false
      cancelBeat?.()
      cancelTidy?.()
    },
    async leave() {
      try {
        await deleteRow()
      } catch (cause) {
        log.warn('the row of this replica stays until another one removes it', { cause })
      }
    },
    sawMembers
  }
}
