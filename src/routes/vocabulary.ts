/**
 * What rules refer to: the scopes and the upstreams of the file.
 */
import type { Static } from 'typebox'
import { Value } from 'typebox/value'
import type { ScopeEntry, UpstreamEntry } from '../core/rule.ts'
import { type Report, suggestion } from './findings.ts'
import { type Entry, type Node, valueOf } from './parse.ts'
import { ScopeName, ScopeObject, UpstreamName, UpstreamObject } from './schema.ts'
import { descriptionOf, hasShape, readShape } from './shape.ts'

export type ScopeMap = ReadonlyMap<string, ScopeEntry>
export type UpstreamMap = ReadonlyMap<string, UpstreamEntry>

const MAX_SCOPES = 1000

/** Every declared name is in the map, also where its entry is wrong: its users are right. */
export function readScopes(entries: readonly Entry[], report: Report): ScopeMap {
  const scopes = new Map<string, ScopeEntry>()
  const beyond = entries[MAX_SCOPES]
  if (beyond) report('bad-value', beyond.place, `a file has at most ${MAX_SCOPES} scopes`)
  for (const { key, place, value } of entries) {
    if (!hasShape(ScopeName, key)) {
      report('bad-key', place, `"${key}" is no scope name; it must be ${descriptionOf(ScopeName)}`)
    }
    const read = readShape(ScopeObject, value, report) ?? { title: key }
    scopes.set(key, toScope(key, read))
  }
  for (const entry of entries) denyUnknownImplied(entry, scopes, report)
  denyCircles(entries, scopes, report)
  return scopes
}

function toScope(name: string, read: Static<typeof ScopeObject>): ScopeEntry {
  const { title, about = '', risk = 'low', default: isDefault = false, implies = [] } = read
  return { name, title, about, risk, isDefault, implies }
}

function denyUnknownImplied(entry: Entry, scopes: ScopeMap, report: Report): void {
  const list = entry.value.kind === 'map' ? valueOf(entry.value, 'implies') : undefined
  for (const item of list?.kind === 'list' ? list.items : []) denyUnknownScope(item, scopes, report)
}

/** A node that is no scope name at all is left to the check of its shape. */
export function denyUnknownScope(node: Node, scopes: ScopeMap, report: Report): void {
  if (node.kind !== 'scalar' || !Value.Check(ScopeName, node.value)) return
  if (scopes.has(node.value)) return
  const hint = suggestion(node.value, scopes.keys())
  report('unknown-scope', node.place, `"${node.value}" is not declared.${hint}`)
}

export function denyUnknownUpstream(node: Node, upstreams: UpstreamMap, report: Report): void {
  if (node.kind !== 'scalar' || typeof node.value !== 'string') return
  const known = ['default', ...upstreams.keys()]
  if (known.includes(node.value)) return
  const hint = suggestion(node.value, known)
  report('unknown-upstream', node.place, `"${node.value}" is not declared.${hint}`)
}

/** Each circle once, at the first of its scopes. */
function denyCircles(entries: readonly Entry[], scopes: ScopeMap, report: Report): void {
  const done = new Set<string>()
  for (const { key, place } of entries) {
    const circle = circleFrom(key, [], scopes, done)
    if (circle) report('implies-circle', place, circle.join(' implies '))
  }
}

/** The names of a circle that can be reached, its first one again at the end. */
function circleFrom(
  name: string,
  path: readonly string[],
  scopes: ScopeMap,
  done: Set<string>
): readonly string[] | undefined {
  const start = path.indexOf(name)
  if (start >= 0) return [...path.slice(start), name]
  if (done.has(name)) return undefined
  done.add(name)
  for (const next of scopes.get(name)?.implies ?? []) {
    const circle = circleFrom(next, [...path, name], scopes, done)
    if (circle) return circle
  }
  return undefined
}

/** `default` is not among them: it is the one upstream that every installation has. */
export function readUpstreams(entries: readonly Entry[], report: Report): UpstreamMap {
  const upstreams = new Map<string, UpstreamEntry>()
  for (const { key, place, value } of entries) {
    if (key === 'default')
      report('bad-key', place, '"default" is UPSTREAM_URL; it is not declared here')
    else if (!hasShape(UpstreamName, key)) {
      report(
        'bad-key',
        place,
        `"${key}" is no upstream name; it must be ${descriptionOf(UpstreamName)}`
      )
    }
    denyIdleTlsKeys(value, report)
    const read = readShape(UpstreamObject, value, report) ?? { url: 'http://unknown' }
    const { timeoutMs, caFile, serverName } = read
    const url = originOf(read.url)
    if (url === undefined) report('bad-value', place, `"${read.url}" is no address`)
    upstreams.set(key, { name: key, url: url ?? '', timeoutMs, caFile, serverName })
  }
  return upstreams
}

/** Without a last slash and a default port; a socket's path as it is. */
function originOf(url: string): string | undefined {
  return url.startsWith('unix:') ? url : URL.parse(url)?.origin
}

function denyIdleTlsKeys(node: Node, report: Report): void {
  const url = node.kind === 'map' ? valueOf(node, 'url') : undefined
  if (node.kind !== 'map' || url?.kind !== 'scalar' || String(url.value).startsWith('https:'))
    return
  for (const { key, place } of node.entries) {
    if (key !== 'caFile' && key !== 'serverName') continue
    report('no-effect', place, `"${key}" has no effect: the url is not https`)
  }
}
