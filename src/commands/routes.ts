/** The commands about one route file that need nothing but the file: `validate`, `test`, `schema`. */
import type { Command } from 'commander'
import type { Rule } from '../core/rule.ts'
import { findFailures } from '../routes/check.ts'
import type { LoadedRoutes, RefusedRoutes } from '../routes/compile.ts'
import { type Finding, placeText } from '../routes/findings.ts'
import { runTests, type TestResult } from '../routes/run-tests.ts'
import { jsonSchemaText } from '../routes/schema.ts'
import { alignCells, type Paint } from '../routes/text.ts'
import { type CommandIo, formatJson, paintFor } from './output.ts'
import {
  endWith,
  formatAnnotations,
  formatFindings,
  indented,
  outputOption,
  readRoutes,
  routeFileName,
  several
} from './route-file.ts'

const FILE = 'the route file; else ROUTES_FILE, else config/routes.yaml'

interface Printed {
  readonly output: 'table' | 'json' | 'github'
}

interface Checked extends Printed {
  readonly strict?: boolean
}

export function registerRouteCommands(program: Command, io: CommandIo): void {
  program
    .command('validate')
    .description('check a route file: every problem, with file, line and column')
    .argument('[file]', FILE)
    .option('--strict', 'warnings are findings too')
    .addOption(outputOption('github'))
    .action((file: string | undefined, options: Checked) =>
      validate(io, routeFileName(io, file), options)
    )
  program
    .command('test')
    .description("run a route file's own tests, and name the rules that none of them reaches")
    .argument('[file]', FILE)
    .addOption(outputOption('github'))
    .action((file: string | undefined, options: Printed) =>
      test(io, routeFileName(io, file), options)
    )
  program
    .command('schema')
    .description('print the JSON Schema of the route file, for editors')
    .action(() => io.out(jsonSchemaText()))
}

async function validate(
  io: CommandIo,
  path: string,
  { output, strict = false }: Checked
): Promise<void> {
  const loaded = await readRoutes(io, path)
  const { findings } = loaded
  const counts = countsOf(loaded)
  if (output === 'json') io.out(formatJson({ findings, ...counts }))
  else {
    const isGithub = output === 'github'
    io.out(isGithub ? formatAnnotations(findings) : formatFindings(findings, paintFor(io)))
    io.out(`${summaryOf(counts)}\n`)
  }
  endWith(findings, strict)
}

function countsOf({ findings, rules }: LoadedRoutes | RefusedRoutes) {
  const count = (wanted: Finding['level']) =>
    findings.filter(({ level }) => level === wanted).length
  const having = (is: (rule: Rule) => boolean) => rules.filter(is).length
  return {
    errors: count('error'),
    warnings: count('warning'),
    notes: count('note'),
    rules: rules.length,
    public: having(({ need }) => need.kind === 'public'),
    upstream: having(({ bindings = [] }) => bindings.some(({ kind }) => kind === 'upstream')),
    report: having(({ mode }) => mode === 'report')
  }
}

function summaryOf(counts: ReturnType<typeof countsOf>): string {
  const { errors, warnings, notes, rules, upstream, report } = counts
  const found = `${several(errors, 'error')}, ${several(warnings, 'warning')}, ${several(notes, 'note')}`
  return `${found}. ${several(rules, 'rule')}; ${counts.public} need no credential; ${upstream} leave repositories to the upstream; ${report} in report mode`
}

async function test(io: CommandIo, path: string, { output }: Printed): Promise<void> {
  const loaded = await readRoutes(io, path)
  const isLoaded = 'table' in loaded
  const results = isLoaded ? await runTests(loaded.table, loaded.tests) : []
  const failures = isLoaded
    ? await findFailures(loaded.table, results)
    : loaded.findings.filter(({ level }) => level === 'error')
  const reached = new Set(results.map(({ rule }) => rule))
  const unreached = isLoaded ? loaded.rules.filter(rule => !reached.has(rule)) : []
  const paint = paintFor(io)
  if (output === 'json') io.out(formatJson(testJson(results, failures, unreached)))
  else if (output === 'github') io.out(formatAnnotations(failures))
  else if (!isLoaded) io.out(formatFindings(failures, paint))
  else io.out(testLines(results, failures, paint) + unreachedLines(unreached, paint))
  if (output !== 'json') io.out(`${testSummary(results, unreached, loaded.rules.length)}\n`)
  endWith(failures)
}

function testLines(
  results: readonly TestResult[],
  failures: readonly Finding[],
  paint: Paint
): string {
  const rest = failures.values()
  return results
    .map(({ passes, summary, test: { place, note } }) => {
      const said = note === undefined ? '' : paint('quiet', `   ${note}`)
      if (passes) return `${paint('good', 'ok')}      ${summary}${said}\n`
      const { detail = '' } = rest.next().value ?? {}
      const where = paint('quiet', `   ${placeText(place)}`)
      return `${paint('bad', 'FAILED')}  ${summary}${said}${where}\n${indented(indented(detail))}`
    })
    .join('')
}

function unreachedLines(unreached: readonly Rule[], paint: Paint): string {
  if (unreached.length === 0) return ''
  const rows = unreached.map(({ key, place }) => [
    { text: `  ${key}` },
    { text: placeText(place), tone: 'quiet' } as const
  ])
  return ['', 'No test reaches:', ...alignCells(rows, paint)].map(line => `${line}\n`).join('')
}

function testSummary(
  results: readonly TestResult[],
  unreached: readonly Rule[],
  rules: number
): string {
  const failed = results.filter(({ passes }) => !passes).length
  const reached = rules - unreached.length
  return `${several(results.length, 'test')}, ${failed} failed. ${reached} of ${several(rules, 'rule')} reached`
}

function testJson(
  results: readonly TestResult[],
  errors: readonly Finding[],
  unreached: readonly Rule[]
) {
  const tests = results.map(({ test: { method, target, expected, note, place }, ...result }) => ({
    request: `${method} ${target}`,
    place,
    note,
    expected,
    outcome: result.outcome,
    upstream: result.upstream,
    passes: result.passes
  }))
  return { tests, findings: errors, unreached: unreached.map(({ key, place }) => ({ key, place })) }
}
