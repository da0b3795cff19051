/**
 * A path that no rule covers, as the key of a rule that would: what looks like an id becomes a
 * parameter, so that requests for many things count as one path, and no id and no secret is kept.
 */
import { isOfType, type SegmentType } from '../core/route-pattern.ts'
import type { RouteTable } from '../core/rule.ts'
import { literalsOf } from './shape.ts'

/** Words as people name paths with: lower case, camelCase, or joined; and versions. */
const WORD = /^(?:\.?[a-z]{1,24}(?:[-_.][a-z]{2,24}|[A-Z][a-z]{2,24}){0,4}|v[0-9]{1,3})$/
const TYPES: readonly SegmentType[] = ['int', 'uuid', 'hex24']
const MOST_SEGMENTS = 8

/** `/api/reports/{id1:int}`; a path of more than eight segments ends with a rest. */
export function templateOf(segments: readonly string[], table: RouteTable): string {
  const known = literalsOf(table)
  let params = 0
  const shown = segments.slice(0, MOST_SEGMENTS).map(text => {
    if (known.has(text) || WORD.test(text)) return text
    const type = TYPES.find(one => isOfType(one, text))
    params += 1
    return `{id${params}${type ? `:${type}` : ''}}`
  })
  if (segments.length > MOST_SEGMENTS) shown.push('{rest...}')
  return `/${shown.join('/')}`
}

const SAMPLES = {
  int: '0',
  uuid: '00000000-0000-4000-8000-000000000000',
  hex24: '000000000000000000000000'
} as const satisfies Partial<Record<SegmentType, string>>

/** A path that the template stands for. */
export function samplePath(template: string): string {
  return template.replaceAll(/\{\w+(?::(int|uuid|hex24))?(?:\.\.\.)?\}/g, (_, type?: string) =>
    type === 'int' || type === 'uuid' || type === 'hex24' ? SAMPLES[type] : '~'
  )
}
