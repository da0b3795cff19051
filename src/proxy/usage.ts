/**
 * What the route file is used for, since the gate began: requests by rule, requests that no rule
 * covers, scopes that tokens needed. Counted by the hook that decides; every list is bounded.
 */
import { type Coverage, neededScopes } from '../core/coverage.ts'
import type { TokenRow } from '../core/principal.ts'
import { METHODS } from '../core/route-pattern.ts'
import type { Rule, RouteTable } from '../core/rule.ts'
import { readTarget, type Target } from '../core/target.ts'
import { samplePath, templateOf } from './template.ts'

export interface Usage {
  /** A request that this rule decided, whatever came of it. */
  ruled(rule: Rule): void
  /** A request that no rule of the table covers. */
  unmatched(method: string, target: Target, table: RouteTable): void
  /** A token that the rule let through. */
  permitted(token: TokenRow, rule: Rule, table: RouteTable): void
  /** Another table is in force: what its rules cover is no longer without a rule. */
  adopt(table: RouteTable): void
  report(table: RouteTable): Coverage
}

const MOST_PATHS = 500
const MOST_TOKENS = 1000

interface Unmatched {
  readonly method: string
  readonly path: string
  requests: number
}

interface Holder {
  row: TokenRow
  readonly needed: Set<string>
  /** Keys of rules that were looked at already. */
  readonly rules: Set<string>
}

export function createUsage({ nowMs }: { readonly nowMs: () => number }): Usage {
  const since = new Date(nowMs()).toISOString()
  const used = new Map<string, number>()
  const paths = new Map<string, Unmatched>()
  const holders = new Map<string, Holder>()
  let pathsBeyond = 0
  let tokensBeyond = 0

  return {
    ruled({ key }) {
      used.set(key, (used.get(key) ?? 0) + 1)
    },
    unmatched(method, { segments }, table) {
      // What serves GET serves HEAD; a method that no rule can name cannot be covered.
      const named = method === 'HEAD' ? 'GET' : method
      if (!METHODS.some(known => known === named)) return
      const path = templateOf(segments, table)
      const key = `${named} ${path}`
      const known = paths.get(key)
      if (known) known.requests += 1
      else if (hasRoom()) paths.set(key, { method: named, path, requests: 1 })
      else pathsBeyond += 1
    },
    permitted(token, rule, table) {
      const holder = holders.get(token.id) ?? addHolder(token)
      if (!holder) {
        tokensBeyond += 1
        return
      }
      if (holder.row !== token) {
        holder.row = token
        holder.rules.clear()
      }
      if (holder.rules.has(rule.key)) return
      holder.rules.add(rule.key)
      for (const scope of neededScopes(rule.need, token.scopes, table)) holder.needed.add(scope)
    },
    adopt(table) {
      const keys = new Set(table.rules.map(({ key }) => key))
      for (const key of used.keys()) if (!keys.has(key)) used.delete(key)
      for (const [key, { method, path }] of paths) {
        if (isCovered(method, path, table)) paths.delete(key)
      }
      // The same key may ask for other scopes now.
      for (const { rules } of holders.values()) rules.clear()
    },
    report(table) {
      return {
        routesHash: table.hash,
        since,
        rules: table.rules.map(({ key }) => ({ key, requests: used.get(key) ?? 0 })),
        unmatched: [...paths.values()].toSorted((a, b) => b.requests - a.requests),
        unmatchedBeyond: pathsBeyond,
        tokens: Array.from(holders, ([id, { row, needed }]) => ({
          id,
          granted: row.scopes,
          needed: row.scopes.filter(scope => needed.has(scope))
        })),
        tokensBeyond
      }
    }
  }

  /** A path that was asked for once makes room: whoever guesses must not hide what is in use. */
  function hasRoom(): boolean {
    if (paths.size < MOST_PATHS) return true
    for (const [key, { requests }] of paths) {
      if (requests > 1) continue
      paths.delete(key)
      pathsBeyond += 1
      return true
    }
    return false
  }

  function addHolder(row: TokenRow): Holder | undefined {
    if (holders.size >= MOST_TOKENS) return undefined
    const holder = { row, needed: new Set<string>(), rules: new Set<string>() }
    holders.set(row.id, holder)
    return holder
  }
}

function isCovered(method: string, path: string, table: RouteTable): boolean {
  const target = readTarget(samplePath(path))
  return !('kind' in target) && table.match(method, target).kind !== 'none'
}
