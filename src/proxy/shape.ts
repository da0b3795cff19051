/** What the log tells of a path that has no rule: enough to see what is missing, nothing to steal. */
import { parseKey } from '../core/route-pattern.ts'
import type { RouteTable } from '../core/rule.ts'

const literalsOf = new WeakMap<RouteTable, ReadonlySet<string>>()
const MOST_SEGMENTS = 8

/** Every segment that is no literal of the route file as `{}`: `/api/{}/cancel`. */
export function shapeOf(segments: readonly string[], table: RouteTable): string {
  const known = literalsOf.get(table) ?? literals(table)
  literalsOf.set(table, known)
  const shown = segments.slice(0, MOST_SEGMENTS).map(text => (known.has(text) ? text : '{}'))
  return `/${shown.join('/')}${segments.length > MOST_SEGMENTS ? '/…' : ''}`
}

function literals({ rules }: RouteTable): ReadonlySet<string> {
  return new Set(
    rules.flatMap(({ key }) => {
      const parsed = parseKey(key)
      if ('problem' in parsed) return []
      return parsed.segments.flatMap(part => (part.kind === 'literal' ? [part.text] : []))
    })
  )
}
