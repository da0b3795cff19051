/**
 * `tollgate serve`: runs the gate until it is told to stop. Settings and route file are looked at
 * whole before anything is opened; the banner says which embedded parts stepped in and what to try.
 */
import { randomBytes } from 'node:crypto'
import { isIPv6 } from 'node:net'
import { setFlagsFromString } from 'node:v8'
import type { Command } from 'commander'
import { type RunningGate, startGate } from '../app.ts'
import { findGaps, type Gaps } from '../config/gaps.ts'
import type { Settings } from '../config/schema.ts'
import { ownRoutesFor, PAGE_PATH } from '../core/own-routes.ts'
import type { RouteTable } from '../core/rule.ts'
import { curlLines } from '../embedded/curl.ts'
import { createDemoToken, createDemoUser } from '../embedded/demo.ts'
import { findGapProblems, partLines } from '../embedded/fill.ts'
import { checkRoutes } from '../routes/check.ts'
import { explain } from './explain.ts'
import { CommandExit, type CommandIo } from './output.ts'
import { formatFindings } from './route-file.ts'
import { EMBEDDED_FOLDER, readSettings } from './settings.ts'
import { readVersion } from './version.ts'

export function registerServe(program: Command, io: CommandIo): void {
  program
    .command('serve')
    .description('run the gate; settings come from the environment and TOLLGATE_CONFIG')
    .action(() => serve(io))
}

async function serve(io: CommandIo): Promise<void> {
  // What survives while a process starts makes V8 put its like into the old space from then on. There
  // each request keeps the young half of itself alive until the next full collection: collections of
  // 6 ms instead of 1, four of them a second, and a heap of 110 MB instead of 30.
  setFlagsFromString('--no-allocation-site-pretenuring')
  const settings = readSettings(io)
  const gaps = findGaps(settings)
  const missing = findGapProblems(gaps)
  const ownRoutes = ownRoutesFor(settings.DASHBOARD)
  const routes = await checkRoutes(settings.ROUTES_FILE, { ownRoutes })
  const wrong = routes.findings.filter(({ level }) => level === 'error')
  if (missing.length > 0 || !('table' in routes)) {
    throw new CommandExit(
      2,
      `${missing.map(line => `${line}\n`).join('')}${formatFindings(wrong)}`.trimEnd()
    )
  }
  const { table } = routes
  const folder = EMBEDDED_FOLDER
  const version = readVersion()
  const gate = await startGate({ settings, routes, ownRoutes, version, folder }).catch(explain)
  const stopped = Promise.withResolvers<void>()
  const stop = () => stopped.resolve(gate.stop())
  io.onSignal('SIGINT', stop)
  io.onSignal('SIGTERM', stop)
  io.onSignal('SIGUSR2', () => gate.drain())
  io.onSignal('SIGHUP', () => gate.reloadRoutes())
  const patience = setTimeout(() => io.err(STILL_WAITING), PATIENCE_MS)
  gate.ready.then(
    () => {
      clearTimeout(patience)
      return printBanner(io, { gate, settings, table, gaps })
    },
    (thrown: unknown) => stopped.reject(thrown)
  )
  try {
    await stopped.promise
    io.err('Stopped.\n')
  } catch (thrown) {
    await gate.stop()
    explain(thrown)
  } finally {
    clearTimeout(patience)
  }
}

/** Embedded Postgres needs some seconds for its first start. */
const PATIENCE_MS = 10_000
const STILL_WAITING =
  'Still waiting for the database: the log says why. Requests with tokens get 503 until it is there.\n'

interface Started {
  readonly gate: RunningGate
  readonly settings: Settings
  readonly table: RouteTable
  readonly gaps: Gaps
}

async function printBanner(io: CommandIo, { gate, settings, table, gaps }: Started): Promise<void> {
  const { parts, port, adminPort } = gate
  const gateUrl = urlOf(settings.HOST, port)
  const lines = [
    '',
    `Tollgate ${readVersion()} on ${gateUrl}, health and metrics on ${urlOf(settings.ADMIN_HOST, adminPort)}`,
    `Routes        ${settings.ROUTES_FILE}: ${table.rules.length} rules${reported(table)}`,
    ...reportLines(table),
    ...(settings.DASHBOARD === 'on' ? [`Token page    ${gateUrl}${PAGE_PATH}`] : []),
    ...partLines(gaps.missing, {
      folder: EMBEDDED_FOLDER,
      isDatabaseKept: parts.isDatabaseKept,
      isSecretKept: parts.isSecretKept,
      upstreamUrl: parts.upstreamUrl
    })
  ]
  if (parts.hasDemoUser) lines.push('', ...(await trial(gate, { settings, table, gateUrl })))
  // Messages, so that standard output is the log alone.
  io.err(`${lines.join('\n')}\n\n`)
}

function urlOf(host: string, port: number): string {
  const reached = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host
  return `http://${isIPv6(reached) ? `[${reached}]` : reached}:${port}`
}

function reported({ rules }: RouteTable): string {
  const count = rules.filter(({ mode }) => mode === 'report').length
  return count === 0 ? '' : `, ${count} in report mode: their refusals are only recorded`
}

const MOST_NAMED = 5

/** Which rules let everybody through, so that nobody forgets them. */
function reportLines({ rules, mode }: RouteTable): readonly string[] {
  if (mode === 'report') return ['Report mode   the whole file: also requests without a rule']
  const keys = rules.filter(rule => rule.mode === 'report').map(({ key }) => key)
  const more = keys.length - MOST_NAMED
  const named = keys.slice(0, MOST_NAMED).map((key, i) => `${REPORT_HEADS[i === 0 ? 0 : 1]}${key}`)
  return more > 0 ? [...named, `${REPORT_HEADS[1]}and ${more} more`] : named
}

const REPORT_HEADS = ['Report mode   ', '              '] as const

interface Trial {
  readonly settings: Settings
  readonly table: RouteTable
  readonly gateUrl: string
}

async function trial(
  { parts, clock, store }: RunningGate,
  { settings, table, gateUrl }: Trial
): Promise<readonly string[]> {
  const user = createDemoUser({
    secret: parts.jwtSecret,
    clock,
    issuer: settings.JWT_ISSUER,
    audience: settings.JWT_AUDIENCE,
    userClaim: settings.JWT_USER_CLAIM
  })
  // Never into a database that others use.
  const token = parts.isDatabaseOwn
    ? await createDemoToken({ store, table, randomBytes })
    : undefined
  const jwt = await user.signJwt()
  return [
    `Demo JWT      ${jwt}`,
    ...(token ? [`Demo token    ${token.token}`] : []),
    '',
    'Try:',
    ...curlLines({ gateUrl, jwt, token, table }).map(line => `  ${line}`),
    '',
    'Ctrl-C ends it.'
  ]
}
