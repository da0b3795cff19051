/** What the commands about route files share: which file, loaded or refused, and its findings as text. */
import { Option } from 'commander'
import { type LoadedRoutes, loadRoutes, type RefusedRoutes } from '../routes/compile.ts'
import { type Finding, hasError, type Level, placeText } from '../routes/findings.ts'
import { alignCells, type Paint, PLAIN, printable, type Tone } from '../routes/text.ts'
import { CommandExit, type CommandIo, OUTPUT_FORMATS } from './output.ts'
import { readOwnRoutes } from './settings.ts'

/** The file of the argument, of the settings, or the one that is shipped. */
export function routeFileName(io: CommandIo, given: string | undefined): string {
  return given ?? io.env['ROUTES_FILE'] ?? 'config/routes.yaml'
}

/** `'table' in loaded` tells whether it has no error. */
export async function readRoutes(
  io: CommandIo,
  path: string
): Promise<LoadedRoutes | RefusedRoutes> {
  return loadRoutes(path, { ownRoutes: readOwnRoutes(io) })
}

/** For commands that need a file without errors: throws CommandExit 2 with what is wrong. */
export async function requireRoutes(io: CommandIo, path: string): Promise<LoadedRoutes> {
  const loaded = await readRoutes(io, path)
  if ('table' in loaded) return loaded
  const errors = loaded.findings.filter(({ level }) => level === 'error')
  throw new CommandExit(2, formatFindings(errors).trimEnd())
}

export function outputOption(...more: readonly string[]): Option {
  return new Option('--output <format>', 'how to print')
    .choices([...OUTPUT_FORMATS, ...more])
    .default('table')
}

const LEVEL_TONES = { error: 'bad', warning: 'warn', note: 'quiet' } as const satisfies Record<
  Level,
  Tone
>

/** One line a finding, in columns, then its further lines, indented; each ended. */
export function formatFindings(findings: readonly Finding[], paint: Paint = PLAIN): string {
  const lines = alignCells(
    findings.map(({ place, level, code, message }) => [
      { text: placeText(place) },
      { text: level, tone: LEVEL_TONES[level] },
      { text: code },
      { text: printable(message) }
    ]),
    paint,
    2
  )
  return findings.map(({ detail = '' }, i) => `${lines[i]}\n${indented(detail)}`).join('')
}

/** Lines, each ended, two blanks further in. */
export function indented(text: string): string {
  return text.replaceAll(/^(?=.)/gm, '  ')
}

const COMMANDS = { error: 'error', warning: 'warning', note: 'notice' } as const satisfies Record<
  Level,
  string
>

/**
 * Workflow commands that GitHub shows beside the lines of a change.
 * Source: GitHub Actions, workflow commands.
 */
export function formatAnnotations(findings: readonly Finding[]): string {
  return findings
    .map(({ place: { file, line, col }, level, code, message, detail }) => {
      const at = `file=${escaped(file)},line=${line},col=${col},title=${escaped(code)}`
      const text = detail === undefined ? message : `${message}\n${detail.trimEnd()}`
      return `::${COMMANDS[level]} ${at}::${escapedText(text)}\n`
    })
    .join('')
}

function escapedText(text: string): string {
  return text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A')
}

function escaped(text: string): string {
  return escapedText(text).replaceAll(':', '%3A').replaceAll(',', '%2C')
}

/** `1 rule`, `2 rules`. */
export function several(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`
}

/** Ends the command with a finding where there is one. */
export function endWith(findings: readonly Finding[], isStrict = false): void {
  const isFinding = isStrict && findings.some(({ level }) => level === 'warning')
  if (isFinding || hasError(findings)) throw new CommandExit(1)
}
