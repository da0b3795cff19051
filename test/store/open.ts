/** A database of its own for a test, as a replica opens it. */
import type { Test } from 'tap'
import { createEpochStore } from '../../src/store/epochs.ts'
import { createTokenStore } from '../../src/store/tokens.ts'
import { openTestDatabase, type PostgresServer } from '../support/postgres.ts'

export async function openNew(t: Test, server: PostgresServer, isEmpty = false) {
  const created = await server.createDatabase({ isEmpty })
  return {
    url: created.url,
    /** As an operator would do it, on a connection of its own. */
    sql: (text: string, values?: readonly unknown[]) => created.sql(text, values),
    ...openReplica(t, created.url)
  }
}

export function openReplica(t: Test, url: string) {
  const database = openTestDatabase(url)
  t.teardown(() => database[Symbol.asyncDispose]())
  return { database, store: createTokenStore(database), epochs: createEpochStore(database) }
}

export async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 10_000
  while (!(await isSo())) {
    if (performance.now() > deadline) throw new Error('it did not come')
    await new Promise(resolve => setTimeout(resolve, 10))
  }
}
