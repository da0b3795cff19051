/**
 * Token rows by the digest of their token, the least recently used one out first. What enters must
 * not have been overtaken by a change meanwhile; what a change concerns leaves at once. Digests that
 * no row has are kept apart, few and short, so that garbage evicts no row and costs few queries.
 */
import { LRUCache } from 'lru-cache'
import type { Invalidation, TokenEntry } from '../core/ports.ts'
import type { TokenRow } from '../core/principal.ts'
import type { TokenDigest } from '../core/token.ts'
import type { Freshness, Reading } from './clocks.ts'
import { createRecent, type ReadPosition } from './recent.ts'

/** The statement that a row was read by; shared by all rows of its reply. */
export interface Read extends ReadPosition {
  readonly sent: Reading
  /** The lease that the database granted in the same reply. */
  readonly leaseMs: number
  readonly generation: number
}

export interface Entry extends TokenEntry {
  readonly read: Read
}

export interface TokenCache {
  get(digest: TokenDigest): Entry | undefined
  isUnknown(digest: TokenDigest): boolean
  /** A change that the read did not see has been applied meanwhile: the row must not be added. */
  isOvertaken(id: string, read: Read): boolean
  add(row: TokenRow, read: Read): Entry
  addUnknown(digest: TokenDigest, sent: Reading): void
  apply(event: Invalidation): void
  /** Nothing read before this number counts any more. */
  clearBelow(seq: number): void
  /** Nothing read before this moment counts any more, whatever its number. */
  reset(): void
  /** Held, as this very object. */
  holds(digest: TokenDigest, entry: TokenEntry): boolean
  /** Not held, but read so lately that it may be used all the same: it was evicted for room. */
  isFreshRead(entry: TokenEntry): boolean
  /** Counts resets; a read that was sent in another generation is not used. */
  generation(): number
  /** Counts changes applied; part of a read's position. */
  order(): number
  size(): number
}

const UNKNOWN_DIGESTS = 1000
/** A token is accepted everywhere so long after its creation at the latest. */
const UNKNOWN_MS = 1000

function isEntry(entry: TokenEntry): entry is Entry {
  return 'read' in entry
}

/** `maxTokens`: rows held at most. */
export function createTokenCache(freshness: Freshness, maxTokens: number): TokenCache {
  const recent = createRecent()
  const digests = new Map<string, TokenDigest>()
  const entries = new LRUCache<TokenDigest, Entry>({
    max: maxTokens,
    dispose: entry => digests.delete(entry.row.id)
  })
  const unknown = new Map<TokenDigest, Reading>()
  let generation = 0

  function drop(id: string, seq: number): void {
    recent.mark(id, seq)
    const digest = digests.get(id)
    const entry = digest && entries.peek(digest)
    if (digest && entry && entry.read.seq < seq) entries.delete(digest)
  }

  function clearBelow(seq: number): void {
    recent.markAll(seq)
    entries.clear()
  }

  return {
    get: digest => entries.get(digest),
    isUnknown(digest) {
      const sent = unknown.get(digest)
      return sent !== undefined && freshness.isFresh(sent, UNKNOWN_MS)
    },
    isOvertaken: (id, read) => recent.isOvertaken(id, read),
    add(row, read) {
      const entry = { row, read }
      entries.set(row.digest, entry)
      digests.set(row.id, row.digest)
      unknown.delete(row.digest)
      return entry
    },
    addUnknown(digest, sent) {
      unknown.delete(digest)
      unknown.set(digest, sent)
      for (const oldest of unknown.keys()) {
        if (unknown.size > UNKNOWN_DIGESTS) unknown.delete(oldest)
        break
      }
    },
    apply({ kind, seq, ids }) {
      if (kind === 'all') clearBelow(seq)
      else for (const id of ids) drop(id, seq)
    },
    clearBelow,
    reset() {
      generation += 1
      entries.clear()
      unknown.clear()
      recent.clear()
    },
    holds: (digest, entry) => entries.peek(digest) === entry,
    isFreshRead(entry) {
      if (!isEntry(entry)) return false
      const { row, read } = entry
      const isCurrent = read.generation === generation && !recent.isOvertaken(row.id, read)
      return isCurrent && freshness.isFresh(read.sent, read.leaseMs)
    },
    generation: () => generation,
    order: () => recent.order(),
    size: () => entries.size
  }
}
