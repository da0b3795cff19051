/** The thread of check-aside.ts: one route file, checked, and told as data that can cross over. */
import { once } from 'node:events'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { startRouteTable } from '../core/route-table.ts'
import type { Rule, RouteTable } from '../core/rule.ts'
import { type Errand, partsOf, RULES_AT_A_TIME, type Verdict } from './check-aside.ts'
import { checkRoutes } from './check.ts'
import { countDiff, diffRoutes } from './diff.ts'

const { path, options, before, rules }: Errand = workerData
// What goes wrong is the thread's error.
void tell()

async function tell(): Promise<void> {
  const checked = await checkRoutes(path, options)
  const { findings, hash, seen } = checked
  const table = 'table' in checked ? checked.table : undefined
  const found = table?.rules ?? []
  for (let i = 0; i < found.length; i += RULES_AT_A_TIME) {
    rules.postMessage(found.slice(i, i + RULES_AT_A_TIME), [])
  }
  const verdict: Verdict = { findings, hash, seen, parts: table && partsOf(table) }
  // What is asked next must find somebody who listens.
  const asked = parentPort && once(parentPort, 'message')
  parentPort?.postMessage(verdict, [])
  if (table) {
    // The new table is there before anybody needs to know what it changes.
    await asked
    const counts = countDiff(await diffRoutes(await readBefore(), table, options.ownRoutes))
    parentPort?.postMessage(counts, [])
  }
}

async function readBefore(): Promise<RouteTable> {
  const builder = startRouteTable({ ...before, ...options })
  for (;;) {
    const part: { readonly message: readonly Rule[] } | undefined = receiveMessageOnPort(rules)
    if (part?.message.length === 0) return builder.finish()
    if (part) builder.add(part.message)
    else await nextTurn()
  }
}
