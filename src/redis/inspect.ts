/** What `doctor` asks of each Redis primary: facts alone. It leaves one key for a second. */
import { randomUUID } from 'node:crypto'
import type { Redis } from 'ioredis'
import { nonceKey } from '../core/nonce.ts'
import { type Connections, openConnections } from './connections.ts'
import { parseRedisUrl, type RedisMode } from './url.ts'

export interface RedisFacts {
  /** `host:port`. */
  readonly address: string
  readonly role: string
  readonly isLoading: boolean
  /** `noeviction`, or what may take nonces away. */
  readonly evictionPolicy: string
  readonly hasAppendOnlyFile: boolean
  /** When snapshots are taken; undefined: this user may not know. */
  readonly snapshots: string | undefined
  readonly clients: number
  /** 0: an old server does not tell. */
  readonly maxClients: number
  /** Its clock minus this machine's, in ms. */
  readonly offsetMs: number
  readonly roundTripMs: number
  /** What the server said to a nonce, or undefined: it took it. */
  readonly refusal: string | undefined
}

export interface InspectRedisOptions {
  readonly url: string
  readonly mode: RedisMode
  readonly nowMs: () => number
  /** Ends the wait for a connection. */
  readonly signal: AbortSignal
}

const COMMAND_MS = 1000
const LOOK_AGAIN_MS = 20
const KEY_TTL_MS = 1000

/** Throws RedisUrlError, and what the driver said where no connection could be had. */
export async function inspectRedis(options: InspectRedisOptions): Promise<readonly RedisFacts[]> {
  const connections = openConnections(parseRedisUrl(options.url, options.mode), COMMAND_MS)
  try {
    const primaries = await connected(connections, options.signal)
    return await Promise.all(primaries.map(primary => inspectPrimary(primary, options.nowMs)))
  } finally {
    connections.close()
  }
}

async function connected(connections: Connections, signal: AbortSignal): Promise<readonly Redis[]> {
  let last: Error | undefined
  connections.onError(cause => (last = cause))
  for (;;) {
    const primaries = connections.primaries()
    // A connection of a cluster opens when it is asked for the first time.
    const isReady = primaries.every(({ status }) => status === 'ready' || status === 'wait')
    if (isReady && primaries.length > 0 && connections.isComplete()) return primaries
    if (signal.aborted) throw last ?? new Error('no connection in time')
    await new Promise(resolve => setTimeout(resolve, LOOK_AGAIN_MS))
  }
}

async function inspectPrimary(redis: Redis, nowMs: () => number): Promise<RedisFacts> {
  const startedMs = performance.now()
  const info = await redis.info()
  const roundTripMs = performance.now() - startedMs
  const field = (name: string) => new RegExp(`^${name}:(.*?)\r?$`, 'm').exec(info)?.[1] ?? ''
  const isLoading = field('loading') === '1'
  return {
    address: `${redis.options.host}:${redis.options.port}`,
    role: field('role'),
    isLoading,
    evictionPolicy: field('maxmemory_policy'),
    hasAppendOnlyFile: field('aof_enabled') === '1',
    snapshots: await snapshotsOf(redis),
    clients: Number(field('connected_clients')),
    maxClients: Number(field('maxclients')),
    offsetMs: isLoading ? 0 : await offsetOf(redis, nowMs),
    roundTripMs,
    refusal: await tryClaim(redis)
  }
}

async function snapshotsOf(redis: Redis): Promise<string | undefined> {
  const answer: unknown = await redis.config('GET', 'save').catch(() => undefined)
  const value: unknown = Array.isArray(answer) ? answer[1] : undefined
  return typeof value === 'string' ? value : undefined
}

async function offsetOf(redis: Redis, nowMs: () => number): Promise<number> {
  const sentMs = nowMs()
  const [seconds, microseconds] = await redis.time()
  return Number(seconds) * 1000 + Number(microseconds) / 1000 - (sentMs + nowMs()) / 2
}

/** As a nonce is claimed, with a key that is none of anybody's. */
async function tryClaim(redis: Redis): Promise<string | undefined> {
  try {
    const { key } = nonceKey(randomUUID(), 'doctor')
    const said = await redis.set(key, '1', 'PX', KEY_TTL_MS, 'NX')
    return said === 'OK' ? undefined : 'a new key was there already'
  } catch (thrown) {
    return thrown instanceof Error ? thrown.message : String(thrown)
  }
}
