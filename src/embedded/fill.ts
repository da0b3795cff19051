/**
 * What steps in for a gap in the settings: in production nothing but an error for each, because data
 * would end with the machine; else an embedded part, and a line of the banner that names it.
 */
import type { Gap, Gaps } from '../config/gaps.ts'

const NAMES = {
  DATABASE_URL: 'DATABASE_URL',
  REDIS_URL: 'REDIS_URL',
  UPSTREAM_URL: 'UPSTREAM_URL',
  JWT_SECRET: 'JWT_SECRET or JWT_JWKS_URL'
} as const satisfies Record<Gap, string>

/** One sentence for each gap that may not be filled; none: each may. */
export function findGapProblems({ missing, mayBeFilled }: Gaps): readonly string[] {
  if (mayBeFilled) return []
  return missing.map(
    gap => `${NAMES[gap]} must be set in production, unless TOLLGATE_ALLOW_EMBEDDED=true`
  )
}

/** Where the embedded parts ended up. A part that did not step in is not looked at. */
export interface PartPlaces {
  /** The folder they are kept in, as shown: `.tollgate`. */
  readonly folder: string
  /** False: in memory, because the folder cannot be written. */
  readonly isDatabaseKept: boolean
  readonly isSecretKept: boolean
  readonly upstreamUrl: string
}

/** Of the longest title, so that the banner's other lines can be in the same columns. */
const TITLE_WIDTH = 'Nonce store'.length

/** One line a part, in columns: the part, what stands in for it, the variable that replaces it. */
export function partLines(missing: readonly Gap[], places: PartPlaces): readonly string[] {
  const { folder, isDatabaseKept, isSecretKept, upstreamUrl } = places
  const parts = {
    DATABASE_URL: ['Database', `embedded Postgres ${keptIn(folder, isDatabaseKept)}`],
    REDIS_URL: ['Nonce store', 'in this process'],
    UPSTREAM_URL: ['Upstream', `demo service on ${upstreamUrl}`],
    JWT_SECRET: ['User JWTs', `generated secret ${keptIn(folder, isSecretKept)}`]
  } as const satisfies Record<Gap, readonly [string, string]>
  const rows = missing.map(gap => [...parts[gap], `replaced by ${NAMES[gap]}`] as const)
  const whatWidth = Math.max(...rows.map(([, what]) => what.length))
  return rows.map(([title, what, by]) =>
    [title.padEnd(TITLE_WIDTH), what.padEnd(whatWidth), by].join('   ')
  )
}

function keptIn(folder: string, isKept: boolean): string {
  return isKept ? `in ${folder}/` : 'in memory alone'
}
