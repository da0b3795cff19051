/**
 * A route file as `serve` and a reload take it: right in itself, and with every test of its own
 * passing. Else all findings, and no table.
 */
import type { RouteTable } from '../core/rule.ts'
import {
  type CompileOptions,
  type LoadedRoutes,
  loadRoutes,
  type RefusedRoutes
} from './compile.ts'
import { explainRequest } from './explain.ts'
import { formatExplanation } from './explain-text.ts'
import { type Finding, finding, sortFindings } from './findings.ts'
import { askedBy, runTests, type TestResult } from './run-tests.ts'

/** `'table' in checked` tells which it is. Never rejects because of the file. */
export async function checkRoutes(
  path: string,
  options: CompileOptions
): Promise<LoadedRoutes | RefusedRoutes> {
  const loaded = await loadRoutes(path, { ...options, isQuick: true })
  if (!('table' in loaded)) return loaded
  const results = await runTests(loaded.table, loaded.tests)
  const failures = await findFailures(loaded.table, results)
  if (failures.length === 0) return loaded
  const { files, rules, hash, seen } = loaded
  const findings = sortFindings([...loaded.findings, ...failures], files)
  return { findings, files, rules, hash, seen }
}

/** One finding a failing test, with the explanation of what happened. */
export async function findFailures(
  table: RouteTable,
  results: readonly TestResult[]
): Promise<readonly Finding[]> {
  const failures: Finding[] = []
  for (const { passes, test, summary } of results) {
    if (passes) continue
    const detail = formatExplanation(await explainRequest(table, askedBy(test)))
    failures.push({ ...finding('failing-test', test.place, summary), detail })
  }
  return failures
}
