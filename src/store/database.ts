/**
 * Postgres: connections, deadlines, and what a driver's error means.
 *
 * Three lanes, so that none waits for another: the poll that renews the lease, the look-ups of
 * tokens, and the rest. A statement that is not answered in time takes its connection with it: a late
 * reply is never read. Whatever keeps us from knowing is a Fault; the driver is known here alone.
 */
import { Pool, type PoolClient, type PoolConfig } from 'pg'
import { Fault } from '../core/decision.ts'
import type { Observer } from '../core/observer.ts'
import { isOfServer, reasonOf, StoreTimeout } from './errors.ts'

/** Named, so that a connection parses and plans it once. */
export interface Statement {
  readonly name: string
  readonly text: string
}

export type Row = Readonly<Record<string, unknown>>

export type Operation = 'poll' | 'lookup' | 'api' | 'last_used'

export interface Database extends AsyncDisposable {
  /** Rows of one statement in its own transaction. Rejects with Fault TOKEN_STORE_UNAVAILABLE. */
  query(
    op: Operation,
    statement: Statement,
    values: readonly unknown[],
    deadlineMs?: number
  ): Promise<readonly Row[]>
  /** Several statements on one connection, without a deadline. Rejects with a Fault, too. */
  session<T>(work: (run: Run) => Promise<T>): Promise<T>
}

/** Text without parameters may hold several statements. */
export type Run = (text: string, values?: readonly unknown[]) => Promise<readonly Row[]>

export interface DatabaseOptions {
  /** How to reach it: a connection string, or a stream that speaks its protocol. */
  readonly connection: Pick<PoolConfig, 'connectionString' | 'stream' | 'user' | 'database'>
  /**
   * One connection for everything, and no deadlines: Postgres inside this process, which blocks it
   * while it works, so that every timer seems late.
   */
  readonly isEmbedded?: boolean
  readonly observer: Observer
}

const STATEMENT_MS = 2000
const CONNECT_MS = 2000
const IDLE_MS = 30_000
const LANES = { poll: 1, lookup: 4, rest: 2 } as const

export function openDatabase(options: DatabaseOptions): Database {
  const { connection, isEmbedded = false, observer } = options
  const open = (max: number) => {
    const pool = new Pool({
      ...connection,
      max,
      connectionTimeoutMillis: isEmbedded ? 0 : CONNECT_MS,
      idleTimeoutMillis: isEmbedded ? 0 : IDLE_MS,
      application_name: 'tollgate',
      keepAlive: true
    })
    // An idle connection that breaks is replaced when it is needed.
    pool.on('error', () => undefined)
    return pool
  }
  const rest = open(isEmbedded ? 1 : LANES.rest)
  const poll = isEmbedded ? rest : open(LANES.poll)
  const lookup = isEmbedded ? rest : open(LANES.lookup)
  const poolOf = (op: Operation) => (op === 'poll' ? poll : op === 'lookup' ? lookup : rest)

  return {
    async query(op, { name, text }, values, deadlineMs = STATEMENT_MS) {
      const startedMs = performance.now()
      try {
        const rows = await runWithin(isEmbedded ? Infinity : deadlineMs, poolOf(op), client =>
          client.query<Row>({ name, text, values: [...values] })
        )
        observer.gauge('store_up', 1, POSTGRES)
        return rows
      } catch (cause) {
        observer.count('store_errors_total', { ...POSTGRES, reason: reasonOf(cause) })
        if (!isOfServer(cause)) observer.gauge('store_up', 0, POSTGRES)
        throw new Fault('TOKEN_STORE_UNAVAILABLE', { cause })
      } finally {
        const seconds = (performance.now() - startedMs) / 1000
        observer.measure('store_seconds', seconds, { ...POSTGRES, op })
      }
    },
    async session(work) {
      const client = await rest.connect().catch(unreachable)
      try {
        const result = await work(async (text, values) => {
          const answering = client.query<Row>(text, values && [...values])
          const answer: unknown = await answering.catch(unreachable)
          return rowsOf(answer)
        })
        client.release()
        return result
      } catch (error) {
        client.release(true)
        throw error
      }
    },
    [Symbol.asyncDispose]: async () => {
      await Promise.all([...new Set([poll, lookup, rest])].map(pool => pool.end()))
    }
  }
}

/** A connection that failed or broke is a Fault; what the server says of a statement is its own. */
function unreachable(cause: unknown): never {
  if (isOfServer(cause)) throw cause
  throw new Fault('TOKEN_STORE_UNAVAILABLE', { cause })
}

const POSTGRES = { store: 'postgres' } as const

/** Several statements in one text give several results; the last one counts. */
function rowsOf(answer: unknown): readonly Row[] {
  const last: unknown = Array.isArray(answer) ? answer.at(-1) : answer
  const hasRows = typeof last === 'object' && last !== null && 'rows' in last
  return hasRows && Array.isArray(last.rows) ? last.rows : []
}

type Query = (client: PoolClient) => Promise<{ readonly rows: readonly Row[] }>

/** The deadline covers the wait for a connection, too. */
async function runWithin(deadlineMs: number, pool: Pool, query: Query): Promise<readonly Row[]> {
  if (deadlineMs === Infinity) return runOn(await pool.connect(), query)
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(() => late.reject(new StoreTimeout()), deadlineMs)
  try {
    return await runOn(await connectBefore(pool, late.promise), query, late.promise)
  } finally {
    clearTimeout(timer)
  }
}

async function connectBefore(pool: Pool, late: Promise<never>): Promise<PoolClient> {
  const connecting = pool.connect()
  try {
    return await Promise.race([connecting, late])
  } catch (error) {
    // Whoever waited too long does not keep what comes later.
    void connecting.then(
      client => client.release(),
      () => undefined
    )
    throw error
  }
}

async function runOn(
  client: PoolClient,
  query: Query,
  late?: Promise<never>
): Promise<readonly Row[]> {
  const answering = query(client)
  try {
    const { rows } = await (late ? Promise.race([answering, late]) : answering)
    client.release()
    return rows
  } catch (error) {
    answering.catch(() => undefined)
    // A server that refused a statement is well; anything else may still be on its way.
    const isWell = isOfServer(error) && !(error instanceof StoreTimeout)
    client.release(!isWell)
    throw error
  }
}
