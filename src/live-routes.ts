/**
 * The route table in force, and what follows it: where requests go, what is counted and told of it.
 * All of them change in one turn, so no request meets the half of a change; one that has begun goes
 * on with the table it began with.
 */
import { dirname } from 'node:path'
import type { Settings } from './config/schema.ts'
import type { OwnRoute, RouteTable } from './core/rule.ts'
import { openUpstreams, type Upstreams } from './proxy/upstreams.ts'
import { createUsage, type Usage } from './proxy/usage.ts'
import { systemSchedule } from './revocation/clocks.ts'
import { checkAside } from './routes/check-aside.ts'
import type { LoadedRoutes } from './routes/compile.ts'
import { createReload } from './routes/reload.ts'
import { look } from './routes/sources.ts'
import { watchDirectory } from './routes/watch.ts'
import { reportRoutes, type Telemetry } from './telemetry/open.ts'

export interface LiveRoutesOptions extends Telemetry {
  readonly settings: Settings
  /** As read from `settings.ROUTES_FILE`. */
  readonly routes: LoadedRoutes
  readonly ownRoutes: readonly OwnRoute[]
  /** Of the upstream named `default`. */
  readonly upstreamUrl: string
}

export interface LiveRoutes {
  readonly current: () => RouteTable
  readonly upstreams: Upstreams
  readonly usage: Usage
  /** Reads the file at once, whether or not it has changed. */
  reload(): void
}

/** The file is followed from now on. Throws CaFileUnreadable. */
export function openLiveRoutes(
  stack: AsyncDisposableStack,
  { settings, routes, ownRoutes, upstreamUrl, observer, log }: LiveRoutesOptions
): LiveRoutes {
  let { table } = routes
  const usage = createUsage({ nowMs: Date.now })
  const upstreams = openUpstreams({
    defaultUrl: upstreamUrl,
    keepAliveMs: settings.UPSTREAM_KEEPALIVE_MS,
    connectTimeoutMs: settings.UPSTREAM_CONNECT_TIMEOUT_MS
  })
  stack.defer(() => upstreams.close())
  upstreams.adopt(table)
  const path = settings.ROUTES_FILE
  const reload = createReload({
    path,
    loaded: routes,
    look,
    check: (before, signal) => checkAside(path, { ownRoutes }, before, signal),
    watch: onHint => watchDirectory(dirname(path), onHint),
    schedule: systemSchedule,
    adopt(next) {
      upstreams.adopt(next)
      usage.adopt(next)
      reportRoutes(observer, next)
      table = next
    },
    observer,
    log
  })
  stack.defer(() => reload.stop())
  return { current: () => table, upstreams, usage, reload: () => reload.now() }
}
