/**
 * The composition root: settings in, a running gate out. Everything that is opened goes on one stack,
 * and what was opened last closes first, also when the start fails half-way.
 */
import { randomBytes, randomUUID } from 'node:crypto'
import { watchParts } from './admin/parts.ts'
import { createReadiness, type Readiness } from './admin/readiness.ts'
import { createAdminServer } from './admin/server.ts'
import type { Settings } from './config/schema.ts'
import { createGate } from './core/gate.ts'
import type { Barrier, NonceStore, Nudge, TokenStore, UserVerifier } from './core/ports.ts'
import type { RouteTable } from './core/rule.ts'
import { createEmbeddedNonces } from './embedded/nonces.ts'
import { createEmbeddedNudge } from './embedded/nudge.ts'
import { type Parts, openParts } from './embedded/parts.ts'
import { createConnections } from './proxy/connections.ts'
import { createProxyServer } from './proxy/server.ts'
import { openUpstreams } from './proxy/upstreams.ts'
import { createRedis, type RedisClient } from './redis/client.ts'
import { createNonceStore } from './redis/nonces.ts'
import { createNudge } from './redis/nudge.ts'
import { systemClocks, systemSchedule } from './revocation/clocks.ts'
import { createRevocation, type Revocation } from './revocation/revocation.ts'
import { type Database, openDatabase } from './store/database.ts'
import { createEpochStore } from './store/epochs.ts'
import { createLastUsed, type LastUsed } from './store/last-used.ts'
import { createNonceHistory } from './store/nonce-history.ts'
import { prepareSchema, type SchemaWord } from './store/prepare.ts'
import { createTokenStore } from './store/tokens.ts'
import type { GateLog } from './telemetry/log.ts'
import { openTelemetry, type Telemetry } from './telemetry/open.ts'
import { createTokenApi } from './tokens/api.ts'
import { createUserVerifier } from './users/jwt.ts'

export interface GateOptions {
  readonly settings: Settings
  readonly table: RouteTable
  readonly version: string
  /** Folder of the embedded parts. */
  readonly folder: string
}

export interface RunningGate {
  readonly port: number
  readonly adminPort: number
  readonly parts: Parts
  readonly log: GateLog
  readonly store: TokenStore
  readonly clock: Revocation['clock']
  /** Resolves with the first lease. Rejects where the schema cannot be used. */
  readonly ready: Promise<void>
  /** Not ready any more; connections are closed as they are answered, streams at once. */
  drain(): void
  /** Drains, lets running requests finish within the grace, and closes everything. */
  stop(): Promise<void>
}

/** Listens, whatever the stores do; throws what node:net throws, and EmbeddedInUse. */
export async function startGate(options: GateOptions): Promise<RunningGate> {
  await using stack = new AsyncDisposableStack()
  const telemetry = openTelemetry({
    version: options.version,
    table: options.table,
    level: options.settings.LOG_LEVEL,
    accessLog: options.settings.ACCESS_LOG,
    routeLimit: options.settings.METRICS_ROUTES
  })
  const { log } = telemetry
  stack.defer(() => log.flush())
  const readiness = createReadiness()
  const parts = stack.use(await openParts(options))
  const stores = openStores(stack, { ...options, ...telemetry, parts })
  const servers = await openServers(stack, { ...options, ...telemetry, ...stores, parts, readiness })
  const { revocation, database, lastUsed, store, redis } = stores
  let schema: SchemaWord = 'starting'
  watchParts(readiness, {
    schema: () => schema,
    replica: () => revocation.state(),
    isNonceStoreUp: redis && (() => redis.servers.isUp())
  })
  readiness.markStarted()

  const starting = new AbortController()
  async function start(): Promise<void> {
    await prepareSchema(database, {
      isMigrating: options.settings.MIGRATIONS === 'auto',
      leaseMs: options.settings.LEASE_MS,
      log,
      signal: starting.signal,
      onState: state => (schema = state)
    })
    if (parts.isDatabaseOwn) await database.query('api', FORGET_DEAD, [])
    lastUsed.start()
    await revocation.start()
  }

  const closing = stack.move()
  let stopping: Promise<void> | undefined
  const drain = () => {
    readiness.beginDraining()
    servers.connections.drain()
  }
  const { port, adminPort } = servers
  return {
    port,
    adminPort,
    parts,
    log,
    store,
    clock: revocation.clock,
    ready: start(),
    drain,
    stop() {
      stopping ??= (async () => {
        drain()
        starting.abort()
        await pause(options.settings.DRAIN_DELAY_MS)
        servers.proxy.stopAccepting()
        await servers.connections.settle(options.settings.SHUTDOWN_GRACE_MS)
        await closing.disposeAsync()
      })()
      return stopping
    }
  }
}

/** Holding the lock on the folder proves that whoever else is in the list has ended. */
const FORGET_DEAD = { name: 'tg-forget-dead', text: 'DELETE FROM tg_replica' }

