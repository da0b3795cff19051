/**
 * The file and its fragments as one document: settings, and every entry with its place. A name that
 * is defined twice is an error wherever the two stand, also when they are equal.
 */
import { type Static, type TObject, Type } from 'typebox'
import { Value } from 'typebox/value'
import type { Place } from '../core/rule.ts'
import { placeSeenFrom, type Report } from './findings.ts'
import { type Entry, type MapNode, type Node, plain, valueOf } from './parse.ts'
import { Fragment, RouteFile } from './schema.ts'
import { explainMap, isMap } from './shape.ts'
import type { Source } from './sources.ts'

const Settings = Type.Pick(RouteFile, ['mode', 'options', 'timeoutMs'])

export interface RouteDocument {
  readonly settings: Static<typeof Settings>
  /** Of the key `mode`, where the file has it. */
  readonly modePlace: Place | undefined
  readonly scopes: readonly Entry[]
  readonly upstreams: readonly Entry[]
  readonly routes: readonly Entry[]
  readonly tests: readonly Node[]
}

/** Members whose entries are read one by one. */
const ENTRIES = ['scopes', 'upstreams', 'routes', 'tests'] as const

export function readDocument(files: readonly Source[], report: Report): RouteDocument {
  const roots = files.flatMap(({ root }, i) => {
    const schema = i === 0 ? RouteFile : Fragment
    return root && isRoot(schema, root, report) ? [root] : []
  })
  const main = files[0]?.root
  const mode = main?.kind === 'map' ? main.entries.find(({ key }) => key === 'mode') : undefined
  return {
    settings: settingsOf(main),
    modePlace: mode?.place,
    scopes: mergeMaps(roots, 'scopes', report),
    upstreams: mergeMaps(roots, 'upstreams', report),
    routes: mergeMaps(roots, 'routes', report),
    tests: roots.flatMap(root => listOf(root, 'tests', report))
  }
}

function isRoot(schema: TObject, root: Node, report: Report): root is MapNode {
  explainMap(schema, root, report, ENTRIES)
  return root.kind === 'map'
}

/** Defaults where the file has none, or a wrong one. */
function settingsOf(main: Node | undefined): Static<typeof Settings> {
  const entries = main?.kind === 'map' ? main.entries : []
  const given = entries.filter(({ key }) => Object.hasOwn(Settings.properties, key))
  const settings = Object.fromEntries(given.map(({ key, value }) => [key, plain(value)]))
  return Value.Check(Settings, settings) ? settings : {}
}

function mergeMaps(
  roots: readonly MapNode[],
  member: 'scopes' | 'upstreams' | 'routes',
  report: Report
): readonly Entry[] {
  const merged = new Map<string, Entry>()
  for (const root of roots) {
    const node = valueOf(root, member)
    if (!node || !isMap(Fragment.properties[member], node, report)) continue
    for (const entry of node.entries) {
      const { key, place } = entry
      const first = merged.get(key)
      if (!first) merged.set(key, entry)
      else
        report(
          'duplicate',
          place,
          `"${key}" stands twice, first in ${placeSeenFrom(place, first.place)}`
        )
    }
  }
  return [...merged.values()]
}

function listOf(root: MapNode, member: string, report: Report): readonly Node[] {
  const node = valueOf(root, member)
  if (node && node.kind !== 'list') report('bad-value', node.place, `"${member}" must be a list`)
  return node?.kind === 'list' ? node.items : []
}
