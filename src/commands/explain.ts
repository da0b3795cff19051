/** What an operator can mend, as a sentence and an exit code. */
import { CaFileUnreadable } from '../core/rule.ts'
import { EmbeddedInUse } from '../embedded/folder-lock.ts'
import { RedisUrlError } from '../redis/url.ts'
import { SchemaChanged, SchemaTooNew } from '../store/migrate.ts'
import { CommandExit } from './output.ts'

/** Throws what was thrown, as a CommandExit where there is something to mend. */
export function explain(thrown: unknown): never {
  if (thrown instanceof EmbeddedInUse) throw new CommandExit(3, thrown.message, thrown)
  if (
    thrown instanceof SchemaTooNew ||
    thrown instanceof SchemaChanged ||
    thrown instanceof CaFileUnreadable
  ) {
    throw new CommandExit(2, thrown.message, thrown)
  }
  if (thrown instanceof RedisUrlError) {
    throw new CommandExit(2, `REDIS_URL: ${thrown.message}`, thrown)
  }
  throw thrown
}
