/** `tollgate migrate`: brings the schema up to date, once, for `serve` with MIGRATIONS=off. */
import type { Command } from 'commander'
import { NO_OBSERVER } from '../core/observer.ts'
import { openDatabase } from '../store/database.ts'
import { migrate } from '../store/migrate.ts'
import { explain } from './explain.ts'
import { CommandExit, type CommandIo } from './output.ts'
import { readSettings } from './settings.ts'

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
      const applied = await migrate(database, { leaseMs: LEASE_MS }).catch(explain)
      io.out(applied === 0 ? 'The schema is up to date.\n' : `Applied: ${applied}.\n`)
    })
}
