/** What the tests of the nonce stores and nudges have in common: ports as object literals. */
import type { Test } from 'tap'
import type { Observer } from '../../src/core/observer.ts'
import type { Clock, Log, NonceHistory, NonceStore } from '../../src/core/ports.ts'
import { createRedis, type RedisClient } from '../../src/redis/client.ts'
import { createNonceStore } from '../../src/redis/nonces.ts'
import type { RedisMode } from '../../src/redis/url.ts'
import { type RedisServer, until } from '../support/redis.ts'

/** Every test begins at this instant; ms. */
export const NOW = 1_800_000_000_000

export interface TestClock extends Clock {
  advance(ms: number): void
}

export function createClock(): TestClock {
  let nowMs = NOW
  return {
    nowMs: () => nowMs,
    wallMs: () => nowMs,
    isTrusted: () => true,
    advance: ms => void (nowMs += ms)
  }
}

export interface Recorder extends Observer {
  /** Sum of a counter over all label values that contain this text. */
  total(name: string, label?: string): number
  /** All values a gauge had, in order. */
  values(name: string): readonly number[]
}

export function createRecorder(): Recorder {
  const counts = new Map<string, number>()
  const gauges = new Map<string, number[]>()
  return {
    count: (name, labels = {}, by = 1) => {
      const key = [name, ...Object.values(labels)].join(' ')
      counts.set(key, (counts.get(key) ?? 0) + by)
    },
    measure: () => {},
    gauge: (name, value) => void gauges.set(name, [...(gauges.get(name) ?? []), value]),
    total: (name, label = '') =>
      [...counts]
        .filter(([key]) => key.startsWith(name) && key.includes(label))
        .reduce((sum, [, value]) => sum + value, 0),
    values: name => gauges.get(name) ?? []
  }
}

export interface TestLog extends Log {
  /** `error redis is not available`, and so on. */
  readonly lines: string[]
}

export function createLog(): TestLog {
  const lines: string[] = []
  const at = (level: string) => (message: string) => void lines.push(`${level} ${message}`)
  return { lines, info: at('info'), warn: at('warn'), error: at('error') }
}

/** As the database keeps it: one for all replicas. */
export function createHistory(wasUsed: boolean): NonceHistory {
  let isUsed = wasUsed
  return {
    wasEverUsed: async () => isUsed,
    noteUse: async () => void (isUsed = true)
  }
}

export interface OpenClient {
  readonly redis: RedisClient
  readonly observer: Recorder
  readonly log: TestLog
}

/** A busy machine is no fault of Redis; what is about deadlines has the product's own. */
const PATIENT_MS = 5000

export function openClient(
  t: Test,
  url: string,
  mode: RedisMode = 'single',
  deadlineMs = PATIENT_MS
): OpenClient {
  const observer = createRecorder()
  const log = createLog()
  const redis = createRedis({ url, mode, observer, log, deadlineMs })
  t.teardown(() => redis.close())
  return { redis, observer, log }
}

export async function openReadyClient(
  t: Test,
  url: string,
  mode?: RedisMode,
  deadlineMs?: number
): Promise<OpenClient> {
  const client = openClient(t, url, mode, deadlineMs)
  await until(() => client.redis.servers.isUp(), 'a connection to Redis')
  return client
}

export interface Replica extends OpenClient {
  readonly store: NonceStore
  readonly clock: TestClock
}

export interface ReplicaOptions {
  readonly history?: NonceHistory
  readonly clock?: TestClock
  readonly mode?: RedisMode
  /** Of NONCE_RECOVERY_MS, ms. */
  readonly recoveryMs?: number
  /** The product's own where a test is about it. */
  readonly deadlineMs?: number
}

/** What one gate has of Redis, connected. `url`, or the port of a server or proxy. */
export async function openReplica(
  t: Test,
  at: string | { readonly port: number },
  options: ReplicaOptions = {}
): Promise<Replica> {
  const url = typeof at === 'string' ? at : `redis://127.0.0.1:${at.port}`
  const client = await openReadyClient(t, url, options.mode, options.deadlineMs)
  return replicaOf(client, options)
}

export function replicaOf(client: OpenClient, options: ReplicaOptions = {}): Replica {
  const { clock = createClock(), history = createHistory(false), recoveryMs = 2000 } = options
  const { deadlineMs = PATIENT_MS } = options
  const { redis, observer, log } = client
  const { servers } = redis
  const store = createNonceStore({
    servers,
    clock,
    history,
    recoveryMs,
    observer,
    log,
    deadlineMs
  })
  return { ...client, clock, store }
}

/** Stops an append-only server and starts it with data that takes it two seconds to load. */
export async function restartSlowly(server: RedisServer): Promise<void> {
  await server.command('EVAL', "for i = 1, 4000 do redis.call('SET', 'key:' .. i, i) end", 0)
  await server.command('BGREWRITEAOF')
  await until(async () => (await server.info('aof_rewrite_in_progress')) === '0')
  await server.stop()
  // It answers after each 1 024 bytes, which are some 60 keys.
  const slowly = ['--key-load-delay', '500', '--loading-process-events-interval-bytes', '1024']
  await server.start({ isReady: false, args: slowly })
}
