/**
 * The lease channel: what a replica polls, the rows it looks up, and the list of replicas. Every
 * reply carries the epoch it was read in, from the same snapshot, so that whoever reads it can tell
 * what it is worth.
 */
import type { Epoch, EpochStore, Invalidation, Member } from '../core/ports.ts'
import { digestBytes } from '../core/token.ts'
import type { Database, Row, Statement } from './database.ts'
import { TOKEN_COLUMNS, toNumber, toText, toTexts, toTokenRow } from './row.ts'

const EPOCH = `pg_is_in_recovery() AS standby, tg_history() AS history,
  (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS now_ms, e.seq, e.pruned_seq, e.lease_ms,
  (SELECT state FROM tg_replica WHERE id = $1) AS member`

const POLL: Statement = {
  name: 'tg-poll',
  text: `SELECT ${EPOCH}, (SELECT json_agg(x ORDER BY x.seq) FROM (SELECT seq, kind, ids
    FROM tg_invalidation WHERE seq > $2 ORDER BY seq LIMIT 1001) x) AS events FROM tg_epoch e`
}
/** One row at least, also where no token is found: the epoch is needed for that, too. */
const LOOK_UP: Statement = {
  name: 'tg-look-up',
  text: `SELECT s.*, ${TOKEN_COLUMNS} FROM (SELECT ${EPOCH} FROM tg_epoch e) s
    LEFT JOIN tg_token t ON t.digest = ANY ($2)`
}
const JOIN: Statement = {
  name: 'tg-join',
  text: 'INSERT INTO tg_replica (id, ack_key) VALUES ($1, $2)'
}
const BEAT: Statement = {
  name: 'tg-beat',
  text: `UPDATE tg_replica SET seen_at = clock_timestamp() WHERE id = $1 AND state = 'live'`
}
const LEAVE: Statement = { name: 'tg-leave', text: 'DELETE FROM tg_replica WHERE id = $1' }
const MARK: Statement = {
  name: 'tg-mark',
  text: `UPDATE tg_replica SET state = 'leaving' WHERE state = 'live'
    AND seen_at < clock_timestamp() - make_interval(secs => $1::float8 / 1000)`
}
const MEMBERS: Statement = {
  name: 'tg-members',
  text: 'SELECT id, ack_key, state FROM tg_replica'
}
const REMOVE: Statement = {
  name: 'tg-remove',
  text: `DELETE FROM tg_replica WHERE id = ANY ($1) AND state = 'leaving'`
}
const PRUNE: Statement = {
  name: 'tg-prune',
  text: `WITH gone AS (DELETE FROM tg_invalidation
      WHERE at < clock_timestamp() - make_interval(secs => $1::float8 / 1000) RETURNING seq)
    UPDATE tg_epoch SET pruned_seq = greatest(pruned_seq, (SELECT max(seq) FROM gone))
    WHERE EXISTS (SELECT FROM gone)`
}

const FORGET: Statement = { name: 'tg-forget-replicas', text: 'DELETE FROM tg_replica' }

/** Only for whoever knows that no replica of this database is alive, and lets none start. */
export async function forgetReplicas(database: Database): Promise<void> {
  await database.query('api', FORGET, [])
}

export function createEpochStore(database: Database): EpochStore {
  const write = async (statement: Statement, values: readonly unknown[]) => {
    await database.query('api', statement, values)
  }
  return {
    join: (id, ackKey) => write(JOIN, [id, Buffer.from(ackKey)]),
    beat: id => write(BEAT, [id]),
    leave: id => write(LEAVE, [id]),
    async poll(id, afterSeq, deadlineMs) {
      const [row] = await database.query('poll', POLL, [id, afterSeq], deadlineMs)
      return { ...toEpoch(row), events: toEvents(row?.['events']) }
    },
    async lookUp(id, digests, deadlineMs) {
      const values = [id, digests.map(digestBytes)]
      const rows = await database.query('lookup', LOOK_UP, values, deadlineMs)
      const found = rows.filter(row => row['id'] !== null)
      return { ...toEpoch(rows[0]), rows: found.map(toTokenRow) }
    },
    async members(silentMs) {
      // The list is read after the marks, so that what was marked is seen leaving.
      await write(MARK, [silentMs])
      return (await database.query('api', MEMBERS, [])).map(toMember)
    },
    remove: ids => write(REMOVE, [ids]),
    prune: keepMs => write(PRUNE, [keepMs])
  }
}

/** Throws TypeError where there is no epoch: the schema was tampered with. */
function toEpoch(row: Row = {}): Epoch {
  return {
    isStandby: row['standby'] === true,
    history: toText(row['history']),
    dbNowMs: toNumber(row['now_ms']),
    seq: toNumber(row['seq']),
    prunedSeq: toNumber(row['pruned_seq']),
    leaseMs: toNumber(row['lease_ms']),
    member: toState(row['member'])
  }
}

function toState(value: unknown): 'live' | 'leaving' | undefined {
  return value === 'live' || value === 'leaving' ? value : undefined
}

/** `value`: a JSON list, or null. */
function toEvents(value: unknown): readonly Invalidation[] {
  if (value === null || value === undefined) return []
  if (!Array.isArray(value)) throw new TypeError('no list of events')
  return value.map(event => {
    const { seq, kind, ids } = event
    const isKnown = kind === 'revoke' || kind === 'change' || kind === 'all'
    if (!isKnown) throw new TypeError('no kind of event')
    return { seq: toNumber(seq), kind, ids: toTexts(ids) }
  })
}

function toMember(row: Row): Member {
  const ackKey = row['ack_key']
  if (!(ackKey instanceof Uint8Array)) throw new TypeError('ack_key is no bytea')
  const state = row['state'] === 'leaving' ? 'leaving' : 'live'
  return { id: toText(row['id']), ackKey, state }
}
