/** The paths that the gate answers itself. They are matched like rules, out of the file's reach. */
import type { Denial, OwnCall } from './decision.ts'
import type { BodyHolder } from './ports.ts'
import type { OwnRoute } from './rule.ts'

const TOKENS = '/api/auth/cli-tokens'

export const OWN_ROUTES: readonly OwnRoute[] = [
  { key: `GET ${TOKENS}`, name: 'tokens.list', need: 'jwt' },
  { key: `POST ${TOKENS}`, name: 'tokens.create', need: 'jwt' },
  { key: `DELETE ${TOKENS}/{id}`, name: 'tokens.revoke', need: 'jwt' },
  { key: `POST ${TOKENS}/{id}/rotate`, name: 'tokens.rotate', need: 'jwt' }
]

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
