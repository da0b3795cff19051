/**
 * First use of a nonce or not, in one round trip, and never a guess: a Redis that restarted, failed
 * over or was flushed may have lost nonces. epochs.ts knows since when none was lost; the script
 * works only under the very mark that was seen then, so a server that forgot, or another server,
 * never says `new`.
 *
 * Whatever goes wrong is a Fault, and nothing is sent a second time: a claim that was carried out
 * before its reply was lost would look like a repetition.
 */
import { Fault } from '../core/decision.ts'
import { nonceKey } from '../core/nonce.ts'
import type { Observer } from '../core/observer.ts'
import type { Clock, Log, NonceHistory, NonceStore } from '../core/ports.ts'
import { COMMAND_DEADLINE_MS } from './connections.ts'
import { type Epoch, Epochs } from './epochs.ts'
import { isMisdirected, reasonOf, RedisDown } from './errors.ts'
import { Script } from './script.ts'
import type { Servers } from './servers.ts'

export interface NonceStoreOptions {
  readonly servers: Servers
  readonly clock: Clock
  readonly history: NonceHistory
  /** After a loss, only requests stamped so long after it are let through, in ms. */
  readonly recoveryMs: number
  readonly observer: Observer
  readonly log: Log
  /** For one claim, the wait for its connection included. */
  readonly deadlineMs?: number
}

/** 1: new; 0: used; -1: the mark is not the one the caller knows, and nothing was done. */
const CLAIM = new Script(
  `
if redis.call('GET', KEYS[2]) ~= ARGV[2] then return -1 end
if redis.call('SET', KEYS[1], '1', 'NX', 'PX', ARGV[1]) then return 1 end
return 0`,
  2
)

/** Claims waiting at a time; at 1 ms a round trip far more than one process can sign. */
const MAX_OUTSTANDING = 2000
/** The marks may change once between a look and a claim; more often is a fault. */
const MAX_TRIES = 3
const LABELS = { store: 'redis', op: 'nonce' } as const

/** Faults: NONCE_STORE_UNAVAILABLE, NONCE_STORE_RECOVERING, OVERLOADED. */
export function createNonceStore(options: NonceStoreOptions): NonceStore {
  const { servers, observer, deadlineMs = COMMAND_DEADLINE_MS } = options
  const epochs = new Epochs(options)
  let outstanding = 0

  return { claim }

  async function claim(
    tokenId: string,
    nonce: string,
    timestampMs: number,
    ttlMs: number
  ): Promise<'new' | 'used'> {
    if (outstanding >= MAX_OUTSTANDING) {
      observer.count('shed_total', { reason: 'nonces' })
      throw new Fault('OVERLOADED', { retryAfterSeconds: 1 + Math.floor(Math.random() * 3) })
    }
    outstanding += 1
    const startedAtMs = performance.now()
    try {
      const { key, mark } = nonceKey(tokenId, nonce)
      const epoch = await within(deadlineMs, claimKey(key, mark, ttlMs))
      if (epoch === undefined) return 'used'
      requireRecovered(epoch, timestampMs, options)
      return 'new'
    } catch (cause) {
      throw asNonceFault(cause, options)
    } finally {
      outstanding -= 1
      observer.measure('store_seconds', (performance.now() - startedAtMs) / 1000, LABELS)
    }
  }

  /** The epoch under which the key is new, or undefined: it was there. */
  async function claimKey(key: string, mark: string, ttlMs: number): Promise<Epoch | undefined> {
    let known = epochs.current(mark)
    for (let triesLeft = MAX_TRIES; triesLeft > 0; triesLeft--) {
      const epoch = known ?? (await epochs.settle(mark))
      const args = [key, mark, String(Math.ceil(ttlMs)), epoch.text]
      const reply = await CLAIM.run(epoch.primary.connection, args)
      // Another connection or server since: what was said was not said by the one we knew.
      if (servers.primaryOf(mark) !== epoch.primary) throw new RedisDown('reset')
      if (reply === 1) return epoch
      if (reply === 0) return undefined
      const newer = epochs.current(mark)
      known = newer === epoch ? undefined : newer
    }
    throw new Error('the marks of the nonce store do not settle')
  }
}

/** Only what was stamped well after the epoch began cannot be a repetition from before it. */
function requireRecovered(
  { bornMs }: Epoch,
  timestampMs: number,
  { clock, recoveryMs }: NonceStoreOptions
): void {
  const recoveredAtMs = bornMs + recoveryMs
  if (timestampMs >= recoveredAtMs) return
  const leftMs = Math.max(recoveredAtMs - clock.nowMs(), 1)
  throw new Fault('NONCE_STORE_RECOVERING', { retryAfterSeconds: Math.ceil(leftMs / 1000) })
}

function asNonceFault(cause: unknown, { servers, observer }: NonceStoreOptions): Fault {
  if (cause instanceof Fault && cause.code === 'NONCE_STORE_RECOVERING') return cause
  if (!(cause instanceof Fault)) {
    observer.count('store_errors_total', { store: 'redis', reason: reasonOf(cause) })
    if (isMisdirected(cause)) servers.suspect()
  }
  return new Fault('NONCE_STORE_UNAVAILABLE', { cause })
}

/** The driver's deadline runs from the sending; this one also covers the wait for it. */
async function within<T>(deadlineMs: number, work: Promise<T>): Promise<T> {
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(() => late.reject(new RedisDown('timeout')), deadlineMs)
  try {
    return await Promise.race([work, late.promise])
  } finally {
    clearTimeout(timer)
  }
}
