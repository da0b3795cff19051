/** Gates as processes, against a real Postgres, a real Redis and a recording upstream. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type GateProcess, startGate } from './gate.ts'
import { type PostgresServer, startPostgres, type TestDatabase } from './postgres.ts'
import { type RedisServer, startRedis } from './redis.ts'
import { type RecordingUpstream, startUpstream, type UpstreamOptions } from './upstream.ts'

interface Teardown {
  teardown(release: () => unknown): void
}

export interface Fleet {
  readonly gates: readonly GateProcess[]
  readonly upstream: RecordingUpstream
  readonly postgres: PostgresServer
  readonly database: TestDatabase
  readonly redis: RedisServer
  /** One more, or one with other settings. */
  startGate(env?: Readonly<Record<string, string>>): Promise<GateProcess>
}

export interface FleetOptions {
  readonly gates?: number
  readonly env?: Readonly<Record<string, string>>
  readonly upstream?: UpstreamOptions
}

/** All of it ends with the test. */
export async function startFleet(t: Teardown, options: FleetOptions = {}): Promise<Fleet> {
  const { gates: count = 1, env = {} } = options
  const [postgres, redis, upstream] = await Promise.all([
    startPostgres(t),
    startRedis(t),
    startUpstream(options.upstream)
  ])
  t.teardown(() => upstream.close())
  const database = await postgres.createDatabase()
  // Nothing embedded is wanted, and a folder of its own would show if it were.
  const folder = mkdtempSync(join(tmpdir(), 'tollgate-gate-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const start = async (more: Readonly<Record<string, string>> = {}) => {
    const gate = await startGate({
      cwd: folder,
      env: {
        ROUTES_FILE: join(import.meta.dirname, '../../config/routes.yaml'),
        DATABASE_URL: database.url,
        REDIS_URL: redis.url,
        UPSTREAM_URL: upstream.url,
        SHUTDOWN_GRACE_MS: '1000',
        ...env,
        ...more
      }
    })
    t.teardown(() => gate.stop('SIGKILL'))
    return gate
  }
  const gates = await Promise.all(Array.from({ length: count }, () => start()))
  return { gates, upstream, postgres, database, redis, startGate: start }
}

/** A fleet of one. */
export async function sharedGate(t: Teardown) {
  const { gates, upstream } = await startFleet(t)
  const [gate] = gates
  if (!gate) throw new Error('no gate')
  return { gate, upstream }
}
