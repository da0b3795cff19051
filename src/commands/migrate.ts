/** `tollgate migrate`: brings the schema up to date, once, for `serve` with MIGRATIONS=off. */
import type { Command } from 'commander'
import { openDatabase } from '../store/database.ts'
import { migrate, SchemaChanged, SchemaTooNew } from '../store/migrate.ts'
import { CommandExit, type CommandIo } from './output.ts'
import { readSettings } from './settings.ts'

const NO_OBSERVER = { count: () => undefined, measure: () => undefined, gauge: () => undefined }

export function registerMigrate(program: Command, io: CommandIo): void {
  program
    .command('migrate')
    .description('bring the database schema up to date; any number may run at once')
    .action(async () => {
      const { DATABASE_URL, LEASE_MS } = readSettings(io)
      if (DATABASE_URL === undefined) {
        throw new CommandExit(2, 'DATABASE_URL is not set: the embedded database migrates itself.')
      }
      await using database = openDatabase({
        connection: { connectionString: DATABASE_URL },
        observer: NO_OBSERVER
      })
      const applied = await migrate(database, { leaseMs: LEASE_MS }).catch(refuse)
      io.out(applied === 0 ? 'The schema is up to date.\n' : `Applied: ${applied}.\n`)
    })
}

function refuse(thrown: unknown): never {
  if (thrown instanceof SchemaTooNew || thrown instanceof SchemaChanged) {
    throw new CommandExit(2, thrown.message, thrown)
  }
  throw thrown
}
