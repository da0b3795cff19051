/**
 * The command line: which commands there are, and which exit code each end has.
 *
 * A command's module is loaded when it is called and only then: `sign` in a CI job does not wait
 * for a database driver, and `serve` does not carry the route tools in memory.
 */
import { Command, CommanderError } from 'commander'
import { Fault } from '../core/decision.ts'
import { reduceError, scrub } from '../telemetry/scrub.ts'
import { CommandExit, type CommandIo, type ExitCode } from './output.ts'
import { readVersion } from './version.ts'

type Register = (program: Command, io: CommandIo) => void

export interface Family {
  /** Name and summary of each command, in the order of the help text. */
  readonly commands: Readonly<Record<string, string>>
  readonly load: () => Promise<Register>
}

const FAMILIES: readonly Family[] = [
  {
    commands: { serve: 'run the gate' },
    load: async () => (await import('./serve.ts')).registerServe
  },
  {
    commands: {
      validate: 'check a route file: every problem, with file, line and column',
      test: "run a route file's own tests",
      schema: 'print the JSON Schema of the route file'
    },
    load: async () => (await import('./routes.ts')).registerRouteCommands
  },
  {
    commands: { explain: 'why a request is answered as it is, and what would change that' },
    load: async () => (await import('./explain-request.ts')).registerExplain
  },
  {
    commands: { diff: 'who may do what by one route file and by another' },
    load: async () => (await import('./diff.ts')).registerDiff
  },
  {
    commands: { import: 'write a route file from a description of an API' },
    load: async () => (await import('./import.ts')).registerImport
  },
  {
    commands: { coverage: 'what to do about the route file, from what a running gate has seen' },
    load: async () => (await import('./coverage.ts')).registerCoverage
  },
  {
    commands: { tokens: 'create, list and revoke tokens, straight on the database' },
    load: async () => (await import('./tokens.ts')).registerTokens
  },
  {
    commands: { sign: 'print the signature headers of one request' },
    load: async () => (await import('./sign.ts')).registerSign
  },
  {
    commands: { migrate: 'bring the database schema up to date' },
    load: async () => (await import('./migrate.ts')).registerMigrate
  },
  {
    commands: { doctor: 'look at everything the gate relies on, and say what to do' },
    load: async () => (await import('./doctor.ts')).registerDoctor
  },
  {
    commands: { inject: 'put the gate into Kubernetes manifests as a native sidecar' },
    load: async () => (await import('./inject.ts')).registerInject
  }
]

/** `argv` without the program's own name. Never throws: everything ends in an exit code. */
export async function run(
  argv: readonly string[],
  io: CommandIo,
  families = FAMILIES
): Promise<ExitCode> {
  try {
    const program = await makeProgram(argv, io, families)
    await program.parseAsync([...argv], { from: 'user' })
    return 0
  } catch (thrown) {
    return conclude(thrown, io)
  }
}

async function makeProgram(
  argv: readonly string[],
  io: CommandIo,
  families: readonly Family[]
): Promise<Command> {
  const [called, second] = argv.filter(word => !word.startsWith('-'))
  const wanted = called === 'help' ? second : called
  const program = new Command('tollgate')
    .description('Sidecar auth reverse proxy for ci_ API tokens')
    .version(readVersion(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print help')
    .helpCommand('help [command]', 'print help for a command')
    .showHelpAfterError('(--help shows what is possible)')
    .exitOverride()
    .configureOutput({ writeOut: text => io.out(text), writeErr: text => io.err(text) })
    .addHelpText(
      'after',
      '\nExit codes: 0 fine, 1 a finding, 2 usage or bad configuration,\n3 something is unreachable. Settings: environment, or a file named by TOLLGATE_CONFIG.'
    )
  for (const { commands, load } of families) {
    if (wanted !== undefined && Object.hasOwn(commands, wanted)) (await load())(program, io)
    else addSummaries(program, commands)
  }
  return program
}

/** Enough of commands that are not called now to be listed and suggested. */
function addSummaries(program: Command, commands: Family['commands']): void {
  for (const [name, summary] of Object.entries(commands)) program.command(name).description(summary)
}

/** The exit code of whatever ended a command, and its sentence on stderr. */
function conclude(thrown: unknown, io: CommandIo): ExitCode {
  if (thrown instanceof CommanderError) return thrown.exitCode === 0 ? 0 : 2
  if (thrown instanceof CommandExit) {
    if (thrown.message !== '') io.err(`${thrown.message}\n`)
    return thrown.exitCode
  }
  if (thrown instanceof Fault && thrown.code !== 'INTERNAL_ERROR') {
    io.err(`${thrown.publicMessage}${because(thrown.cause)}\n`)
    return 3
  }
  const taken = describeListenError(thrown)
  if (taken !== undefined) {
    io.err(`${taken}\n`)
    return 2
  }
  io.err(describeUnexpected(thrown))
  return 1
}

/** An error nobody expected, with its stack and without what drivers attach to theirs. */
export function describeUnexpected(thrown: unknown): string {
  const { stack, cause } = reduceError(thrown)
  return `Unexpected error: ${stack}\n${cause ? `Caused by ${cause.stack}\n` : ''}`
}

function because(cause: unknown): string {
  if (!(cause instanceof Error)) return ''
  // Refused on every address of a name: the error has a code and no message.
  const text = cause.message || ('code' in cause ? String(cause.code) : cause.name)
  return ` (${scrub(text)})`
}

/** A port that cannot be had, as a sentence; undefined for every other error. */
function describeListenError(thrown: unknown): string | undefined {
  if (!(thrown instanceof Error && 'code' in thrown && 'syscall' in thrown)) return undefined
  if (thrown.syscall !== 'listen') return undefined
  const host = 'address' in thrown ? String(thrown.address) : ''
  const port = 'port' in thrown && typeof thrown.port === 'number' ? `:${thrown.port}` : ''
  const where = `${host.includes(':') ? `[${host}]` : host}${port}`
  switch (thrown.code) {
    case 'EADDRINUSE':
      return `${where} is taken by another process. Set PORT or ADMIN_PORT to a free one.`
    case 'EACCES':
      return `${where} may not be used by this user. Set PORT or ADMIN_PORT to one above 1023.`
    case 'EADDRNOTAVAIL':
      return `${where} is no address of this machine. Set HOST or ADMIN_HOST to one it has.`
    default:
      return `${where} cannot be listened on: ${String(thrown.code)}`
  }
}
