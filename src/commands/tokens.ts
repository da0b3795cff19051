/**
 * `tollgate tokens`: create, list and revoke, straight on the database. For operators, so also for
 * other people's tokens and while no gate runs. A revocation ends with the same barrier as the API's:
 * when it has printed its receipt, no replica accepts the token any more.
 */
import { randomBytes } from 'node:crypto'
import { hostname, userInfo } from 'node:os'
import { type Command, Option } from 'commander'
import type { Actor, BarrierReceipt, BulkFilter } from '../core/ports.ts'
import type { TokenRow } from '../core/principal.ts'
import { digestToken, makeToken, previewToken } from '../core/token.ts'
import {
  CommandExit,
  type CommandIo,
  formatJson,
  OUTPUT_FORMATS,
  type OutputFormat,
  printListing
} from './output.ts'
import { openTokenDesk, type TokenDesk } from './token-desk.ts'
import {
  type CreateOptions,
  readNewToken,
  readOwner,
  readRevocation,
  type RevokeOptions
} from './token-input.ts'

interface Output {
  readonly output: OutputFormat
}

interface ListOptions extends Output {
  readonly user?: string
  readonly include?: 'inactive'
}

/** What the commands work on; each closes it. */
type Open = () => Promise<TokenDesk>

export function registerTokens(
  program: Command,
  io: CommandIo,
  open: Open = () => openTokenDesk(io)
): void {
  const tokens = program
    .command('tokens')
    .description('create, list and revoke tokens, straight on the database')
  addCreate(tokens, io, open)
  addList(tokens, io, open)
  addRevoke(tokens, io, open)
}

function addCreate(tokens: Command, io: CommandIo, open: Open): void {
  tokens
    .command('create')
    .description('make a token; its text is printed once and kept nowhere')
    .requiredOption('--user <id>', 'whose token it is')
    .requiredOption('--name <text>', 'what it is for')
    .option('--org <id>', 'organisation it is bound to; else to none')
    .option('--scopes <list>', 'scopes with commas between; else the defaults of the route file')
    .option('--repositories <list>', 'repository config ids with commas between; else all')
    .option('--all', 'all repositories, also future ones')
    .option('--expires-in-days <n>', '1 to 3650; else never')
    .option('--require-signature', 'refuse unsigned use')
    .addOption(outputOption())
    .action(async (options: CreateOptions & Output) => {
      await using desk = await open()
      await createToken(desk, io, options)
    })
}

function addList(tokens: Command, io: CommandIo, open: Open): void {
  tokens
    .command('list')
    .description("everybody's active tokens, newest first")
    .option('--user <id>', 'of this user alone')
    .addOption(
      new Option('--include <which>', 'revoked and expired ones too').choices(['inactive'])
    )
    .addOption(outputOption())
    .action(async (options: ListOptions) => {
      const user = options.user === undefined ? {} : { userId: readOwner('--user', options.user) }
      await using desk = await open()
      const includeInactive = options.include === 'inactive'
      printTokens(io, options, await desk.store.list({ ...user, includeInactive }))
    })
}

function addRevoke(tokens: Command, io: CommandIo, open: Open): void {
  tokens
    .command('revoke')
    .description('revoke one token or many; done when no replica accepts them any more')
    .argument('[id]', 'the id of one token')
    .option('--all-of-user <id>', 'all tokens of this user')
    .option('--all-of-org <id>', 'all tokens bound to this organisation')
    .option('--created-before <time>', 'all that are older, as in 2030-01-31T08:00:00Z')
    .addOption(outputOption())
    .action(async (id: string | undefined, options: RevokeOptions & Output) => {
      const which = readRevocation(id, options)
      await using desk = await open()
      if (typeof which === 'string') await revokeOne(desk, io, options, which)
      else await revokeMany(desk, io, options, which)
    })
}

function outputOption(): Option {
  return new Option('--output <format>', 'how to print').choices(OUTPUT_FORMATS).default('table')
}

