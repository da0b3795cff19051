/**
 * Postgres: connections, deadlines, and what a driver's error means.
 *
 * Three lanes, so that none waits for another: the poll that renews the lease, the look-ups of
 * tokens, and the rest. A statement that is not answered in time takes its connection with it: a late
 * reply is never read. Whatever keeps us from knowing is a Fault; the driver is known here alone.
 */
import { Pool, type PoolClient, type PoolConfig, type QueryConfig } from 'pg'
import { Fault } from '../core/decision.ts'
import type { Observer } from '../core/observer.ts'
import { isOfServer, reasonOf, StoreTimeout } from './errors.ts'

/** Named, so that a connection parses and plans it once. */
export interface Statement {
  readonly name: string
  readonly text: string
}

export type Row = Readonly<Record<string, unknown>>

export type Operation = 'poll' | 'lookup' | 'api' | 'audit' | 'last_used'

export interface Database extends AsyncDisposable {
  /** Rows of one statement in its own transaction. Rejects with Fault TOKEN_STORE_UNAVAILABLE. */
  query(
    op: Operation,
    statement: Statement,
    values: readonly unknown[],
    deadlineMs?: number
  ): Promise<readonly Row[]>
  /**
   * Several statements on one connection, which is closed if any fails: with a Fault, too. So it is
   * when the signal ends the wait for it or for an answer.
   */
  session<T>(work: (run: Run) => Promise<T>, signal?: AbortSignal): Promise<T>
}

/** Text without parameters may hold several statements. */
export type Run = (
  text: string,
  values?: readonly unknown[],
  deadlineMs?: number
) => Promise<readonly Row[]>

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
    // A connection that breaks fails its statement, if it has one, and is replaced when it is needed.
    pool.on('error', () => undefined)
    pool.on('connect', client => void client.on('error', () => undefined))
    return pool
  }
  const rest = open(isEmbedded ? 1 : LANES.rest)
  const poll = isEmbedded ? rest : open(LANES.poll)
  const lookup = isEmbedded ? rest : open(LANES.lookup)
  const poolOf = (op: Operation) => (op === 'poll' ? poll : op === 'lookup' ? lookup : rest)

  const end = async () => {
    await Promise.all([...new Set([poll, lookup, rest])].map(pool => pool.end()))
  }
  let ended: Promise<void> | undefined

  /** The deadline covers all of the work, the wait for a connection too. */
  async function within<T>(
    deadlineMs: number,
    work: (deadline: Deadline) => Promise<T>,
    signal?: AbortSignal
  ): Promise<T> {
    const deadline = isEmbedded ? NO_DEADLINE : startDeadline(deadlineMs, signal)
    try {
      const result = await work(deadline)
      observer.gauge('store_up', 1, POSTGRES)
      return result
    } catch (cause) {
      observer.count('store_errors_total', { ...POSTGRES, reason: reasonOf(cause) })
      if (!isOfServer(cause)) observer.gauge('store_up', 0, POSTGRES)
      throw new Fault('TOKEN_STORE_UNAVAILABLE', { cause })
    } finally {
      deadline.clear()
    }
  }

  return {
    async query(op, { name, text }, values, deadlineMs = STATEMENT_MS) {
      const startedMs = performance.now()
      try {
        return await within(deadlineMs, async deadline => {
          const client = await connect(poolOf(op), deadline)
          return runOn(client, { name, text, values: [...values] }, deadline)
        })
      } finally {
        const seconds = (performance.now() - startedMs) / 1000
        observer.measure('store_seconds', seconds, { ...POSTGRES, op })
      }
    },
    async session(work, signal) {
      const client = await within(STATEMENT_MS, deadline => connect(rest, deadline), signal)
      try {
        const result = await work((text, values, deadlineMs = STATEMENT_MS) =>
          within(
            deadlineMs,
            async deadline =>
              rowsOf(await deadline.race(client.query<Row>(text, values && [...values]))),
            signal
          )
        )
        client.release()
        return result
      } catch (error) {
        client.release(true)
        throw error
      }
    },
    [Symbol.asyncDispose]: () => (ended ??= end())
  }
}

const POSTGRES = { store: 'postgres' } as const

interface Deadline {
  /** Rejects with StoreTimeout where the answer is not there in time, or as the signal says. */
  race<T>(answer: Promise<T>): Promise<T>
  clear(): void
}

const NO_DEADLINE: Deadline = { race: answer => answer, clear: () => undefined }

function startDeadline(afterMs: number, signal?: AbortSignal): Deadline {
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(() => late.reject(new StoreTimeout()), afterMs)
  const callOff = () => late.reject(signal?.reason)
  signal?.addEventListener('abort', callOff)
  if (signal?.aborted) callOff()
  late.promise.catch(() => undefined)
  return {
    race: answer => Promise.race([answer, late.promise]),
    clear: () => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', callOff)
    }
  }
}

async function connect(pool: Pool, deadline: Deadline): Promise<PoolClient> {
  const connecting = pool.connect()
  try {
    return await deadline.race(connecting)
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
  query: QueryConfig,
  deadline: Deadline
): Promise<readonly Row[]> {
  try {
    const { rows } = await deadline.race(client.query<Row>(query))
    client.release()
    return rows
  } catch (error) {
    // A server that refused a statement is well; anything else may still be on its way.
    client.release(!isOfServer(error))
    throw error
  }
}

/** Several statements in one text give several results; the last one counts. */
function rowsOf(answer: unknown): readonly Row[] {
  const last: unknown = Array.isArray(answer) ? answer.at(-1) : answer
  const hasRows = typeof last === 'object' && last !== null && 'rows' in last
  return hasRows && Array.isArray(last.rows) ? last.rows : []
}
