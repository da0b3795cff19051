/**
 * What every command speaks through: data on stdout, messages on stderr, an exit code at the end.
 * 0 fine, 1 a finding, 2 usage or bad configuration, 3 something is unreachable.
 * Source: README, command line; https://no-color.org.
 */
import { alignCells, type Paint, PLAIN, printable, type Tone } from '../routes/text.ts'

/** A command's whole view of its process, so that a test is one object literal. */
export interface CommandIo {
  readonly env: Readonly<Record<string, string | undefined>>
  /** Whether stdout is a terminal. */
  readonly isTerminal: boolean
  /** Data, as it is: no line end is added. */
  out(text: string): void
  /** A message, as it is: no line end is added. */
  err(text: string): void
  /** A second SIGINT or SIGTERM ends the process at once, whatever the listener does. */
  onSignal(signal: CommandSignal, listener: () => void): void
}

export type CommandSignal = 'SIGINT' | 'SIGTERM' | 'SIGHUP' | 'SIGUSR2'

export type ExitCode = 0 | 1 | 2 | 3

/** Ends a command: `message` goes to stderr (empty: all is said already), the code to the shell. */
export class CommandExit extends Error {
  readonly exitCode: ExitCode

  constructor(exitCode: ExitCode, message = '', cause?: unknown) {
    super(message, { cause })
    this.name = 'CommandExit'
    this.exitCode = exitCode
  }
}

export const OUTPUT_FORMATS = ['table', 'json'] as const
export type OutputFormat = (typeof OUTPUT_FORMATS)[number]

export interface Listing {
  /** Upper-case column heads. */
  readonly heads: readonly string[]
  readonly rows: readonly (readonly string[])[]
  /** The same as data; what JSON.stringify drops is not shown. */
  readonly json: unknown
}

/** Prints a listing: aligned columns for people, JSON for programs. */
export function printListing(io: CommandIo, format: OutputFormat, listing: Listing): void {
  io.out(format === 'json' ? formatJson(listing.json) : formatTable(listing, paintFor(io)))
}

export function formatJson(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`
}

/** Aligned columns, two spaces apart, each line ended; no line has blanks at its end. */
export function formatTable(
  { heads, rows }: Pick<Listing, 'heads' | 'rows'>,
  paint: Paint = PLAIN
): string {
  const [head = '', ...body] = alignCells(
    [heads, ...rows].map(row => row.map(text => ({ text: printable(text) }))),
    PLAIN,
    2
  )
  return [paint('strong', head), ...body].map(line => `${line}\n`).join('')
}

/** Colour only for a person at a terminal who did not decline it. */
export function hasColour({ env, isTerminal }: Pick<CommandIo, 'env' | 'isTerminal'>): boolean {
  return isTerminal && !env['NO_COLOR']
}

/** SGR codes that begin and end each tone: of the eight colours that every terminal has. */
const TONES: Readonly<Record<Tone, readonly [number, number]>> = {
  good: [32, 39],
  bad: [31, 39],
  warn: [33, 39],
  quiet: [2, 22],
  strong: [1, 22]
}

/** Colours what it is given, or nothing at all. */
export function paintFor(io: Pick<CommandIo, 'env' | 'isTerminal'>): Paint {
  if (!hasColour(io)) return PLAIN
  return (tone, text) => `\u001B[${TONES[tone][0]}m${text}\u001B[${TONES[tone][1]}m`
}
