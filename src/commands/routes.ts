/** The commands about route files that need nothing but the file: `validate` and `schema`. */
import type { Command } from 'commander'
import { type LoadedRoutes, loadRoutes, type RefusedRoutes } from '../routes/compile.ts'
import { type Finding, placeText } from '../routes/findings.ts'
import { jsonSchemaText } from '../routes/schema.ts'
import { CommandExit, type CommandIo } from './output.ts'
import { readOwnRoutes } from './settings.ts'

export function registerRouteCommands(program: Command, io: CommandIo): void {
  program
    .command('validate')
    .description('check a route file: every problem, with file, line and column')
    .argument('[file]', 'the route file; else ROUTES_FILE, else config/routes.yaml')
    .option('--strict', 'warnings are findings too')
    .action(async (file: string | undefined, { strict }: { readonly strict?: true }) => {
      const path = file ?? io.env['ROUTES_FILE'] ?? 'config/routes.yaml'
      const loaded = await loadRoutes(path, { ownRoutes: readOwnRoutes(io) })
      io.out(formatFindings(loaded.findings))
      io.out(`${summarise(loaded)}\n`)
      const fails = loaded.findings.some(
        ({ level }) => level === 'error' || (strict && level === 'warning')
      )
      if (fails) throw new CommandExit(1)
    })
  program
    .command('schema')
    .description('print the JSON Schema of the route file, for editors')
    .action(() => io.out(jsonSchemaText()))
}

/** One line a finding, in columns, each ended. */
export function formatFindings(findings: readonly Finding[]): string {
  const rows = findings.map(({ place, level, code, message }) => ({
    cells: [placeText(place), level, code],
    message
  }))
  const widths = [0, 1, 2].map(i => Math.max(0, ...rows.map(({ cells }) => cells[i]?.length ?? 0)))
  return rows
    .map(({ cells, message }) => {
      const padded = cells.map((cell, i) => cell.padEnd(widths[i] ?? 0))
      return `${[...padded, message].join('  ')}\n`
    })
    .join('')
}

function summarise({ findings, rules }: LoadedRoutes | RefusedRoutes): string {
  const count = (level: string) => findings.filter(finding => finding.level === level).length
  const found = [
    several(count('error'), 'error'),
    several(count('warning'), 'warning'),
    several(count('note'), 'note')
  ].join(', ')
  const open = rules.filter(({ need }) => need.kind === 'public').length
  const left = rules.filter(({ bindings }) => bindings?.some(({ kind }) => kind === 'upstream'))
  const reported = rules.filter(({ mode }) => mode === 'report').length
  return `${found}. ${several(rules.length, 'rule')}; ${open} need no credential; ${left.length} leave repositories to the upstream; ${reported} in report mode`
}

function several(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`
}
