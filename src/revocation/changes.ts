/**
 * What a change of tokens does in this replica, wherever it was heard of: rows leave the cache,
 * streams end or are looked at again. All of it happens before the function returns, so that what
 * follows (an acknowledgement, an extended lease) speaks the truth.
 */
import type { Observer } from '../core/observer.ts'
import type { Invalidation, Streams } from '../core/ports.ts'
import type { Finality } from './finality.ts'
import type { TokenCache } from './token-cache.ts'

/** `poll`, `own`: from the database itself. `nudge`: from Redis, where others may write too. */
export type Via = 'poll' | 'own' | 'nudge'

export interface Changes {
  apply(event: Invalidation, via: Via): void
  /** Too much was missed to know what changed up to this number. */
  skipTo(seq: number): void
  /** Nothing that is known counts any more. `start`: there was nothing yet. */
  forget(cause: 'start' | 'history' | 'rejoined' | 'left'): void
}

export interface ChangesDeps {
  readonly cache: TokenCache
  readonly streams: Streams
  readonly finality: Finality
  readonly observer: Observer
}

const BY_POLL = { via: 'poll' }
const BY_NUDGE = { via: 'nudge' }

export function createChanges({ cache, streams, finality, observer }: ChangesDeps): Changes {
  return {
    apply(event, via) {
      cache.apply(event)
      const { kind, ids } = event
      if (kind === 'all') streams.recheck(undefined)
      // A forged nudge may cost a look-up; only the database's word ends a stream.
      else if (kind === 'change' || via === 'nudge') streams.recheck(ids)
      else streams.end(ids, 'revoked')
      if (kind === 'revoke' && via !== 'nudge') finality.remember(ids)
      observer.count('invalidations_applied_total', via === 'poll' ? BY_POLL : BY_NUDGE)
    },
    skipTo(seq) {
      cache.clearBelow(seq)
      streams.recheck(undefined)
      observer.count('cache_clears_total', { cause: 'gap' })
    },
    forget(cause) {
      cache.reset()
      if (cause === 'start') return
      streams.recheck(undefined)
      if (cause !== 'left') observer.count('cache_clears_total', { cause })
    }
  }
}