async function createToken(desk: TokenDesk, io: CommandIo, options: CreateOptions & Output) {
  const rights = readNewToken(options, await desk.scopes())
  const token = makeToken(randomBytes)
  const digest = digestToken(token)
  const row = await desk.store.create(
    { ...rights, digest, preview: previewToken(token) },
    operator()
  )
  if (options.output === 'json') {
    io.out(formatJson({ token, ...present(row) }))
    return
  }
  // The token alone on stdout: TOKEN=$(tollgate tokens create …)
  io.out(`${token}\n`)
  io.err(`Token ${row.id} for ${row.userId}: ${row.scopes.join(', ')}. It is not shown again.\n`)
}

function printTokens(io: CommandIo, { output }: Output, rows: readonly TokenRow[]): void {
  printListing(io, output, {
    heads: [
      'ID',
      'USER',
      'ORG',
      'NAME',
      'TOKEN',
      'SCOPES',
      'REPOSITORIES',
      'SIGNED',
      'CREATED',
      'LAST USED',
      'EXPIRES',
      'REVOKED'
    ],
    rows: rows.map(row => [
      row.id,
      row.userId,
      row.orgId ?? '-',
      row.name,
      row.preview,
      row.scopes.join(','),
      row.repositories?.join(',') ?? '*',
      row.requireSignature ? 'required' : 'optional',
      isoTime(row.createdAtMs),
      isoTimeOrNull(row.lastUsedAtMs) ?? 'never',
      isoTimeOrNull(row.expiresAtMs) ?? 'never',
      isoTimeOrNull(row.revokedAtMs) ?? '-'
    ]),
    json: { tokens: rows.map(present) }
  })
}

async function revokeOne(desk: TokenDesk, io: CommandIo, { output }: Output, id: string) {
  const revoked = await desk.store.revoke(id, undefined, operator())
  if (revoked === 'not-found') throw new CommandExit(1, 'Token not found')
  const barrier = await desk.barrier.wait(revoked.change)
  const revokedAt = isoTime(revoked.revokedAtMs)
  if (output === 'json') io.out(formatJson({ success: true, id, revokedAt, barrier }))
  else io.out(`Token ${id} is revoked since ${revokedAt}. ${describe(barrier)}\n`)
}

async function revokeMany(desk: TokenDesk, io: CommandIo, { output }: Output, filter: BulkFilter) {
  const { ids, change } = await desk.store.revokeMany(filter, operator())
  const barrier = change === undefined ? null : await desk.barrier.wait(change)
  if (output === 'json') io.out(formatJson({ success: true, ids, barrier }))
  else if (barrier === null) io.out('No active token is like that.\n')
  else io.out(`${ids.map(id => `${id}\n`).join('')}Revoked: ${ids.length}. ${describe(barrier)}\n`)
}

/** The receipt of a revocation. */
function describe({ replicas, acknowledged, waitedMs }: BarrierReceipt): string {
  const how = `${acknowledged} of ${replicas} replicas acknowledged in ${Math.round(waitedMs)} ms`
  return acknowledged < replicas ? `${how}; the leases of the others have ended.` : `${how}.`
}

/** Who did it, for the audit trail. */
function operator(): Actor {
  return {
    kind: 'operator',
    id: `${userName()}@${hostname()}`,
    ip: undefined,
    requestId: undefined
  }
}

/** A container may run as a user that nobody has named. */
function userName(): string {
  try {
    return userInfo().username
  } catch {
    return `uid ${process.getuid?.() ?? 'unknown'}`
  }
}

/** As the API shows it, with the owner besides. */
function present(row: TokenRow): Readonly<Record<string, unknown>> {
  return {
    id: row.id,
    userId: row.userId,
    orgId: row.orgId,
    name: row.name,
    scopes: row.scopes,
    allRepositories: row.repositories === null,
    repositories: row.repositories ?? [],
    preview: row.preview,
    requireSignature: row.requireSignature,
    createdAt: isoTime(row.createdAtMs),
    lastUsedAt: isoTimeOrNull(row.lastUsedAtMs),
    expiresAt: isoTimeOrNull(row.expiresAtMs),
    revokedAt: isoTimeOrNull(row.revokedAtMs)
  }
}

function isoTime(ms: number): string {
  return new Date(ms).toISOString()
}

function isoTimeOrNull(ms: number | null): string | null {
  return ms === null ? null : isoTime(ms)
}
