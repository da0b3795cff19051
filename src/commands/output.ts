/**
 * What every command speaks through: data on stdout, messages on stderr, an exit code at the end.
 * 0 fine, 1 a finding, 2 usage or bad configuration, 3 something is unreachable.
 * Source: README, command line; https://no-color.org.
 */

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
  io.out(format === 'json' ? formatJson(listing.json) : formatTable(listing, hasColour(io)))
}

export function formatJson(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`
}

/** Aligned columns, two spaces apart, each line ended; no line has blanks at its end. */
export function formatTable(
  { heads, rows }: Pick<Listing, 'heads' | 'rows'>,
  isColoured = false
): string {
  const cells = [heads, ...rows].map(row => row.map(printable))
  const widths = heads.map((_, i) => Math.max(...cells.map(row => countChars(row[i] ?? ''))))
  const lines = cells.map(row =>
    row
      .map((cell, i) => cell + ' '.repeat((widths[i] ?? 0) - countChars(cell)))
      .join('  ')
      .trimEnd()
  )
  const [head = '', ...body] = lines
  return [isColoured ? `\u001B[1m${head}\u001B[22m` : head, ...body]
    .map(line => `${line}\n`)
    .join('')
}

/** Code points: near enough to columns for names and ids. */
function countChars(text: string): number {
  return Array.from(text).length
}

/** Colour only for a person at a terminal who did not decline it. */
export function hasColour({ env, isTerminal }: Pick<CommandIo, 'env' | 'isTerminal'>): boolean {
  return isTerminal && !env['NO_COLOR']
}

/** A text from elsewhere, unable to move a terminal's cursor or to hide what follows it. */
export function printable(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, '\u{FFFD}')
}
