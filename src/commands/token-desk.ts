/**
 * What `tollgate tokens` works on: the database that the settings name, and the barrier of a revoker
 * that is no replica. Redis makes a revocation fast here, too; without it, it waits for the leases.
 */
import { randomUUID } from 'node:crypto'
import { OWN_ROUTES } from '../core/own-routes.ts'
import type { Barrier, Log, TokenStore } from '../core/ports.ts'
import { createEmbeddedNudge } from '../embedded/nudge.ts'
import { EmbeddedInUse, openEmbeddedPostgres } from '../embedded/postgres.ts'
import { createRedis } from '../redis/client.ts'
import { createNudge } from '../redis/nudge.ts'
import { createBarrier } from '../revocation/barrier.ts'
import { systemClocks, systemSchedule } from '../revocation/clocks.ts'
import { loadRoutes } from '../routes/compile.ts'
import { openDatabase } from '../store/database.ts'
import { createEpochStore } from '../store/epochs.ts'
import { migrate, SchemaChanged, schemaState, SchemaTooNew } from '../store/migrate.ts'
import { createTokenStore } from '../store/tokens.ts'
import { CommandExit, type CommandIo } from './output.ts'
import { formatFindings } from './routes.ts'
import { EMBEDDED_FOLDER, readSettings } from './settings.ts'
import type { ScopeMap } from './token-input.ts'

export interface TokenDesk extends AsyncDisposable {
  readonly store: TokenStore
  readonly barrier: Pick<Barrier, 'wait'>
  /** What the route file declares. */
  scopes(): Promise<ScopeMap>
}

const NO_OBSERVER = { count: () => undefined, measure: () => undefined, gauge: () => undefined }

/** Throws CommandExit 2, or 3 while a running gate holds the embedded database. */
export async function openTokenDesk(io: CommandIo): Promise<TokenDesk> {
  const { DATABASE_URL, REDIS_URL, REDIS_MODE, ROUTES_FILE, LEASE_MS } = readSettings(io)
  await using stack = new AsyncDisposableStack()
  const log = logTo(io)
  const embedded =
    DATABASE_URL === undefined
      ? stack.use(await openEmbeddedPostgres(EMBEDDED_FOLDER).catch(refuse))
      : undefined
  const connection = embedded?.connection ?? { connectionString: DATABASE_URL }
  const isEmbedded = embedded !== undefined
  const database = stack.use(openDatabase({ connection, isEmbedded, observer: NO_OBSERVER }))
  // Nobody else can be using our own; another one is not ours to change.
  if (isEmbedded) await migrate(database, { leaseMs: LEASE_MS }).catch(refuse)
  else if ((await schemaState(database).catch(refuse)) === 'old') {
    throw new CommandExit(2, 'The database schema is old: run `tollgate migrate` first.')
  }
  const observer = NO_OBSERVER
  const redis =
    REDIS_URL === undefined
      ? undefined
      : createRedis({ url: REDIS_URL, mode: REDIS_MODE, log, observer })
  if (redis) stack.defer(() => redis.close())
  const store = createTokenStore(database)
  const barrier = createBarrier({
    epochs: createEpochStore(database),
    store,
    nudge: redis ? createNudge({ redis, log }) : createEmbeddedNudge({ log }),
    clocks: systemClocks(),
    // The wait is what keeps this process running.
    schedule: keepAlive,
    observer,
    log,
    randomUuid: randomUUID,
    own: undefined
  })
  stack.defer(() => barrier.close())
  const opened = stack.move()
  return {
    store,
    barrier,
    scopes: () => readScopes(ROUTES_FILE),
    [Symbol.asyncDispose]: () => opened.disposeAsync()
  }
}

const keepAlive: typeof systemSchedule = (run, afterMs) => {
  const timer = setTimeout(run, afterMs)
  return () => clearTimeout(timer)
}

function refuse(thrown: unknown): never {
  if (thrown instanceof EmbeddedInUse) throw new CommandExit(3, thrown.message, thrown)
  if (thrown instanceof SchemaTooNew || thrown instanceof SchemaChanged) {
    throw new CommandExit(2, thrown.message, thrown)
  }
  throw thrown
}

async function readScopes(file: string): Promise<ScopeMap> {
  const loaded = await loadRoutes(file, { ownRoutes: OWN_ROUTES })
  if ('table' in loaded) return loaded.table.scopes
  throw new CommandExit(2, formatFindings(loaded.findings).trimEnd())
}

/** Warnings are worth a line to an operator; the rest is said by how the command ends. */
function logTo(io: CommandIo): Log {
  const say = (message: string) => io.err(`Warning: ${message}\n`)
  return { info: () => undefined, warn: say, error: say }
}
