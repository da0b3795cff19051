/** The settings for the commands that need some: from environment and file, or every problem. */
import { readFileSync } from 'node:fs'
import { formatProblems, loadSettings } from '../config/load.ts'
import type { Settings } from '../config/schema.ts'
import { ownRoutesFor } from '../core/own-routes.ts'
import type { OwnRoute } from '../core/rule.ts'
import { CommandExit, type CommandIo } from './output.ts'

/** Where the embedded parts are kept, seen from where the process was started. */
export const EMBEDDED_FOLDER = '.tollgate'

/** Throws CommandExit. Names that look mistyped are told on stderr and change nothing. */
export function readSettings(io: CommandIo): Settings {
  const loaded = loadSettings({ env: io.env, readFile: path => readFileSync(path, 'utf8') })
  if ('problems' in loaded) throw new CommandExit(2, formatProblems(loaded.problems))
  for (const warning of loaded.warnings) io.err(`Warning: ${warning}\n`)
  return loaded.settings
}

/** The gate's own paths, for commands that need no other setting: by the environment alone. */
export function readOwnRoutes({ env }: Pick<CommandIo, 'env'>): readonly OwnRoute[] {
  return ownRoutesFor(env['DASHBOARD'] === 'off' ? 'off' : 'on')
}
