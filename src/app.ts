/**
 * The composition root: settings in, a running gate out. Everything that is opened goes on one stack,
 * and what was opened last closes first, also when the start fails half-way: so the proxy stops before
 * the stores it asks, and the admin port, which tells of all of them, goes last.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { watchParts } from './admin/parts.ts'
import { createReadiness, type Readiness } from './admin/readiness.ts'
import { createAdminServer } from './admin/server.ts'
import type { Settings } from './config/schema.ts'
import { createGate } from './core/gate.ts'
import type { Clock, TokenStore } from './core/ports.ts'
import type { OwnRoute } from './core/rule.ts'
import { openParts, type Parts } from './embedded/parts.ts'
import { type LiveRoutes, openLiveRoutes } from './live-routes.ts'
import { openOwnRoutes } from './own.ts'
import { type Connections, createConnections } from './proxy/connections.ts'
import { watchExposure } from './proxy/exposure.ts'
import { startLoad } from './proxy/load.ts'
import { createProxyServer, type ProxyServer } from './proxy/server.ts'
import type { LoadedRoutes } from './routes/compile.ts'
import { forgetReplicas } from './store/epochs.ts'
import { prepareSchema, type SchemaWord } from './store/prepare.ts'
import { openStores, type Stores } from './stores.ts'
import { createEnded } from './telemetry/ended.ts'
import type { GateLog } from './telemetry/log.ts'
import { openTelemetry, type Telemetry } from './telemetry/open.ts'
import { openTraces, type Traces } from './telemetry/traces.ts'

export interface GateOptions {
  readonly settings: Settings
  /** As read from `settings.ROUTES_FILE`, which is followed from then on. */
  readonly routes: LoadedRoutes
  /** The gate's own paths. */
  readonly ownRoutes: readonly OwnRoute[]
  /** Of the product. */
  readonly version: string
  /** Of the embedded parts. */
  readonly folder: string
}

export interface RunningGate {
  readonly port: number
  readonly adminPort: number
  readonly parts: Parts
  readonly log: GateLog
  readonly store: TokenStore
  readonly clock: Clock
  /** Resolves with the first lease, or when it is stopped. Rejects where the schema is refused. */
  readonly ready: Promise<void>
  /** Reads the route file at once, whether or not it has changed. */
  reloadRoutes(): void
  /** Not ready any more, and connections close as they are answered; all else goes on. */
  drain(): void
  /** Drains, lets running requests finish within the grace, and closes everything. */
  stop(): Promise<void>
}

interface Opening extends GateOptions, Telemetry {
  readonly parts: Parts
  readonly readiness: Readiness
  readonly connections: Connections
  readonly live: LiveRoutes
  readonly traces: Traces | undefined
}

/** Listens, whatever the stores do; throws what node:net throws, and EmbeddedInUse. */
export async function startGate(options: GateOptions): Promise<RunningGate> {
  await using stack = new AsyncDisposableStack()
  const { settings, version } = options
  const { log, observer } = openTelemetry({
    version,
    table: options.routes.table,
    level: settings.LOG_LEVEL,
    accessLog: settings.ACCESS_LOG,
    routeLimit: settings.METRICS_ROUTES
  })
  stack.defer(() => log.flush())
  const traces = stack.use(await openTraces({ ...options, log }))
  const told = { log, observer, traces }
  const readiness = createReadiness()
  const parts = stack.use(await openParts(options))
  const connections = createConnections({ maxInFlight: settings.MAX_IN_FLIGHT, observer })
  stack.defer(() => connections.stop())
  const { upstreamUrl } = parts
  const live = openLiveRoutes(stack, { ...options, upstreamUrl, log, observer })
  const opening: Opening = { ...options, ...told, parts, readiness, connections, live }
  const admin = openAdmin(stack, opening, () => stores)
  const stores = openStores(stack, { ...opening, streams: connections })
  const proxy = await openProxy(stack, opening, stores)
  let schema: SchemaWord = 'starting'
  watchParts(readiness, {
    schema: () => schema,
    replica: () => stores.revocation.state(),
    isNonceStoreUp: stores.isNonceStoreUp
  })
  watchUpstream(stack, opening)
  const adminPort = await admin.listen()
  const port = await proxy.listen()
  readiness.markStarted()

  const starting = new AbortController()
  const ready = start(opening, stores, starting.signal, word => (schema = word))
  const closing = stack.move()
  let stopping: Promise<void> | undefined
  const drain = () => {
    readiness.beginDraining()
    observer.gauge('draining', 1)
  }
  return {
    port,
    adminPort,
    parts,
    log,
    store: stores.store,
    clock: stores.revocation.clock,
    ready,
    reloadRoutes: () => live.reload(),
    drain,
    stop() {
      drain()
      starting.abort()
      stopping ??= finish(settings, { proxy, connections, closing })
      return stopping
    }
  }
}

