/**
 * A nudge is the event itself, sent by the revoker through Redis: applied at once and without a
 * poll, so that no size of fleet makes a storm of them, and then acknowledged. It moves neither the
 * lease nor the number up to which this replica knows everything: only polls do. A repeated one is
 * acknowledged again. One that cannot be judged yet waits for a poll.
 */
import type { Nudge, NudgeMessage } from '../core/ports.ts'
import { acknowledgementOf } from './acknowledgement.ts'
import type { Changes } from './changes.ts'
import type { Membership } from './membership.ts'
import type { Renewal } from './renewal.ts'

export interface Nudges {
  /** This process's own change. Gives the replica's id; undefined: applied after the next poll. */
  applyOwn(message: NudgeMessage): string | undefined
  /** Ignores what this process announced itself. */
  listen(replyTo: string): void
}

export interface NudgesDeps {
  readonly nudge: Nudge
  readonly renewal: Renewal
  readonly changes: Changes
  readonly membership: Membership
}

/** The database announces more than this as `all`. */
const MOST_IDS = 1000
/** Further ahead than any replica with a lease can be behind. */
const MOST_AHEAD = 10_000
const POSTPONED = 100

export function createNudges({ nudge, renewal, changes, membership }: NudgesDeps): Nudges {
  let postponed: NudgeMessage[] = []

  function isJudgeable({ history, seq }: NudgeMessage): boolean {
    return history === renewal.history() && seq <= renewal.appliedSeq() + MOST_AHEAD
  }

  function postpone(message: NudgeMessage): void {
    postponed = [...postponed.slice(1 - POSTPONED), message]
    renewal.wake('nudge')
  }

  function obey(message: NudgeMessage): void {
    changes.apply(message, 'nudge')
    const replica = { id: membership.id(), ackKey: membership.ackKey() }
    nudge.acknowledge(message.replyTo, acknowledgementOf(message, replica))
  }

  function receive(message: NudgeMessage): void {
    if (message.ids.length > MOST_IDS) return
    if (isJudgeable(message)) obey(message)
    else postpone(message)
  }

  return {
    applyOwn(message) {
      if (!isJudgeable(message)) {
        postpone(message)
        return undefined
      }
      changes.apply(message, 'own')
      return membership.id()
    },
    listen(replyTo) {
      nudge.onNudge(message => {
        if (message.replyTo !== replyTo) receive(message)
      })
      renewal.onRenewed(() => {
        // What a poll did not make judgeable was invented, or is of a history that is over.
        const judgeable = postponed.filter(isJudgeable)
        postponed = []
        for (const message of judgeable) obey(message)
      })
    }
  }
}
