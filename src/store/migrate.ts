/**
 * The schema: numbered files, each applied once, in order, in one transaction under an advisory lock,
 * so that any number of replicas may start together. A database that is newer than this program is
 * refused: what it means is not known here.
 */
import { hash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Database, Run } from './database.ts'

export interface MigrateOptions {
  /** First value of the lease in the database, in ms. */
  readonly leaseMs: number
  /** Ends the wait for another migration, and this one. */
  readonly signal?: AbortSignal
}

export class SchemaTooNew extends Error {
  override readonly name = 'SchemaTooNew'

  constructor(found: number, known: number) {
    super(
      `the database schema has version ${found}, and this program knows ${known} at most: use a newer one`
    )
  }
}

export class SchemaChanged extends Error {
  override readonly name = 'SchemaChanged'

  constructor(file: string) {
    super(`${file} is not what was applied to this database: the files do not belong together`)
  }
}

export type SchemaState = 'current' | 'old'

interface Migration {
  readonly version: number
  readonly file: string
  readonly text: string
  readonly checksum: string
}

const FOLDER = join(import.meta.dirname, 'migrations')
/** Another replica may be at it, and a change of a large table takes its time. */
const MIGRATION_MS = 600_000
/** Any number will do that nobody else locks: "tollgate" as ASCII, cut to 63 bits. */
const LOCK = '8390044758044271717'

/**
 * Brings the schema up to date and gives how many files that took. Throws SchemaTooNew, SchemaChanged
 * and Fault TOKEN_STORE_UNAVAILABLE; nothing is half done then.
 */
export async function migrate(database: Database, options: MigrateOptions): Promise<number> {
  const { leaseMs, signal } = options
  const migrations = readMigrations()
  return database.session(async run => {
    // What was applied is looked at after the lock, not as of the moment the wait for it began.
    await run('BEGIN ISOLATION LEVEL READ COMMITTED')
    await run(`SELECT pg_advisory_xact_lock(${LOCK})`, [], MIGRATION_MS)
    await run(`CREATE TABLE IF NOT EXISTS tg_migration (version int PRIMARY KEY, file text NOT NULL,
      checksum text NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp())`)
    const missing = findMissing(migrations, await readApplied(run))
    for (const { version, file, text, checksum } of missing) {
      await run(text, undefined, MIGRATION_MS)
      const values = [version, file, checksum]
      await run('INSERT INTO tg_migration (version, file, checksum) VALUES ($1, $2, $3)', values)
    }
    await run('INSERT INTO tg_epoch (lease_ms, wait_ms) VALUES ($1, $1) ON CONFLICT DO NOTHING', [
      leaseMs
    ])
    await run('COMMIT')
    return missing.length
  }, signal)
}

/** `old`: `migrate` has something to do. Throws what `migrate` throws. */
export async function schemaState(database: Database, signal?: AbortSignal): Promise<SchemaState> {
  return database.session(async run => {
    const [row] = await run(`SELECT to_regclass('tg_migration') IS NOT NULL AS is_there`)
    if (row?.['is_there'] !== true) return 'old'
    return findMissing(readMigrations(), await readApplied(run)).length > 0 ? 'old' : 'current'
  }, signal)
}

function readMigrations(): readonly Migration[] {
  return readdirSync(FOLDER)
    .filter(file => /^\d{4}_\w+\.sql$/.test(file))
    .toSorted()
    .map(file => {
      const text = readFileSync(join(FOLDER, file), 'utf8')
      return { version: Number(file.slice(0, 4)), file, text, checksum: hash('sha256', text) }
    })
}

async function readApplied(run: Run): Promise<ReadonlyMap<number, unknown>> {
  const rows = await run('SELECT version, checksum FROM tg_migration')
  return new Map(rows.map(row => [Number(row['version']), row['checksum']]))
}

function findMissing(
  migrations: readonly Migration[],
  applied: ReadonlyMap<number, unknown>
): readonly Migration[] {
  const newest = Math.max(0, ...applied.keys())
  const known = Math.max(0, ...migrations.map(({ version }) => version))
  if (newest > known) throw new SchemaTooNew(newest, known)
  const changed = migrations.find(
    ({ version, checksum }) => applied.has(version) && applied.get(version) !== checksum
  )
  if (changed) throw new SchemaChanged(changed.file)
  return migrations.filter(({ version }) => !applied.has(version))
}