/** How soon an exposed application is seen after its start, and how late after a change. */
const EXPOSURE_LOOKS = { retryMs: 1000, intervalMs: 30_000 }

function watchUpstream(
  stack: AsyncDisposableStack,
  { settings, parts, readiness, observer, log }: Opening
): void {
  const { POD_IP: podIp, UPSTREAM_EXPOSURE: word } = settings
  if (word === 'off') return
  const { upstreamUrl } = parts
  const exposure = watchExposure({ upstreamUrl, podIp, observer, log, ...EXPOSURE_LOOKS })
  if (!exposure) return
  stack.defer(() => exposure.stop())
  const whenExposed = word === 'refuse' ? 'exposed' : 'degraded'
  readiness.watch('exposure', () => (exposure.isExposed() ? whenExposed : 'ok'))
}

/** The schema, then this replica's row, then the lease: before that, no token is known. */
async function start(
  { settings, parts, log }: Opening,
  { database, lastUsed, audit, revocation }: Stores,
  signal: AbortSignal,
  onState: (state: SchemaWord) => void
): Promise<void> {
  const isMigrating = settings.MIGRATIONS === 'auto'
  const leaseMs = settings.LEASE_MS
  await prepareSchema(database, { isMigrating, leaseMs, log, signal, onState })
  if (signal.aborted) return
  // Holding the lock on the folder proves that whoever else is in the list has ended.
  if (parts.isDatabaseOwn) await forgetReplicas(database)
  lastUsed.start()
  audit.start()
  await revocation.start()
}

interface Finishing {
  readonly proxy: ProxyServer
  readonly connections: Connections
  readonly closing: AsyncDisposableStack
}

async function finish(
  { DRAIN_DELAY_MS, SHUTDOWN_GRACE_MS }: Settings,
  { proxy, connections, closing }: Finishing
): Promise<void> {
  if (DRAIN_DELAY_MS > 0) await sleep(DRAIN_DELAY_MS)
  connections.drain()
  proxy.stopAccepting()
  await connections.settle(SHUTDOWN_GRACE_MS)
  await closing.disposeAsync()
}

function openAdmin(stack: AsyncDisposableStack, opening: Opening, stores: () => Stores) {
  const { settings, live, readiness, observer, log } = opening
  const replica = () => {
    const { id, leaseAgeMs, appliedSeq } = stores().revocation.state()
    return { id, leaseAgeMs: leaseAgeMs ?? null, appliedSeq, routesHash: live.current().hash }
  }
  return stack.use(
    createAdminServer({
      host: settings.ADMIN_HOST,
      port: settings.ADMIN_PORT,
      readiness,
      metrics: observer,
      replica,
      coverage: () => live.usage.report(live.current()),
      appProbes: settings.APP_PROBES,
      log
    })
  )
}

async function openProxy(
  stack: AsyncDisposableStack,
  { settings, live, version, parts, readiness, connections, observer, log, traces }: Opening,
  stores: Stores
): Promise<ProxyServer> {
  const { current: routes, upstreams, usage } = live
  const { store, users, nonces, lastUsed, audit, revocation } = stores
  const { tokens, clock, barrier } = revocation
  observer.onRender(() => {
    const { idle, busy } = upstreams.connections()
    observer.gauge('upstream_connections', idle, { state: 'idle' })
    observer.gauge('upstream_connections', busy, { state: 'busy' })
  })
  const load = startLoad({ observer, log })
  stack.defer(() => load.stop())
  const signing = {
    windowMs: settings.SIGNATURE_WINDOW_MS,
    bodyLimitBytes: settings.SIGNED_BODY_LIMIT_BYTES,
    query: settings.SIGNATURE_QUERY,
    body: settings.SIGNATURE_BODY
  }
  const proxy = await createProxyServer({
    host: settings.HOST,
    port: settings.PORT,
    gate: createGate({
      routes,
      tokens,
      users,
      uses: lastUsed,
      load,
      nonces,
      clock,
      observer,
      signing
    }),
    own: await openOwnRoutes({ settings, parts, store, barrier, clock, routes, version, log }),
    routes,
    upstreams,
    connections,
    usage,
    trustedProxies: settings.TRUSTED_PROXIES,
    observer,
    log,
    traces,
    access: createEnded({ log, onBurst: burst => audit.add(burst) }),
    isDraining: () => readiness.isDraining()
  })
  return stack.use(proxy)
}
