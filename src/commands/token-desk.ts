/**
 * What `tollgate tokens` works on: the database that the settings name, and the barrier of a revoker
 * that is no replica. Redis makes a revocation fast here, too; without it, it waits for the leases.
 */
import { randomUUID } from 'node:crypto'
import { findGaps } from '../config/gaps.ts'
import type { Settings } from '../config/schema.ts'
import { NO_OBSERVER } from '../core/observer.ts'
import { ownRoutesFor } from '../core/own-routes.ts'
import type { Barrier, Log, TokenStore } from '../core/ports.ts'
import { createEmbeddedNudge } from '../embedded/nudge.ts'
import { openEmbeddedPostgres } from '../embedded/postgres.ts'
import { createRedis, type RedisClient } from '../redis/client.ts'
import { createNudge } from '../redis/nudge.ts'
import { createBarrier } from '../revocation/barrier.ts'
import { systemClocks, systemSchedule } from '../revocation/clocks.ts'
import { loadRoutes } from '../routes/compile.ts'
import { type Database, openDatabase } from '../store/database.ts'
import { createEpochStore, forgetReplicas } from '../store/epochs.ts'
import { migrate, schemaState } from '../store/migrate.ts'
import { createTokenStore } from '../store/tokens.ts'
import { explain } from './explain.ts'
import { CommandExit, type CommandIo } from './output.ts'
import { formatFindings } from './route-file.ts'
import { EMBEDDED_FOLDER, readSettings } from './settings.ts'
import type { ScopeMap } from './token-input.ts'

export interface TokenDesk extends AsyncDisposable {
  readonly store: TokenStore
  readonly barrier: Pick<Barrier, 'wait'>
  /** What the route file declares. */
  scopes(): Promise<ScopeMap>
}

/** Throws CommandExit 2, or 3 while a running gate holds the embedded database. */
export async function openTokenDesk(io: CommandIo): Promise<TokenDesk> {
  const settings = readSettings(io)
  await using stack = new AsyncDisposableStack()
  const log = logTo(io)
  const database = await openStore(stack, settings, io)
  const redis = openRedis(settings, log)
  if (redis) stack.defer(() => redis.close())
  const store = createTokenStore(database)
  const barrier = createBarrier({
    epochs: createEpochStore(database),
    store,
    nudge: redis ? createNudge({ redis, log }) : createEmbeddedNudge({ log }),
    clocks: systemClocks(),
    // The wait is what keeps this process running.
    schedule: keepAlive,
    observer: NO_OBSERVER,
    log,
    randomUuid: randomUUID,
    own: undefined
  })
  stack.defer(() => barrier.close())
  const opened = stack.move()
  return {
    store,
    barrier,
    scopes: () => readScopes(settings),
    [Symbol.asyncDispose]: () => opened.disposeAsync()
  }
}

function openRedis({ REDIS_URL, REDIS_MODE }: Settings, log: Log): RedisClient | undefined {
  if (REDIS_URL === undefined) return undefined
  try {
    return createRedis({ url: REDIS_URL, mode: REDIS_MODE, log, observer: NO_OBSERVER })
  } catch (thrown) {
    return explain(thrown)
  }
}

/** The database that the settings name, else the embedded one, with the schema that is known here. */
async function openStore(
  stack: AsyncDisposableStack,
  settings: Settings,
  io: CommandIo
): Promise<Database> {
  const { DATABASE_URL, LEASE_MS } = settings
  const observer = NO_OBSERVER
  if (DATABASE_URL !== undefined) {
    const connection = { connectionString: DATABASE_URL }
    const database = stack.use(openDatabase({ connection, observer }))
    // A shared database is migrated on purpose, never in passing.
    if ((await schemaState(database).catch(explain)) === 'current') return database
    throw new CommandExit(2, 'The database schema is old: run `tollgate migrate` first.')
  }
  const isMissing = !findGaps(settings).mayBeFilled
  if (isMissing) throw new CommandExit(2, 'DATABASE_URL must be set in production.')
  // Else a revocation that found nothing here could pass for one that was carried out.
  io.err(`DATABASE_URL is not set: this is the embedded database in ${EMBEDDED_FOLDER}/.\n`)
  const { connection, isKept } = stack.use(
    await openEmbeddedPostgres(EMBEDDED_FOLDER).catch(explain)
  )
  if (!isKept) throw new CommandExit(3, `The folder ${EMBEDDED_FOLDER}/ cannot be written.`)
  const database = stack.use(openDatabase({ connection, isEmbedded: true, observer }))
  await migrate(database, { leaseMs: LEASE_MS }).catch(explain)
  // The folder is locked, so whoever is in the list has died: nobody waits for them.
  await forgetReplicas(database)
  return database
}

const keepAlive: typeof systemSchedule = (run, afterMs) => {
  const timer = setTimeout(run, afterMs)
  return () => clearTimeout(timer)
}

async function readScopes({ ROUTES_FILE, DASHBOARD }: Settings): Promise<ScopeMap> {
  const loaded = await loadRoutes(ROUTES_FILE, { ownRoutes: ownRoutesFor(DASHBOARD) })
  if ('table' in loaded) return loaded.table.scopes
  throw new CommandExit(2, formatFindings(loaded.findings).trimEnd())
}

/** Warnings are worth a line to an operator; the rest is said by how the command ends. */
function logTo(io: CommandIo): Log {
  const say = (message: string) => io.err(`Warning: ${message}\n`)
  return { info: () => undefined, warn: say, error: say }
}
