/**
 * Nonces inside one process, for a gate without Redis: a map with expiry. Full means a Fault, never
 * forgetting. What it held is lost when the process ends, so after a start only requests stamped
 * after it are let through, except where nothing was ever kept.
 */
import { Fault } from '../core/decision.ts'
import { nonceKey } from '../core/nonce.ts'
import type { Clock, NonceStore } from '../core/ports.ts'

export interface EmbeddedNoncesOptions {
  readonly clock: Clock
  /** No gate ever kept nonces here: there is nothing to have forgotten. */
  readonly isNew: boolean
  /** Only requests stamped so long after the start are let through, in ms. */
  readonly recoveryMs: number
  /** Monotonic; ages the nonces. */
  readonly monoMs?: () => number
  readonly capacity?: number
}

/** About 150 MB when full: a thousand signed requests a second for a quarter of an hour. */
const CAPACITY = 1_000_000
/** Nonces that expire in the same such span are dropped together. */
const SPAN_MS = 10_000

/** Faults: NONCE_STORE_UNAVAILABLE (full), NONCE_STORE_RECOVERING. */
export function createEmbeddedNonces({
  clock,
  isNew,
  recoveryMs,
  monoMs = () => performance.now(),
  capacity = CAPACITY
}: EmbeddedNoncesOptions): NonceStore {
  const startedMs = monoMs()
  const expiryByKey = new Map<string, number>()
  const keysBySpan = new Map<number, string[]>()

  function dropExpired(nowMs: number): void {
    for (const [span, keys] of keysBySpan) {
      if ((span + 1) * SPAN_MS > nowMs) continue
      keysBySpan.delete(span)
      for (const key of keys) if ((expiryByKey.get(key) ?? nowMs) <= nowMs) expiryByKey.delete(key)
    }
  }

  function isUsed(key: string, nowMs: number, ttlMs: number): boolean {
    dropExpired(nowMs)
    if ((expiryByKey.get(key) ?? nowMs) > nowMs) return true
    if (expiryByKey.size >= capacity) throw new Fault('NONCE_STORE_UNAVAILABLE')
    const expiresMs = nowMs + ttlMs
    const span = Math.floor(expiresMs / SPAN_MS)
    expiryByKey.set(key, expiresMs)
    const keys = keysBySpan.get(span)
    if (keys) keys.push(key)
    else keysBySpan.set(span, [key])
    return false
  }

  function requireRecovered(timestampMs: number, nowMs: number): void {
    // The start on the database's clock, which is known better now than it was then.
    const bornMs = isNew ? 0 : clock.nowMs() - (nowMs - startedMs)
    const recoveredAtMs = bornMs + recoveryMs
    if (timestampMs >= recoveredAtMs) return
    const leftMs = Math.max(recoveredAtMs - clock.nowMs(), 1)
    throw new Fault('NONCE_STORE_RECOVERING', { retryAfterSeconds: Math.ceil(leftMs / 1000) })
  }

  return {
    claim: async (tokenId, nonce, timestampMs, ttlMs) => {
      const nowMs = monoMs()
      if (isUsed(nonceKey(tokenId, nonce).key, nowMs, ttlMs)) return 'used'
      requireRecovered(timestampMs, nowMs)
      return 'new'
    }
  }
}
