/** What the log tells of a path that has no rule: enough to see what is missing, nothing to steal. */
import type { RouteTable } from '../core/rule.ts'

const known = new WeakMap<RouteTable, ReadonlySet<string>>()
const MOST_SEGMENTS = 8

/** Every segment that is no literal of the route file as `{}`: `/api/{}/cancel`. */
export function shapeOf(segments: readonly string[], table: RouteTable): string {
  const literals = literalsOf(table)
  const shown = segments.slice(0, MOST_SEGMENTS).map(text => (literals.has(text) ? text : '{}'))
  return `/${shown.join('/')}${segments.length > MOST_SEGMENTS ? '/…' : ''}`
}

/** The literal segments of all rules. */
export function literalsOf(table: RouteTable): ReadonlySet<string> {
  const found = known.get(table) ?? collect(table)
  known.set(table, found)
  return found
}

function collect({ rules }: RouteTable): ReadonlySet<string> {
  const literals = new Set<string>()
  for (const { path } of rules) {
    for (const text of path.slice(1).split('/')) if (!text.startsWith('{')) literals.add(text)
  }
  return literals
}
