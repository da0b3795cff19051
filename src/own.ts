/**
 * What the gate answers itself: the token API, and the page for people where it is on. The page's
 * code and texts are loaded only then.
 */
import { randomBytes } from 'node:crypto'
import type { Settings } from './config/schema.ts'
import type { OwnRoutes } from './core/own-routes.ts'
import type { RouteTable } from './core/rule.ts'
import { createDemoUser } from './embedded/demo.ts'
import type { Parts } from './embedded/parts.ts'
import type { Stores } from './stores.ts'
import type { GateLog } from './telemetry/log.ts'
import { createTokenApi } from './tokens/api.ts'

export interface OwnOptions {
  readonly settings: Settings
  readonly parts: Parts
  readonly stores: Stores
  readonly routes: () => RouteTable
  readonly version: string
  readonly log: GateLog
}

export async function openOwnRoutes(options: OwnOptions): Promise<OwnRoutes> {
  const { settings, stores, routes, version, log } = options
  const { barrier, clock } = stores.revocation
  const api = createTokenApi({ store: stores.store, barrier, clock, routes, randomBytes, log })
  if (settings.DASHBOARD === 'off') return api
  const { createDashboard } = await import('./dashboard/dashboard.ts')
  const page = createDashboard({
    version,
    loginPath: settings.DASHBOARD_LOGIN_PATH,
    routes,
    signDemoJwt: demoSession(options)
  })
  return {
    handle: request => (request.name.startsWith('page.') ? page : api).handle(request)
  }
}

const LOOPBACK = /^(?:localhost|127\.\d+\.\d+\.\d+|::1)$/

/** Only with a secret of our own making, and where nobody from elsewhere can connect. */
function demoSession({ settings, parts, stores }: OwnOptions): (() => Promise<string>) | undefined {
  if (!parts.hasDemoUser || !LOOPBACK.test(settings.HOST)) return undefined
  const user = createDemoUser({
    secret: parts.jwtSecret,
    clock: stores.revocation.clock,
    issuer: settings.JWT_ISSUER,
    audience: settings.JWT_AUDIENCE,
    userClaim: settings.JWT_USER_CLAIM
  })
  return () => user.signJwt()
}
