/**
 * The way to a usable schema at start: tries until the database answers, migrates or waits for
 * somebody who does, and refuses a schema that this program does not know.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { Fault } from '../core/decision.ts'
import type { Log } from '../core/ports.ts'
import type { Database } from './database.ts'
import { migrate, schemaState } from './migrate.ts'

export type SchemaWord = 'starting' | 'down' | 'old' | 'ok'

export interface PrepareOptions {
  /** False: `tollgate migrate` does it, and this waits for it. */
  readonly isMigrating: boolean
  readonly leaseMs: number
  readonly log: Log
  /** Ends the waiting. */
  readonly signal: AbortSignal
  readonly onState: (state: SchemaWord) => void
}

const FIRST_PAUSE_MS = 50
const LONGEST_PAUSE_MS = 5000

/** Resolves when the schema can be used, or the signal says so. Throws SchemaTooNew, SchemaChanged. */
export async function prepareSchema(database: Database, options: PrepareOptions): Promise<void> {
  const { log, signal, onState } = options
  let ceilingMs = FIRST_PAUSE_MS
  for (let word: SchemaWord | undefined; !signal.aborted;) {
    const before = word
    word = await attempt(database, options, cause => {
      if (before !== 'down') log.error('the database cannot be reached', { cause })
    })
    if (word === undefined) return
    onState(word)
    if (word === 'ok') return
    if (word === 'old' && before !== 'old') log.warn('the schema is old: run `tollgate migrate`')
    // Full jitter: replicas that wait for the same server do not come as one.
    await sleep(Math.random() * ceilingMs, undefined, { signal }).catch(() => undefined)
    ceilingMs = Math.min(2 * ceilingMs, LONGEST_PAUSE_MS)
  }
}

/** Undefined: called off. */
async function attempt(
  database: Database,
  { isMigrating, leaseMs, signal }: PrepareOptions,
  onDown: (cause: unknown) => void
): Promise<SchemaWord | undefined> {
  try {
    if (isMigrating) await migrate(database, { leaseMs, signal })
    return (await schemaState(database, signal)) === 'current' ? 'ok' : 'old'
  } catch (thrown) {
    if (!(thrown instanceof Fault)) throw thrown
    if (signal.aborted) return undefined
    onDown(thrown.cause)
    return 'down'
  }
}
