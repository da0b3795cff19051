/**
 * Large route files: how long 10 000 rules take to compile, their overlap check included, and what
 * matching among them costs beside matching among ten. Reading the YAML before is not counted: it is
 * done by a thread, beside the requests.
 */
import { OWN_ROUTES } from '../src/core/own-routes.ts'
import type { RouteTable } from '../src/core/rule.ts'
import { compileRoutes } from '../src/routes/compile.ts'
import { type Node, parseYaml } from '../src/routes/parse.ts'
import { targetOf } from '../src/routes/target-of.ts'
import { median } from './result.ts'

export interface RouteFigures {
  /** Median of the rounds, ms. */
  readonly compileMs: number
  /** Of one match, ns. */
  readonly matchFewNs: number
  readonly matchManyNs: number
}

const MANY = 10_000
const FEW = 10
const MATCHES = 200_000
/** Paths of one resource, five shapes and four methods each: as large interfaces are. */
const TAILS = ['', '/{id}', '/{id}/items', '/{id:int}/items/{item}', '/stats'] as const
const METHODS = ['GET', 'POST', 'PUT', 'DELETE'] as const

function treeOf(count: number): Node {
  const rules = Array.from({ length: count }, (_, i) => {
    const method = METHODS[i % 4] ?? 'GET'
    const tail = TAILS[Math.floor(i / 4) % 5] ?? ''
    const repo = tail.includes('{id') ? '"{id}"' : 'upstream'
    return `  ${method} /api/v1/group-${Math.floor(i / 20)}${tail}: { scope: a:read, repo: ${repo} }`
  })
  const text = ['version: 1', 'scopes: { a:read: { title: A } }', 'routes:', ...rules].join('\n')
  const root = parseYaml(text, 'routes.yaml', (_code, _place, message) => {
    throw new Error(message)
  })
  if (!root) throw new Error('no tree')
  return root
}

function compile(root: Node): RouteTable {
  const sources = { files: [{ file: 'routes.yaml', root }], seen: new Map(), hash: '0'.repeat(64) }
  const compiled = compileRoutes(sources, [], { ownRoutes: OWN_ROUTES, isQuick: true })
  if (!('table' in compiled)) throw new Error('the rules do not load')
  return compiled.table
}

/** One group's requests: both tables answer them by rules of the same shapes. */
function matchNs(table: RouteTable, group: number): number {
  const targets = ['', '/x7', '/x7/items', '/12/items/3'].map(tail =>
    targetOf(`/api/v1/group-${group}${tail}`)
  )
  let found = 0
  const startMs = performance.now()
  for (let i = 0; i < MATCHES; i++) {
    const target = targets[i % targets.length]
    if (target && table.match('GET', target).kind === 'rule') found++
  }
  const tookNs = (performance.now() - startMs) * 1e6
  if (found === 0) throw new Error('nothing was matched')
  return tookNs / MATCHES
}

export function measureRoutes(count: number): RouteFigures {
  const [many, few] = [treeOf(MANY), treeOf(FEW)]
  const compileMs: number[] = []
  const ratios: { readonly few: number; readonly many: number }[] = []
  const fewTable = compile(few)
  for (let i = 0; i < count; i++) {
    const startMs = performance.now()
    const manyTable = compile(many)
    compileMs.push(performance.now() - startMs)
    // In turn, so that a busy machine troubles both.
    ratios.push({ few: matchNs(fewTable, 0), many: matchNs(manyTable, 250) })
  }
  return {
    compileMs: median(compileMs),
    matchFewNs: median(ratios.map(each => each.few)),
    matchManyNs: median(ratios.map(each => each.many))
  }
}
