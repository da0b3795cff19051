/**
 * A route file as `serve` and a reload take it: right in itself, and with every test of its own
 * passing. Else all findings, and no table.
 */
import {
  type CompileOptions,
  type LoadedRoutes,
  loadRoutes,
  type RefusedRoutes
} from './compile.ts'
import { finding, sortFindings } from './findings.ts'
import { runTests } from './run-tests.ts'

/** `'table' in checked` tells which it is. Never rejects because of the file. */
export async function checkRoutes(
  path: string,
  options: CompileOptions
): Promise<LoadedRoutes | RefusedRoutes> {
  const loaded = await loadRoutes(path, options)
  if (!('table' in loaded)) return loaded
  const results = await runTests(loaded.table, loaded.tests)
  const failures = results.flatMap(({ passes, test, summary }) =>
    passes ? [] : [finding('failing-test', test.place, summary)]
  )
  if (failures.length === 0) return loaded
  const { files, rules, hash } = loaded
  return { findings: sortFindings([...loaded.findings, ...failures], files), files, rules, hash }
}
