/**
 * Redis as the nonce store and the nudge use it: one connection for commands, one for messages, to
 * a single server, to a primary behind sentinels, or one to each primary of a cluster.
 */
import type { Observer } from '../core/observer.ts'
import type { Log } from '../core/ports.ts'
import { type Channels, createChannels } from './channels.ts'
import { COMMAND_DEADLINE_MS, openConnections } from './connections.ts'
import { Servers } from './servers.ts'
import { parseRedisUrl, type RedisMode } from './url.ts'

export interface RedisClient {
  readonly servers: Servers
  readonly channels: Channels
  /** Ends connections at once; what is under way fails. */
  close(): void
}

export interface RedisClientOptions {
  /** As in url.ts. */
  readonly url: string
  readonly mode: RedisMode
  readonly log: Log
  readonly observer: Observer
  /** For one command, from sending to its reply. */
  readonly deadlineMs?: number
}

/** Connects in the background and for ever. Throws a RedisUrlError for a URL that cannot be meant. */
export function createRedis(options: RedisClientOptions): RedisClient {
  const { url, mode, log, observer, deadlineMs = COMMAND_DEADLINE_MS } = options
  const connections = openConnections(parseRedisUrl(url, mode), deadlineMs)
  const servers = new Servers(connections, { observer, log })
  const publisher = () => servers.anyPrimary()?.connection
  return {
    servers,
    channels: createChannels(connections.subscriber, publisher),
    close: () => {
      servers.close()
      connections.close()
    }
  }
}
