/** The paths that the gate answers itself. They are matched like rules, out of the file's reach. */
import type { Denial, OwnCall } from './decision.ts'
import type { BodyHolder } from './ports.ts'
import type { OwnRoute } from './rule.ts'

const TOKENS = '/api/auth/cli-tokens'

const TOKEN_ROUTES: readonly OwnRoute[] = [
  { key: `GET ${TOKENS}`, name: 'tokens.list', need: 'jwt' },
  { key: `POST ${TOKENS}`, name: 'tokens.create', need: 'jwt' },
  { key: `DELETE ${TOKENS}/{id}`, name: 'tokens.revoke', need: 'jwt' },
  { key: `POST ${TOKENS}/{id}/rotate`, name: 'tokens.rotate', need: 'jwt' }
]

/** The page where people manage their tokens. */
export const PAGE_PATH = '/settings/api-tokens'

/** What the page loads from below its own path, by file name. */
export const PAGE_ASSETS = [
  'page.js',
  'allowed-rules.js',
  'changes.js',
  'create.js',
  'dom.js',
  'form-errors.js',
  'gate.js',
  'link.js',
  'list.js',
  'preview.js',
  'repositories.js',
  'repository-list.js',
  'row.js',
  'secret.js',
  'sign-in.js',
  'time.js',
  'views.js',
  'page.css'
] as const

const PAGE_ROUTES: readonly OwnRoute[] = [
  { key: `GET ${PAGE_PATH}`, name: 'page.document', need: 'public' },
  ...PAGE_ASSETS.map((file): OwnRoute => ({
    key: `GET ${PAGE_PATH}/${file}`,
    name: 'page.asset',
    need: 'public'
  })),
  { key: `GET ${PAGE_PATH}/catalogue`, name: 'page.catalogue', need: 'jwt' },
  { key: `POST ${PAGE_PATH}/demo-session`, name: 'page.demo-session', need: 'public' }
]

/** All there are: the page is on unless it is switched off. */
export const OWN_ROUTES: readonly OwnRoute[] = [...TOKEN_ROUTES, ...PAGE_ROUTES]

/** Those that are served. Without the page its paths are ordinary ones. */
export function ownRoutesFor(dashboard: 'on' | 'off'): readonly OwnRoute[] {
  return dashboard === 'on' ? OWN_ROUTES : TOKEN_ROUTES
}

/** What an own route needs to know of the connection. */
export interface OwnRequest extends OwnCall {
  readonly requestId: string
  readonly ip: string
  readonly body: BodyHolder
}

export interface OwnAnswer {
  readonly status: number
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | Uint8Array
  /** For log and metrics; `OK` on success. */
  readonly code: string
}

export interface OwnRoutes {
  /** Throws Faults of what it asks. */
  handle(request: OwnRequest): Promise<OwnAnswer | Denial>
}
