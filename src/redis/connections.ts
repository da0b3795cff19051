/**
 * The connections of ioredis, with one face for a single server, a primary behind sentinels and a
 * cluster. Nothing is queued while disconnected, nothing is sent twice: a claim that was written
 * and then sent again would find its own nonce used.
 */
import { Cluster, Redis, type RedisOptions } from 'ioredis'
import type { Subscriber } from './channels.ts'
import { slotOf } from './slot.ts'
import type { RedisTarget } from './url.ts'

export interface Connections {
  /** A connection to each primary that is known; some may not be usable now. */
  primaries(): readonly Redis[]
  /** Whether every key has a primary among them. */
  isComplete(): boolean
  /** The connection to the primary that has this key. */
  primaryOf(key: string): Redis | undefined
  /** Looks again where everything is; resolves when that is known, or cannot be. */
  refresh(): Promise<void>
  /** Connects anew where that may lead to another server. */
  reconnect(): void
  readonly subscriber: Subscriber
  /** Makes a dead connection of the subscriber show: it owes nothing, so its silence says nothing. */
  probeSubscriber(): void
  onError(listener: (cause: Error) => void): void
  onOpen(listener: () => void): void
  onClose(listener: (connection: Redis) => void): void
  close(): void
}

/** For one command, from sending to its reply. Redis answers in well under 1 ms or is in trouble. */
export const COMMAND_DEADLINE_MS = 250
const CONNECT_DEADLINE_MS = 1000
/** A connection that owes a reply for so long is dead, or as good as. */
const SILENCE_LIMIT_MS = 1000
const RECONNECT_MIN_MS = 50
const RECONNECT_MAX_MS = 2000

/** Doubling, with full jitter: replicas that lost the same server do not come back as one. */
function reconnectDelayMs(attempt: number): number {
  const ceilingMs = Math.min(RECONNECT_MAX_MS, RECONNECT_MIN_MS * 2 ** attempt)
  return Math.max(RECONNECT_MIN_MS, Math.random() * ceilingMs)
}

export function openConnections(target: RedisTarget, deadlineMs: number): Connections {
  return target.mode === 'cluster'
    ? openCluster(target, deadlineMs)
    : openPrimary(target, deadlineMs)
}

function commonOptions({ hasTls, username, password }: RedisTarget, deadlineMs: number) {
  return {
    username,
    password,
    ...(hasTls ? { tls: {} } : {}),
    protocol: 2 as const,
    disableClientInfo: true,
    connectTimeout: CONNECT_DEADLINE_MS,
    commandTimeout: deadlineMs,
    socketTimeout: SILENCE_LIMIT_MS,
    disconnectTimeout: 100,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false
  } satisfies RedisOptions
}

function openPrimary(target: RedisTarget, deadlineMs: number): Connections {
  const options = {
    ...commonOptions(target, deadlineMs),
    ...(target.mode === 'sentinel' ? sentinelOptions(target) : target.addresses[0]),
    db: target.database,
    enableOfflineQueue: false,
    // Behind sentinels this makes sure of a primary. Else our own look at INFO says more.
    enableReadyCheck: target.mode === 'sentinel',
    retryStrategy: reconnectDelayMs
  } satisfies RedisOptions
  const commands = new Redis(options)
  const subscriber = new Redis(options)
  // Its failures cost time only, and go with those of the other connection.
  subscriber.on('error', () => {})
  return {
    primaries: () => [commands],
    isComplete: () => true,
    primaryOf: () => commands,
    refresh: () => Promise.resolve(),
    reconnect: () => {
      if (commands.status === 'ready') commands.disconnect(true)
    },
    subscriber,
    probeSubscriber: () => {
      if (subscriber.status === 'ready') subscriber.ping().catch(() => {})
    },
    onError: listener => void commands.on('error', listener),
    onOpen: listener => void commands.on('ready', listener),
    onClose: listener => void commands.on('close', () => listener(commands)),
    close: () => {
      commands.disconnect()
      subscriber.disconnect()
    }
  }
}

function sentinelOptions(target: RedisTarget) {
  const { addresses, primaryName, hasTls, sentinelUsername, sentinelPassword } = target
  return {
    sentinels: [...addresses],
    name: primaryName,
    sentinelUsername,
    sentinelPassword,
    sentinelCommandTimeout: CONNECT_DEADLINE_MS,
    sentinelRetryStrategy: reconnectDelayMs,
    ...(hasTls ? { enableTLSForSentinelMode: true, sentinelTLS: {} } : {})
  } satisfies RedisOptions
}

/** The pool and the map of slots are the driver's; commands go to a node's connection directly. */
function openCluster(target: RedisTarget, deadlineMs: number): Connections {
  const cluster = new Cluster([...target.addresses], {
    enableOfflineQueue: false,
    enableReadyCheck: false,
    clusterRetryStrategy: reconnectDelayMs,
    retryDelayOnFailover: 0,
    slotsRefreshTimeout: CONNECT_DEADLINE_MS,
    slotsRefreshInterval: 5000,
    // Names are resolved when connecting: certificates bear names, and addresses change.
    dnsLookup: (name, done) => done(null, name),
    redisOptions: {
      ...commonOptions(target, deadlineMs),
      enableReadyCheck: false
    }
  })
  const primaries = () => cluster.nodes('master')
  const nodeOf = (address: string | undefined) =>
    primaries().find(({ options: { host, port } }) => `${host}:${port}` === address)
  return {
    primaries,
    isComplete: () => {
      const owners = new Set(cluster.slots.map(([address]) => address))
      return owners.size > 0 && [...owners].every(nodeOf)
    },
    primaryOf: key => nodeOf(cluster.slots[slotOf(key)]?.[0]),
    refresh: () => new Promise(resolve => cluster.refreshSlotsCache(() => resolve())),
    // A node that lost its connection leaves the pool; refreshing brings it back.
    reconnect: () => {},
    subscriber: cluster,
    // The driver keeps this connection to itself, and replaces it when its node goes.
    probeSubscriber: () => {},
    onError: listener => {
      cluster.on('error', listener)
      cluster.on('node error', listener)
    },
    onOpen: listener => void cluster.on('+node', listener),
    onClose: listener => {
      cluster.on('+node', (node: Redis) => void node.on('close', () => listener(node)))
    },
    close: () => cluster.disconnect()
  }
}
