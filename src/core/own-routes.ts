/** The paths that the gate answers itself. They are matched like rules, out of the file's reach. */
import type { OwnRoute } from './rule.ts'

const TOKENS = '/api/auth/cli-tokens'

export const OWN_ROUTES: readonly OwnRoute[] = [
  { key: `GET ${TOKENS}`, name: 'tokens.list', need: 'jwt' },
  { key: `POST ${TOKENS}`, name: 'tokens.create', need: 'jwt' },
  { key: `DELETE ${TOKENS}/{id}`, name: 'tokens.revoke', need: 'jwt' },
  { key: `POST ${TOKENS}/{id}/rotate`, name: 'tokens.rotate', need: 'jwt' }
]