function pause(ms: number): Promise<void> {
  return ms === 0 ? Promise.resolve() : new Promise(resolve => setTimeout(resolve, ms))
}

interface Stores {
  readonly database: Database
  readonly store: TokenStore
  readonly lastUsed: LastUsed
  readonly redis: RedisClient | undefined
  readonly nonces: NonceStore
  readonly revocation: Revocation
  readonly barrier: Barrier
  readonly users: UserVerifier
  readonly connections: ReturnType<typeof createConnections>
}

function openStores(
  stack: AsyncDisposableStack,
  { settings, parts, log, observer }: GateOptions & Telemetry & { readonly parts: Parts }
): Stores {
  const { connection, isDatabaseOwn } = parts
  const database = stack.use(openDatabase({ connection, isEmbedded: isDatabaseOwn, observer }))
  const redis =
    settings.REDIS_URL === undefined
      ? undefined
      : createRedis({ url: settings.REDIS_URL, mode: settings.REDIS_MODE, log, observer })
  if (redis) stack.defer(() => redis.close())
  const nudge: Nudge = redis ? createNudge({ redis, log }) : createEmbeddedNudge({ log })
  const store = createTokenStore(database)
  const connections = createConnections({ maxInFlight: settings.MAX_IN_FLIGHT, observer })
  stack.defer(() => connections.stop())
  const revocation = createRevocation({
    epochs: createEpochStore(database),
    store,
    nudge,
    streams: connections,
    clocks: systemClocks(),
    schedule: systemSchedule,
    observer,
    log,
    random: Math.random,
    randomUuid: randomUUID,
    randomBytes,
    cacheMaxTokens: settings.CACHE_MAX_TOKENS
  })
  stack.defer(() => revocation.stop())
  const lastUsed = createLastUsed({ database, observer, log })
  stack.defer(() => lastUsed.stop())
  const { clock, barrier } = revocation
  const recoveryMs = settings.NONCE_RECOVERY_MS
  const history = createNonceHistory(database)
  const nonces = redis
    ? createNonceStore({ servers: redis.servers, clock, history, recoveryMs, observer, log })
    : createEmbeddedNonces({ clock, isNew: parts.isDatabaseNew, recoveryMs })
  const users = createUserVerifier({
    keys:
      settings.JWT_JWKS_URL === undefined
        ? { secret: parts.jwtSecret }
        : { jwksUrl: settings.JWT_JWKS_URL },
    clock,
    observer,
    log,
    issuer: settings.JWT_ISSUER,
    audience: settings.JWT_AUDIENCE,
    userClaim: settings.JWT_USER_CLAIM,
    orgClaim: settings.JWT_ORG_CLAIM
  })
  return { database, store, lastUsed, redis, nonces, revocation, barrier, users, connections }
}

async function openServers(
  stack: AsyncDisposableStack,
  options: GateOptions & Telemetry & Stores & { readonly parts: Parts; readonly readiness: Readiness }
) {
  const { settings, table, parts, readiness, log, observer, revocation, connections } = options
  const routes = () => table
  const isDraining = () => readiness.isDraining()
  const upstreams = openUpstreams({
    defaultUrl: parts.upstreamUrl,
    entries: table.upstreams.values(),
    keepAliveMs: settings.UPSTREAM_KEEPALIVE_MS,
    connectTimeoutMs: settings.UPSTREAM_CONNECT_TIMEOUT_MS,
    observer
  })
  stack.defer(() => upstreams.close())
  const admin = stack.use(
    createAdminServer({
      host: settings.ADMIN_HOST,
      port: settings.ADMIN_PORT,
      readiness,
      metrics: observer,
      replica: () => {
        const { id, leaseAgeMs, appliedSeq } = revocation.state()
        return { id, leaseAgeMs: leaseAgeMs ?? null, appliedSeq, routesHash: table.hash }
      },
      coverage: () => ({ hash: table.hash }),
      appProbes: settings.APP_PROBES,
      log
    })
  )
  const gate = createGate({
    routes,
    tokens: revocation.tokens,
    users: options.users,
    uses: options.lastUsed,
    nonces: options.nonces,
    clock: revocation.clock,
    observer,
    signing: {
      windowMs: settings.SIGNATURE_WINDOW_MS,
      bodyLimitBytes: settings.SIGNED_BODY_LIMIT_BYTES,
      query: settings.SIGNATURE_QUERY,
      body: settings.SIGNATURE_BODY
    }
  })
  const { store, barrier } = options
  const own = createTokenApi({ store, barrier, clock: revocation.clock, routes, randomBytes, log })
  const proxy = stack.use(
    await createProxyServer({
      host: settings.HOST,
      port: settings.PORT,
      gate,
      own,
      routes,
      upstreams,
      connections,
      trustedProxies: settings.TRUSTED_PROXIES,
      observer,
      log,
      access: line => log.access(line),
      isDraining
    })
  )
  return { connections, proxy, adminPort: await admin.listen(), port: await proxy.listen() }
}
