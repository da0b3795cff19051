/**
 * The audit trail, as far as the gate writes and ends it itself: changes of tokens are written by the
 * database, in their own transaction. Bursts of refusals come from here, later and in batches, so
 * that no request waits for them; what finds no room or no database is lost and counted. Once a day
 * the oldest rows go, by whichever replica comes first.
 */
import { isIP } from 'node:net'
import type { Burst } from '../core/bursts.ts'
import type { Observer } from '../core/observer.ts'
import type { Log } from '../core/ports.ts'
import type { Database, Statement } from './database.ts'
import { neverReached } from './errors.ts'

export interface AuditTrail {
  /** Never waits, never throws. */
  add(burst: Burst): void
  /** The schema is there. */
  start(): void
  /** The last batch, within its deadline. */
  stop(): Promise<void>
}

export interface AuditTrailOptions {
  readonly database: Database
  readonly observer: Observer
  readonly log: Log
  /** Of this process, as the list of replicas knows it. */
  readonly replicaId: () => string
  /** 0: nothing is ever removed. */
  readonly retentionDays: number
  /** 0 to 1: when in the first minutes the daily round begins. */
  readonly random: () => number
  readonly everyMs?: number
  readonly firstRoundMs?: number
}

const EVERY_MS = 1000
const DEADLINE_MS = 2000
const CAPACITY = 1000
const DAY_MS = 86_400_000
/** After the rush of a start, and not all replicas at once. */
const FIRST_ROUND_MS = 60_000
const FIRST_ROUND_SPREAD_MS = 540_000
/** Rows that one statement removes: short enough that nobody waits for it. */
const PRUNE_BATCH = 10_000
const PRUNE_DEADLINE_MS = 30_000

const WRITE: Statement = {
  name: 'tg-audit-add',
  text: `INSERT INTO tg_audit (at, event, actor_kind, actor_id, org_id, token_id, ip, replica, detail)
    SELECT to_timestamp(b.last_ms / 1000), 'denied.burst', 'replica', $1::text, b.org_id, b.token_id,
      b.ip, $1::uuid, b.detail
    FROM jsonb_to_recordset($2::jsonb)
      AS b (last_ms float8, org_id text, token_id uuid, ip inet, detail jsonb)`
}
const PRUNE: Statement = {
  name: 'tg-audit-prune',
  text: 'SELECT tg_audit_prune($1, $2) AS pruned'
}

export function createAuditTrail(options: AuditTrailOptions): AuditTrail {
  const { database, observer, log, replicaId, retentionDays, random } = options
  const { everyMs = EVERY_MS } = options
  const firstRoundMs = options.firstRoundMs ?? FIRST_ROUND_MS + random() * FIRST_ROUND_SPREAD_MS
  let waiting: Burst[] = []
  let batches: NodeJS.Timeout | undefined
  let rounds: NodeJS.Timeout | undefined
  let working: Promise<void> = Promise.resolve()
  let isStopped = false

  async function write(): Promise<void> {
    if (waiting.length === 0) return
    const batch = waiting
    waiting = []
    try {
      const values = [replicaId(), JSON.stringify(batch.map(toRow))]
      await database.query('audit', WRITE, values, DEADLINE_MS)
    } catch (thrown) {
      // What may have arrived is not written twice.
      if (!isStopped && thrown instanceof Error && neverReached(thrown.cause)) batch.forEach(keep)
      else lose(batch.length, thrown)
    }
  }

  function lose(rows: number, cause?: unknown): void {
    observer.count('audit_dropped_total', {}, rows)
    if (cause !== undefined) log.warn('rows of the audit trail are lost', { rows, cause })
  }

  function keep(burst: Burst): void {
    if (waiting.length < CAPACITY) waiting.push(burst)
    else lose(1)
  }

  /** Batch after batch, until nothing is left or another replica is at it. */
  async function prune(): Promise<void> {
    let removed = 0
    try {
      let last: number
      do {
        last = await pruneBatch()
        removed += last
      } while (last === PRUNE_BATCH)
    } catch (cause) {
      log.warn('old rows of the audit trail are not removed yet', { cause })
    }
    if (removed > 0) log.info('old rows of the audit trail are removed', { rows: removed })
  }

  async function pruneBatch(): Promise<number> {
    if (isStopped) return 0
    const values = [retentionDays, PRUNE_BATCH]
    const [row] = await database.query('audit', PRUNE, values, PRUNE_DEADLINE_MS)
    return Number(row?.['pruned'])
  }

  function planRound(afterMs: number): void {
    rounds = setTimeout(() => {
      void prune()
      planRound(DAY_MS)
    }, afterMs)
    rounds.unref()
  }

  return {
    add: keep,
    start() {
      if (isStopped) return
      batches = setInterval(() => void (working = working.then(write)), everyMs)
      batches.unref()
      if (retentionDays > 0) planRound(firstRoundMs)
    },
    async stop() {
      isStopped = true
      clearInterval(batches)
      clearTimeout(rounds)
      await working.then(write)
    }
  }
}

function toRow({ code, tokenId, orgId, count, firstMs, lastMs, addresses }: Burst) {
  const [ip = ''] = addresses
  // A link-local address names its interface, which is none of an address.
  const [plain = ''] = ip.split('%')
  const detail = {
    code,
    count,
    firstAt: new Date(firstMs).toISOString(),
    lastAt: new Date(lastMs).toISOString(),
    addresses
  }
  return {
    last_ms: lastMs,
    org_id: orgId ?? null,
    token_id: tokenId ?? null,
    ip: isIP(plain) === 0 ? null : plain,
    detail
  }
}
