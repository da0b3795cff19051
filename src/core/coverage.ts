/**
 * What a replica has seen of the route file in use: the answer of the admin port's `/coverage`,
 * which the command `coverage` reads. Counted since `since`, on one replica alone.
 */
import type { Need, RouteTable } from './rule.ts'

export interface Coverage {
  /** SHA-256 of the route file in force, 64 hex digits. */
  readonly routesHash: string
  /** When counting began, ISO 8601. */
  readonly since: string
  /** Every rule of the file in its order, also those without requests. */
  readonly rules: readonly RuleUse[]
  /** Requests that no rule covers, the most frequent first; a bounded list. */
  readonly unmatched: readonly UnmatchedPath[]
  /** Requests that no rule covers and that the list had no place for. */
  readonly unmatchedBeyond: number
  /** Tokens that were let through by some rule; a bounded list. */
  readonly tokens: readonly TokenUse[]
  /** Requests of tokens that the list had no place for. */
  readonly tokensBeyond: number
}

export interface RuleUse {
  readonly key: string
  readonly requests: number
}

export interface UnmatchedPath {
  readonly method: string
  /**
   * A path in the grammar of route keys, ids collapsed: `/api/reports/{id1:int}`. With the method
   * and a blank before it, it is a key that can be pasted.
   */
  readonly path: string
  readonly requests: number
}

export interface TokenUse {
  /** The token's UUID. */
  readonly id: string
  /** As granted. */
  readonly granted: readonly string[]
  /** Those of `granted` that some permitted request needed. */
  readonly needed: readonly string[]
}

/**
 * The granted scopes that a rule's need can be met by, also through what they imply. None where the
 * rule asks for no scope.
 */
export function neededScopes(
  need: Need,
  granted: readonly string[],
  table: Pick<RouteTable, 'effectiveScopes'>
): readonly string[] {
  if (need.kind !== 'all' && need.kind !== 'any') return []
  return granted.filter(scope =>
    table.effectiveScopes([scope]).some(held => need.scopes.includes(held))
  )
}
