/** `tollgate coverage`: what to do about the route file, from what one running replica has seen. */
import type { Command } from 'commander'
import type { Coverage } from '../core/coverage.ts'
import { adviseOn, type CoverageAdvice, readCoverage } from '../routes/coverage.ts'
import { alignCells, type Paint, printable } from '../routes/text.ts'
import { CommandExit, type CommandIo, formatJson, paintFor } from './output.ts'
import { outputOption, several } from './route-file.ts'
import { readSettings } from './settings.ts'

interface CoverageOptions {
  readonly admin?: string
  readonly output: 'table' | 'json'
}

const PATIENCE_MS = 5000

export function registerCoverage(program: Command, io: CommandIo): void {
  program
    .command('coverage')
    .description('rules that nobody uses, requests that no rule covers, scopes that nobody needs')
    .option('--admin <url>', 'the admin port that is asked; else ADMIN_HOST and ADMIN_PORT')
    .addOption(outputOption())
    .action(async ({ admin, output }: CoverageOptions) => {
      const seen = await askFor(admin ?? adminUrl(io))
      const advice = adviseOn(seen)
      io.out(
        output === 'json'
          ? formatJson({ ...seen, advice })
          : formatAdvice(seen, advice, paintFor(io))
      )
    })
}

function adminUrl(io: CommandIo): string {
  const { ADMIN_HOST, ADMIN_PORT } = readSettings(io)
  const host = ADMIN_HOST === '0.0.0.0' || ADMIN_HOST === '::' ? '127.0.0.1' : ADMIN_HOST
  return `http://${host.includes(':') ? `[${host}]` : host}:${ADMIN_PORT}`
}

/** Throws CommandExit 2 where the address is none, 3 where nobody answers as a gate does. */
async function askFor(base: string): Promise<Coverage> {
  const url = URL.parse('/coverage', base)
  if (!url?.protocol.startsWith('http')) throw new CommandExit(2, '--admin takes http://host:port.')
  const answer = await fetchJson(url)
  const seen = readCoverage(answer)
  if (seen) return seen
  throw new CommandExit(3, `${url.href} answers, but it is no admin port of a gate.`)
}

async function fetchJson(url: URL): Promise<unknown> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(PATIENCE_MS) })
    return await response.json()
  } catch (cause) {
    if (cause instanceof SyntaxError) return undefined
    throw new CommandExit(3, `${url.href} cannot be reached. Does the gate run there?`, cause)
  }
}

function formatAdvice(
  { since, unmatchedBeyond, tokensBeyond }: Coverage,
  { unused, uncovered, idleScopes }: CoverageAdvice,
  paint: Paint
): string {
  const rows = uncovered.map(({ requests, line }) => [
    { text: `  ${printable(line)}` },
    { text: `# ${several(requests, 'request')}; decide who may` }
  ])
  const idle = idleScopes.map(({ scope, tokens }) => [
    { text: `  ${printable(scope)}` },
    {
      text: `${several(tokens.length, 'token')}: ${printable(tokens.slice(0, 3).join(', '))}${tokens.length > 3 ? ', …' : ''}`
    }
  ])
  const lines = [
    `Since ${printable(since)}, on this replica`,
    ...section(
      'Rules that nobody used',
      unused.map(key => `  ${printable(key)}`),
      paint
    ),
    ...section('Requests that no rule covers, as lines for routes', alignCells(rows, paint), paint),
    ...beyond(unmatchedBeyond, 'more requests without a rule'),
    ...section('Scopes that are granted and were never needed', alignCells(idle, paint), paint),
    ...beyond(tokensBeyond, 'requests of further tokens')
  ]
  return lines.map(line => `${line}\n`).join('')
}

function section(title: string, lines: readonly string[], paint: Paint): readonly string[] {
  return ['', paint('strong', title), ...(lines.length === 0 ? ['  none'] : lines)]
}

function beyond(count: number, what: string): readonly string[] {
  return count === 0 ? [] : [`  … and ${count} ${what}`]
}
