/**
 * `tollgate doctor`: looks at everything the gate relies on, from where it is run, names what is not
 * well and says what to do. Nothing is changed. With `--gate` or `--closed` it looks at a gate from
 * outside, as a client or a neighbour would, and what is not configured here is not missed.
 */
import { existsSync, readFileSync } from 'node:fs'
import { type Command, InvalidArgumentError, Option } from 'commander'
import { findGaps } from '../config/gaps.ts'
import { loadSettings } from '../config/load.ts'
import type { Settings } from '../config/schema.ts'
import { ownRoutesFor } from '../core/own-routes.ts'
import {
  type Check,
  fail,
  type Finding,
  ok,
  type Row,
  runChecks,
  skip,
  warn
} from '../doctor/check.ts'
import { limitsCheck, readLimits } from '../doctor/limits.ts'
import { closedCheck, gateCheck } from '../doctor/outside.ts'
import { type CheckedRoutes, judgeRoutes, routesCheck } from '../doctor/routes.ts'
import { storeChecks } from '../doctor/stores.ts'
import { upstreamChecks } from '../doctor/upstream.ts'
import { usersCheck } from '../doctor/users.ts'
import { findGapProblems } from '../embedded/fill.ts'
import {
  CommandExit,
  type CommandIo,
  OUTPUT_FORMATS,
  type OutputFormat,
  printListing
} from './output.ts'

interface Options {
  readonly gate?: string
  readonly closed?: Address
  readonly output: OutputFormat
}

interface Address {
  readonly host: string
  readonly port: number
}

export function registerDoctor(program: Command, io: CommandIo): void {
  program
    .command('doctor')
    .description('look at everything the gate relies on, and say what to do')
    .option('--gate <url>', 'look at a running gate as a client does', readUrl)
    .option('--closed <host:port>', 'nobody may accept a connection there', readAddress)
    .addOption(
      new Option('--output <format>', 'how to print').choices(OUTPUT_FORMATS).default('table')
    )
    .action(async (options: Options) => {
      const rows = await runChecks(planChecks(options, io))
      printListing(io, options.output, {
        heads: ['CHECK', 'RESULT', 'WHAT'],
        rows: rows.map(({ check, level, message }) => [check, level, message]),
        json: rows.map(({ check, level, message }) => ({ check, result: level, message }))
      })
      conclude(rows)
    })
}

/** Out of reach weighs more: what could not be asked may be worse. */
function conclude(rows: readonly Row[]): void {
  if (rows.some(({ isUnreachable }) => isUnreachable)) throw new CommandExit(3)
  if (rows.some(({ level }) => level === 'fail')) throw new CommandExit(1)
}

function planChecks(options: Options, io: CommandIo): readonly Check[] {
  const loaded = loadSettings({ env: io.env, readFile: path => readFileSync(path, 'utf8') })
  const isOutside = options.gate !== undefined || options.closed !== undefined
  if ('problems' in loaded) {
    const wrong = loaded.problems.map(({ place, name, message }) =>
      fail(`${place}: ${name} ${message}`)
    )
    const rest = ['routes', 'postgres', 'redis', 'clocks', 'user JWTs', 'upstream', 'limits']
    return [
      known('settings', wrong),
      ...rest.map(name => known(name, [skip('the settings are not valid')])),
      ...outsideChecks(options, Promise.resolve(undefined))
    ]
  }
  const { settings, warnings } = loaded
  const missing = isOutside ? [] : findGapProblems(findGaps(settings)).map(fail)
  const found = [...missing, ...warnings.map(warn)]
  const routes = readRoutes(settings, isOutside)
  const table = routes.then(checked => checked.table)
  return [
    known('settings', found.length > 0 ? found : [ok('valid')]),
    routesCheck(routes),
    ...storeChecks({
      databaseUrl: settings.DATABASE_URL,
      redisUrl: settings.REDIS_URL,
      redisMode: settings.REDIS_MODE
    }),
    usersCheck(settings.JWT_JWKS_URL, settings.JWT_SECRET !== undefined),
    ...upstreamChecks(
      {
        url: settings.UPSTREAM_URL,
        keepAliveMs: settings.UPSTREAM_KEEPALIVE_MS,
        podIp: settings.POD_IP,
        exposure: settings.UPSTREAM_EXPOSURE
      },
      table.then(loadedTable => (isOutside ? [] : [...(loadedTable?.upstreams.values() ?? [])]))
    ),
    limitsCheck(() => ({
      ...readLimits(),
      cacheMaxTokens: settings.CACHE_MAX_TOKENS,
      nodeVersion: process.version,
      nodeOptions: io.env['NODE_OPTIONS'] ?? '',
      nowMs: Date.now()
    })),
    ...outsideChecks(options, table)
  ]
}

function known(name: string, findings: readonly Finding[]): Check {
  return { name, run: async () => findings }
}

async function readRoutes(settings: Settings, isOutside: boolean): Promise<CheckedRoutes> {
  const { ROUTES_FILE, DASHBOARD } = settings
  if (isOutside && !existsSync(ROUTES_FILE)) {
    return { findings: [skip(`${ROUTES_FILE} is not here`)], table: undefined }
  }
  return judgeRoutes(ROUTES_FILE, ownRoutesFor(DASHBOARD))
}

function outsideChecks(
  { gate, closed }: Options,
  table: Parameters<typeof gateCheck>[1]
): readonly Check[] {
  return [...(gate ? [gateCheck(gate, table)] : []), ...(closed ? [closedCheck(closed)] : [])]
}

function readUrl(text: string): string {
  if (/^https?:\/\//.test(text) && URL.canParse(text)) return text
  throw new InvalidArgumentError('It must be http://host:port or https://host:port.')
}

function readAddress(text: string): Address {
  const [, host = '', port = ''] = /^(.+):(\d{1,5})$/.exec(text) ?? []
  const bare = host.replace(/^\[(.*)\]$/, '$1')
  if (bare !== '' && Number(port) > 0 && Number(port) < 65_536)
    return { host: bare, port: Number(port) }
  throw new InvalidArgumentError('It must be host:port.')
}
