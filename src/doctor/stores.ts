/** Postgres, Redis and the clocks: is what the gate relies on so, and what to do where it is not. */
import { NO_OBSERVER } from '../core/observer.ts'
import { inspectRedis, type RedisFacts } from '../redis/inspect.ts'
import { type RedisMode, RedisUrlError } from '../redis/url.ts'
import { openDatabase } from '../store/database.ts'
import { type DatabaseFacts, inspectDatabase } from '../store/inspect.ts'
import { type Check, fail, type Finding, ok, reasonOf, skip, unreachable, warn } from './check.ts'

export interface StoresSettings {
  readonly databaseUrl: string | undefined
  readonly redisUrl: string | undefined
  readonly redisMode: RedisMode
}

const SLOW_MS = 20
/** Share of a server's connections that may be taken before it is told. */
const NEAR = 0.9
const CLOCK_WARN_MS = 1000
const CLOCK_FAIL_MS = 5000
const INSPECT_MS = 2500

/** The stores are asked once, for their own check and for that of the clocks. */
export function storeChecks(settings: StoresSettings): readonly Check[] {
  const { databaseUrl, redisUrl, redisMode } = settings
  const postgres = databaseUrl === undefined ? undefined : askDatabase(databaseUrl)
  const redis = redisUrl === undefined ? undefined : askRedis(redisUrl, redisMode)
  return [
    {
      name: 'postgres',
      run: async () => (postgres ? judgeDatabase(await postgres) : notSet('DATABASE_URL'))
    },
    {
      name: 'redis',
      run: () => (redis ? judgeServers(redis) : Promise.resolve(notSet('REDIS_URL')))
    },
    {
      name: 'clocks',
      async run() {
        const offsets: [string, number][] = []
        const reached = await Promise.allSettled([postgres, redis])
        const [database, servers] = reached.map(each => each.status === 'fulfilled' && each.value)
        if (database && 'offsetMs' in database) offsets.push(['postgres', database.offsetMs])
        if (servers && !('offsetMs' in servers)) {
          for (const { address, offsetMs } of servers) offsets.push([`redis ${address}`, offsetMs])
        }
        return offsets.length === 0
          ? [skip('no other clock to compare with')]
          : judgeClocks(offsets)
      }
    }
  ]
}

function notSet(name: string): readonly Finding[] {
  return [skip(`${name} is not set`)]
}

async function askDatabase(url: string): Promise<DatabaseFacts> {
  await using database = openDatabase({
    connection: { connectionString: url },
    observer: NO_OBSERVER
  })
  return await inspectDatabase(database, Date.now)
}

function askRedis(url: string, mode: RedisMode): Promise<readonly RedisFacts[]> {
  return inspectRedis({ url, mode, nowMs: Date.now, signal: AbortSignal.timeout(INSPECT_MS) })
}

const SCHEMA = {
  old: 'the schema is old: run `tollgate migrate`',
  newer: 'the schema is newer than this program: use a newer one',
  changed: 'the schema is not what this program applied: they do not belong together'
}

function judgeDatabase(facts: DatabaseFacts): readonly Finding[] {
  const { roundTripMs, schema, gate, connectionsLeft } = facts
  const found: Finding[] = []
  if (facts.isStandby) found.push(fail('it is a standby: DATABASE_URL must lead to the primary'))
  if (schema !== 'current') found.push(fail(SCHEMA[schema]))
  if (gate && gate.missingRights.length > 0) {
    found.push(fail(`this user lacks ${gate.missingRights.join(', ')}: GRANT them`))
  } else if (gate) found.push(...judgeLease(gate.leaseMs, gate.waitMs))
  if (!facts.isCommitSynchronous) {
    found.push(fail('synchronous_commit is off: a revocation could be lost; set it to on'))
  }
  if (roundTripMs > SLOW_MS) {
    found.push(warn(`a round trip takes ${Math.round(roundTripMs)} ms: is it in this region?`))
  }
  const needed = 2 * (gate?.replicas ?? 0)
  if (connectionsLeft < needed) {
    found.push(
      warn(
        `${connectionsLeft} connections are left, ${needed} may be needed: raise max_connections, or put a pooler in transaction mode in front`
      )
    )
  }
  if (found.length > 0) return found
  const replicas = gate?.replicas ?? 0
  return [
    ok(
      `primary, schema current, ${roundTripMs.toFixed(1)} ms away; lease ${gate?.leaseMs} ms, ${replicas} ${replicas === 1 ? 'replica' : 'replicas'}`
    )
  ]
}

function judgeLease(leaseMs: number, waitMs: number): readonly Finding[] {
  if (leaseMs === waitMs) return []
  const pauseMs = Math.ceil(waitMs * 1.01 + 500)
  return [
    fail(
      `lease_ms is ${leaseMs} and wait_ms ${waitMs}: lowering the lease is not finished. Once ${pauseMs} ms have passed since, UPDATE tg_epoch SET wait_ms = lease_ms`
    )
  ]
}

/** A URL that cannot be meant is a finding; its message repeats nothing of it. */
async function judgeServers(servers: Promise<readonly RedisFacts[]>): Promise<readonly Finding[]> {
  try {
    return (await servers).flatMap(judgeRedis)
  } catch (thrown) {
    if (thrown instanceof RedisUrlError) return [fail(`REDIS_URL: ${thrown.message}`)]
    throw thrown
  }
}

function judgeRedis(facts: RedisFacts): readonly Finding[] {
  const { address, evictionPolicy, refusal, clients, maxClients } = facts
  const found: Finding[] = []
  const add = (finding: Finding) =>
    found.push({ ...finding, message: `${address}: ${finding.message}` })
  if (facts.isLoading) add(unreachable('it is loading its data: wait for it'))
  else if (facts.role !== 'master') {
    add(
      fail(
        `it is a ${facts.role || 'server of no role'}, which takes no nonces: lead REDIS_URL to the primary`
      )
    )
  } else if (refusal !== undefined) {
    add(fail(`it does not take a nonce: ${reasonOf(new Error(refusal))}`))
  }
  if (evictionPolicy !== 'noeviction') {
    add(fail(`maxmemory-policy is ${evictionPolicy}: nonces could be evicted; set noeviction`))
  }
  if (!facts.hasAppendOnlyFile && facts.snapshots === '') {
    add(warn('nothing is persisted: each restart makes signed requests wait; set appendonly yes'))
  }
  if (maxClients > 0 && clients > maxClients * NEAR) {
    add(warn(`${clients} of ${maxClients} clients are connected: raise maxclients`))
  }
  if (found.length > 0) return found
  return [ok(`${address}: primary, takes nonces, ${facts.roundTripMs.toFixed(1)} ms away`)]
}

function judgeClocks(offsets: readonly (readonly [string, number])[]): readonly Finding[] {
  const clocks = [['this machine', 0] as const, ...offsets]
  const sorted = clocks.toSorted(([, a], [, b]) => a - b)
  const [slowest = clocks[0], fastest = slowest] = [sorted[0], sorted.at(-1)]
  if (!slowest || !fastest) return []
  const differenceMs = fastest[1] - slowest[1]
  const text = `${fastest[0]} is ${(differenceMs / 1000).toFixed(1)} s ahead of ${slowest[0]}`
  if (differenceMs > CLOCK_FAIL_MS) return [fail(`${text}: mend the time service`)]
  if (differenceMs > CLOCK_WARN_MS) return [warn(`${text}: look at the time service`)]
  return [ok(`all within ${Math.ceil(differenceMs)} ms`)]
}
