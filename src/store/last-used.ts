/**
 * When a token was last used: collected in memory, written in batches, and never waited for. Lost at
 * a crash, and beyond a bound; a batch that could not be written is tried again with the next one.
 */
import type { Observer } from '../core/observer.ts'
import type { Log, UseRecorder } from '../core/ports.ts'
import type { Database, Statement } from './database.ts'

export interface LastUsed extends UseRecorder {
  start(): void
  /** The last batch, within its deadline. */
  stop(): Promise<void>
}

export interface LastUsedOptions {
  readonly database: Database
  readonly observer: Observer
  readonly log: Log
  readonly everyMs?: number
  readonly capacity?: number
}

/** People look at it now and then, and a minute is promised. */
const EVERY_MS = 10_000
const CAPACITY = 20_000
const DEADLINE_MS = 2000

const WRITE: Statement = {
  name: 'tg-last-used',
  // In one order, so that two replicas wait for each other and never both; only tokens that exist.
  text: `INSERT INTO tg_last_use (token_id, used_at)
    SELECT t.id, to_timestamp(u.ms / 1000)
    FROM unnest($1::uuid[], $2::float8[]) AS u (id, ms) JOIN tg_token t ON t.id = u.id ORDER BY t.id
    ON CONFLICT (token_id) DO UPDATE SET used_at = greatest(tg_last_use.used_at, excluded.used_at)`
}

export function createLastUsed(options: LastUsedOptions): LastUsed {
  const { database, observer, log, everyMs = EVERY_MS, capacity = CAPACITY } = options
  let used = new Map<string, number>()
  let timer: NodeJS.Timeout | undefined
  let writing: Promise<void> = Promise.resolve()

  const note = (tokenId: string, atMs: number) => {
    if (used.size >= capacity && !used.has(tokenId)) observer.count('last_used_dropped_total')
    else used.set(tokenId, Math.max(atMs, used.get(tokenId) ?? 0))
  }

  async function write(): Promise<void> {
    if (used.size === 0) return
    const batch = used
    used = new Map()
    try {
      await database.query(
        'last_used',
        WRITE,
        [[...batch.keys()], [...batch.values()]],
        DEADLINE_MS
      )
    } catch (cause) {
      log.warn('times of last use are not written yet', { cause })
      for (const [tokenId, atMs] of batch) note(tokenId, atMs)
    }
  }

  return {
    used: note,
    start() {
      // One batch after the other: the rows of two at once could lock each other out.
      timer = setInterval(() => void (writing = writing.then(write)), everyMs)
      timer.unref()
    },
    async stop() {
      clearInterval(timer)
      await writing.then(write)
    }
  }
}
