/**
 * Redis, asked who it is before it is believed. Each server has a run id, new at each start, and a
 * replication id, new at each promotion. Both are read on every new connection before its use, then
 * once a second: whoever keeps data there can tell by them that it may have been lost.
 *
 * The same look is the circuit breaker: no connection, or no good answer to the last look, and
 * nothing is sent. Only primaries are used.
 * Source: INFO, sections Server, Persistence and Replication, of the Redis command reference.
 */
import type { Redis } from 'ioredis'
import type { Observer } from '../core/observer.ts'
import type { Log } from '../core/ports.ts'
import type { Connections } from './connections.ts'
import { reasonOf, RedisDown, type RedisReason } from './errors.ts'

/** One server over one connection. A new connection or another identity is another object. */
export interface Primary {
  /** `run_id-master_replid`. */
  readonly server: string
  readonly connection: Redis
}

const LOOK_EVERY_MS = 1000

export class Servers {
  readonly #connections: Connections
  readonly #observer: Observer
  readonly #log: Log
  readonly #primaries = new Map<Redis, Primary>()
  readonly #listeners: (() => void)[] = []
  readonly #timer: NodeJS.Timeout
  #reason: RedisReason = 'reset'
  #cause: unknown
  /** Undefined: not known yet. */
  #isUp: boolean | undefined
  #isClosed = false
  #isSuspecting = false
  #asking: Promise<void> | undefined

  constructor(connections: Connections, { observer, log }: { observer: Observer; log: Log }) {
    this.#connections = connections
    this.#observer = observer
    this.#log = log
    observer.gauge('store_up', 0, { store: 'redis' })
    connections.onError(cause => this.#blame(cause))
    connections.onOpen(() => void this.#look())
    connections.onClose(connection => {
      // Without an error before it, it was closed by the other side.
      if (this.#primaries.has(connection)) this.#blame(new RedisDown('reset'))
      this.#drop(connection)
    })
    this.#timer = setInterval(() => void this.#lookAround(), LOOK_EVERY_MS)
  }

  /** Every primary can be asked now. */
  isUp(): boolean {
    return this.#isUp === true
  }

  /** Throws RedisDown. */
  primaryOf(key: string): Primary {
    const connection = this.#connections.primaryOf(key)
    const primary = connection?.status === 'ready' ? this.#primaries.get(connection) : undefined
    if (!primary) throw new RedisDown(this.#reason)
    return primary
  }

  anyPrimary(): Primary | undefined {
    return this.#primaries.values().next().value
  }

  /** Asks every primary anew. Never rejects: who gives no good answer is not a primary. */
  async identify(): Promise<void> {
    // A round that began earlier may have read what has changed since.
    while (this.#asking) await this.#asking
    const rounds = this.#connections.primaries().map(connection => this.#ask(connection))
    this.#asking = Promise.all(rounds).then(() => this.#tellHealth())
    await this.#asking
    this.#asking = undefined
  }

  /** Called after each look: on a new connection, and once a second. It must not throw. */
  onLook(listener: () => void): void {
    this.#listeners.push(listener)
  }

  /** An answer was of a kind that only the wrong server gives: look now, not within a second. */
  suspect(): void {
    if (this.#isSuspecting) return
    this.#isSuspecting = true
    void this.#connections
      .refresh()
      .then(() => this.#look())
      .finally(() => (this.#isSuspecting = false))
  }

  close(): void {
    this.#isClosed = true
    clearInterval(this.#timer)
  }

  async #look(): Promise<void> {
    await this.identify()
    for (const listener of this.#listeners) listener()
  }

  async #lookAround(): Promise<void> {
    if (!this.#isUp) {
      // A name or address that leads to a replica may lead elsewhere by now.
      if (this.#reason === 'readonly') this.#connections.reconnect()
      await this.#connections.refresh()
    }
    this.#connections.probeSubscriber()
    await this.#look()
  }

  async #ask(connection: Redis): Promise<void> {
    // A connection of a cluster opens when it is asked for the first time.
    if (connection.status !== 'ready' && connection.status !== 'wait') {
      this.#primaries.delete(connection)
      return
    }
    try {
      // Twice: a pause of this process looks like silence of the server.
      const server = serverOf(await connection.info().catch(() => connection.info()))
      if (this.#primaries.get(connection)?.server === server) return
      this.#primaries.set(connection, { server, connection })
    } catch (cause) {
      this.#blame(cause)
      this.#drop(connection)
    }
  }

  #blame(cause: unknown): void {
    this.#reason = reasonOf(cause)
    this.#cause = cause
  }

  #drop(connection: Redis): void {
    this.#primaries.delete(connection)
    this.#tellHealth()
  }

  #tellHealth(): void {
    const connections = this.#connections
    const isUp =
      connections.isComplete() && connections.primaries().every(each => this.#primaries.has(each))
    if (isUp === this.#isUp || this.#isClosed) return
    this.#isUp = isUp
    this.#observer.gauge('store_up', isUp ? 1 : 0, { store: 'redis' })
    if (isUp) this.#log.info('redis is available')
    else this.#log.error('redis is not available', { reason: this.#reason, cause: this.#cause })
  }
}

/** Throws RedisDown for a server that cannot take a write. */
function serverOf(info: string): string {
  const field = (name: string) => new RegExp(`^${name}:(.*?)\r?$`, 'm').exec(info)?.[1] ?? ''
  if (field('loading') === '1') throw new RedisDown('loading')
  if (field('role') !== 'master') throw new RedisDown('readonly')
  return `${field('run_id')}-${field('master_replid')}`
}
