/** The thread of check-aside.ts: one route file, checked, and told as data that can cross over. */
import { parentPort, workerData } from 'node:worker_threads'
import { checkRoutes } from './check.ts'
import type { Errand, Verdict } from './check-aside.ts'

/** Some milliseconds of work for whoever takes them. */
const RULES_AT_A_TIME = 250

const { path, options, rules }: Errand = workerData
const checked = await checkRoutes(path, options)
const { findings, hash, seen } = checked
let parts: Verdict['parts']
if ('table' in checked) {
  const { table } = checked
  for (let i = 0; i < table.rules.length; i += RULES_AT_A_TIME) {
    rules.postMessage(table.rules.slice(i, i + RULES_AT_A_TIME), [])
  }
  const { scopes, upstreams, mode, timeoutMs } = table
  parts = { scopes, upstreams, mode, options: table.options, timeoutMs, hash }
}
const verdict: Verdict = { findings, hash, seen, parts }
parentPort?.postMessage(verdict, [])
