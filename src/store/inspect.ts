/** What `doctor` asks of a Postgres: facts alone, judged elsewhere. Nothing is changed. */
import type { Database, Row, Run } from './database.ts'
import { SchemaChanged, SchemaTooNew, schemaState } from './migrate.ts'

export interface DatabaseFacts {
  /** Shortest of five, in ms. */
  readonly roundTripMs: number
  /** Its clock minus this machine's, in ms. */
  readonly offsetMs: number
  readonly isStandby: boolean
  /** Of those that this user may still open. */
  readonly connectionsLeft: number
  readonly isCommitSynchronous: boolean
  readonly schema: 'current' | 'old' | 'newer' | 'changed'
  /** Undefined without a current schema. */
  readonly gate:
    | {
        readonly leaseMs: number
        readonly waitMs: number
        readonly replicas: number
        /** `INSERT on tg_audit`. */
        readonly missingRights: readonly string[]
      }
    | undefined
}

/** What the statements of this folder need, and no more. */
const RIGHTS: Readonly<Record<string, readonly string[]>> = {
  tg_migration: ['SELECT'],
  tg_token: ['SELECT', 'INSERT', 'UPDATE'],
  tg_last_use: ['SELECT', 'INSERT', 'UPDATE'],
  tg_epoch: ['SELECT', 'UPDATE'],
  tg_invalidation: ['SELECT', 'INSERT', 'DELETE'],
  tg_replica: ['SELECT', 'INSERT', 'UPDATE', 'DELETE'],
  tg_audit: ['SELECT', 'INSERT']
}
const ROUND_TRIPS = 5

const SERVER = `SELECT (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS now_ms,
  pg_is_in_recovery() AS standby, current_setting('synchronous_commit') AS commits,
  current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
    - (SELECT count(*)::int FROM pg_stat_activity WHERE backend_type = 'client backend') AS left`

/** Throws Fault TOKEN_STORE_UNAVAILABLE. */
export async function inspectDatabase(
  database: Database,
  nowMs: () => number
): Promise<DatabaseFacts> {
  const schema = await schemaWord(database)
  return database.session(async run => {
    const roundTripMs = await shortest(run)
    const sentMs = nowMs()
    const [server = {}] = await run(SERVER)
    const middleMs = (sentMs + nowMs()) / 2
    return {
      roundTripMs,
      offsetMs: Number(server['now_ms']) - middleMs,
      isStandby: server['standby'] === true,
      connectionsLeft: Number(server['left']),
      isCommitSynchronous: server['commits'] !== 'off',
      schema,
      gate: schema === 'current' ? await inspectGate(run) : undefined
    }
  })
}

async function schemaWord(database: Database): Promise<DatabaseFacts['schema']> {
  try {
    return await schemaState(database)
  } catch (thrown) {
    if (thrown instanceof SchemaTooNew) return 'newer'
    if (thrown instanceof SchemaChanged) return 'changed'
    throw thrown
  }
}

async function shortest(run: Run): Promise<number> {
  let best = Infinity
  for (let i = 0; i < ROUND_TRIPS; i++) {
    const startedMs = performance.now()
    await run('SELECT 1')
    best = Math.min(best, performance.now() - startedMs)
  }
  return best
}

async function inspectGate(run: Run): Promise<DatabaseFacts['gate']> {
  const wanted = Object.entries(RIGHTS).flatMap(([table, rights]) =>
    rights.map(right => [table, right] as const)
  )
  const missing = await run(
    `SELECT w.privilege || ' on ' || w.name AS lacks
     FROM unnest($1::text[], $2::text[]) AS w (name, privilege)
     WHERE NOT has_table_privilege(w.name, w.privilege)`,
    [wanted.map(([table]) => table), wanted.map(([, right]) => right)]
  )
  const missingRights = missing.map(row => String(row['lacks']))
  // What may not be read says nothing more.
  if (missingRights.some(right => right.startsWith('SELECT'))) {
    return { leaseMs: 0, waitMs: 0, replicas: 0, missingRights }
  }
  const [epoch = {}]: readonly Row[] = await run(
    `SELECT lease_ms, wait_ms, (SELECT count(*)::int FROM tg_replica) AS replicas FROM tg_epoch`
  )
  return {
    leaseMs: Number(epoch['lease_ms']),
    waitMs: Number(epoch['wait_ms']),
    replicas: Number(epoch['replicas']),
    missingRights
  }
}
