/** What is not configured, and whether an embedded part may step in for it. */
import type { Settings } from './schema.ts'

/** The variable that is missing; JWT_SECRET stands for JWT_JWKS_URL too. */
export type Gap = 'DATABASE_URL' | 'REDIS_URL' | 'UPSTREAM_URL' | 'JWT_SECRET'

export interface Gaps {
  readonly missing: readonly Gap[]
  /** False in production, where each missing one is an error of its own. */
  readonly mayBeFilled: boolean
}

export function findGaps(settings: Settings): Gaps {
  const gaps = ['DATABASE_URL', 'REDIS_URL', 'UPSTREAM_URL', 'JWT_SECRET'] as const
  const missing = gaps.filter(name => settings[name] === undefined && !isReplaced(name, settings))
  const isProduction = settings.NODE_ENV === 'production'
  return { missing, mayBeFilled: !isProduction || settings.TOLLGATE_ALLOW_EMBEDDED }
}

function isReplaced(name: Gap, { JWT_JWKS_URL }: Settings): boolean {
  return name === 'JWT_SECRET' && JWT_JWKS_URL !== undefined
}
