/** `tollgate import openapi SPEC`: a route file from an OpenAPI document, or the two compared. */
import { readFileSync } from 'node:fs'
import type { Command } from 'commander'
import { compareWithOpenApi, type OpenApiGaps } from '../routes/check-openapi.ts'
import { placeText } from '../routes/findings.ts'
import { importOpenApi } from '../routes/import-openapi.ts'
import { type OpenApi, readOpenApi } from '../routes/openapi.ts'
import { alignCells, type Paint } from '../routes/text.ts'
import { CommandExit, type CommandIo, formatJson, paintFor } from './output.ts'
import { outputOption, requireRoutes, several } from './route-file.ts'
import { readOwnRoutes } from './settings.ts'

interface ImportOptions {
  readonly check?: string
  readonly output: 'table' | 'json'
}

export function registerImport(program: Command, io: CommandIo): void {
  program
    .command('import')
    .description('write a route file from a description of an API')
    .command('openapi')
    .description(
      'from OpenAPI 3.0 or 3.1, JSON or YAML; what it does not decide is denied and marked'
    )
    .argument('<spec>', 'the document; - reads stdin')
    .option('--check <file>', 'compare with this route file instead; end with 1 if they differ')
    .addOption(outputOption())
    .action(async (spec: string, { check, output }: ImportOptions) => {
      const api = readSpec(spec)
      if (check === undefined) io.out(importOpenApi(api, spec, readOwnRoutes(io)))
      else await compare(io, api, check, output)
    })
}

function readSpec(path: string): OpenApi {
  const api = readOpenApi(readText(path))
  if ('problem' in api) throw new CommandExit(2, `${path} cannot be read: ${api.problem}`)
  return api
}

function readText(path: string): string {
  try {
    return readFileSync(path === '-' ? 0 : path, 'utf8')
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unreadable'
    throw new CommandExit(2, `${path} cannot be read: ${code}`, cause)
  }
}

async function compare(
  io: CommandIo,
  { operations }: OpenApi,
  file: string,
  output: 'table' | 'json'
): Promise<void> {
  const { rules } = await requireRoutes(io, file)
  const gaps = compareWithOpenApi(operations, rules)
  const { withoutRule, withoutOperation } = gaps
  if (output === 'json') {
    const places = withoutOperation.map(({ key, rule }) => ({ key, place: rule.place }))
    io.out(formatJson({ withoutRule, withoutOperation: places }))
  } else io.out(formatGaps(gaps, paintFor(io)))
  if (withoutRule.length + withoutOperation.length > 0) throw new CommandExit(1)
}

function formatGaps({ withoutRule, withoutOperation }: OpenApiGaps, paint: Paint): string {
  const rows = [
    ...withoutRule.map(key => [{ text: 'no rule', tone: 'bad' } as const, { text: key }]),
    ...withoutOperation.map(({ key, rule }) => [
      { text: 'no operation', tone: 'warn' } as const,
      { text: key },
      { text: placeText(rule.place), tone: 'quiet' } as const
    ])
  ]
  const summary = `${several(withoutRule.length, 'operation')} without a rule, ${several(withoutOperation.length, 'rule')} without an operation`
  return [...alignCells(rows, paint), summary].map(line => `${line}\n`).join('')
}
