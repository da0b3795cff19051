/**
 * What the gate answers itself: the token API, and the page for people where it is on. The page's
 * code and texts are loaded only then.
 */
import { randomBytes } from 'node:crypto'
import type { Settings } from './config/schema.ts'
import type { OwnRoutes } from './core/own-routes.ts'
import type { Barrier, Clock, Log, TokenStore } from './core/ports.ts'
import type { RouteTable } from './core/rule.ts'
import { createDemoUser } from './embedded/demo.ts'
import type { Parts } from './embedded/parts.ts'
import { createTokenApi } from './tokens/api.ts'

export interface OwnOptions {
  readonly settings: Pick<
    Settings,
    'HOST' | 'DASHBOARD' | 'DASHBOARD_LOGIN_PATH' | 'JWT_ISSUER' | 'JWT_AUDIENCE' | 'JWT_USER_CLAIM'
  >
  readonly parts: Pick<Parts, 'hasDemoUser' | 'jwtSecret'>
  readonly store: TokenStore
  readonly barrier: Barrier
  readonly clock: Clock
  readonly routes: () => RouteTable
  /** Of the product. */
  readonly version: string
  readonly log: Log
}

export async function openOwnRoutes(options: OwnOptions): Promise<OwnRoutes> {
  const { settings, routes, version } = options
  const api = createTokenApi({ ...options, randomBytes })
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
function demoSession({ settings, parts, clock }: OwnOptions): (() => Promise<string>) | undefined {
  if (!parts.hasDemoUser || !LOOPBACK.test(settings.HOST)) return undefined
  const user = createDemoUser({
    secret: parts.jwtSecret,
    clock,
    issuer: settings.JWT_ISSUER,
    audience: settings.JWT_AUDIENCE,
    userClaim: settings.JWT_USER_CLAIM
  })
  return () => user.signJwt()
}
