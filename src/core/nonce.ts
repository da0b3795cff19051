/**
 * A nonce as the store knows it, and for how long it must be known.
 *
 * Keys are spread over 64 buckets, each with a mark that says since when nothing in it was lost. The
 * braces are the hash tag of a Redis Cluster: key and mark of a bucket are on one server.
 */
import { hash } from 'node:crypto'

const BUCKETS = 64
const PREFIX = 'tollgate:nonce:'
/** The widest signature window there is, whatever the setting: that may change or differ. */
const WIDEST_WINDOW_MS = 300_000
/** Clocks of replicas, rounding, and the time a claim takes. */
const MARGIN_MS = 60_000

export interface NonceKey {
  readonly key: string
  /** Key of the mark of its bucket. */
  readonly mark: string
}

/** The keys of all marks. */
export const NONCE_MARKS: readonly string[] = Array.from({ length: BUCKETS }, (_, i) => markOf(i))

/** 128 bits of SHA-256: no two nonces of any tokens share a key. A token's id has no colon. */
export function nonceKey(tokenId: string, nonce: string): NonceKey {
  const digest = hash('sha256', `${tokenId}:${nonce}`, 'buffer')
  const bucket = digest.readUInt8(0) % BUCKETS
  return {
    key: `${PREFIX}{${bucket}}:${digest.subarray(0, 16).toString('base64url')}`,
    mark: markOf(bucket)
  }
}

/**
 * In ms: past the moment at which a request of this timestamp is too old everywhere. A fixed time
 * would forget a request that was stamped ahead while it is still fresh.
 */
export function nonceTtlMs(timestampMs: number, nowMs: number): number {
  return timestampMs + WIDEST_WINDOW_MS - nowMs + MARGIN_MS
}

function markOf(bucket: number): string {
  return `${PREFIX}{${bucket}}:epoch`
}
