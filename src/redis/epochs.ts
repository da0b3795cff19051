/**
 * Since when each bucket of nonces is known to be complete, and on which server.
 *
 * All marks are looked at together: nonces are spread over all buckets, so a client that signs again
 * lands in another one, and a bucket noticed late would make it wait again.
 */
import { NONCE_MARKS } from '../core/nonce.ts'
import type { Observer } from '../core/observer.ts'
import type { Clock, Log, NonceHistory } from '../core/ports.ts'
import { RedisDown } from './errors.ts'
import { bornBy, markText } from './marks.ts'
import type { Primary, Servers } from './servers.ts'

export interface Epoch {
  readonly primary: Primary
  /** The mark as it stands there. */
  readonly text: string
  /** Nothing claimed since then was lost, by the database's clock; 0: nothing ever was. */
  readonly bornMs: number
  /** When this process was seen to change servers: what the other one learnt is not here. */
  readonly floorMs: number
}

export interface EpochsOptions {
  readonly servers: Servers
  readonly clock: Clock
  readonly history: NonceHistory
  readonly observer: Observer
  readonly log: Log
}

/** A mark as read; null: there is none. */
interface Seen {
  readonly mark: string
  readonly primary: Primary
  readonly text: string | null
}

export class Epochs {
  readonly #options: EpochsOptions
  readonly #known = new Map<string, Epoch>()
  #settling: Promise<void> | undefined
  #hasNoted = false
  #turn = 0

  constructor(options: EpochsOptions) {
    this.#options = options
    options.servers.onLook(() => void this.#checkOne())
  }

  /** Undefined: not known for the server that has this bucket now. Throws RedisDown. */
  current(mark: string): Epoch | undefined {
    const primary = this.#options.servers.primaryOf(mark)
    const epoch = this.#known.get(mark)
    return epoch?.primary === primary ? epoch : undefined
  }

  /** Looks at all marks, writes those that are wanting, and gives this one. One look at a time. */
  async settle(mark: string): Promise<Epoch> {
    this.#settling ??= this.#settleAll().finally(() => (this.#settling = undefined))
    await this.#settling
    const epoch = this.current(mark)
    if (!epoch) throw new RedisDown('other')
    return epoch
  }

  async #settleAll(): Promise<void> {
    const { servers, history } = this.#options
    await servers.identify()
    let seen = await this.#readAll()
    const wanting = seen.filter(({ text, primary }) => bornBy(text, primary.server) === undefined)
    if (wanting.length > 0) {
      await this.#write(wanting)
      seen = await this.#readAll()
    }
    // Before the first claim of this process, and after the marks that depend on it.
    if (!this.#hasNoted) await history.noteUse()
    this.#hasNoted = true
    for (const each of seen) this.#adopt(each)
  }

  /** Those that can be read; rejects when none can. */
  async #readAll(): Promise<readonly Seen[]> {
    const { servers } = this.#options
    const reads = await Promise.allSettled(
      NONCE_MARKS.map(async mark => {
        const primary = servers.primaryOf(mark)
        return { mark, primary, text: await primary.connection.get(mark) }
      })
    )
    const seen = reads.flatMap(read => (read.status === 'fulfilled' ? [read.value] : []))
    const [failed] = reads.flatMap(read => (read.status === 'rejected' ? [read] : []))
    if (failed && seen.length === 0) throw failed.reason
    return seen
  }

  async #write(wanting: readonly Seen[]): Promise<void> {
    const { history, clock, observer, log } = this.#options
    const hasMissing = wanting.some(({ text }) => text === null)
    const isFirstUse = hasMissing && !(await history.wasEverUsed())
    const nowMs = clock.nowMs()
    await Promise.all(
      wanting.map(({ mark, primary: { connection, server }, text }) => {
        // Who comes second must not move a mark that was just set: it would delay everybody again.
        if (text === null)
          return connection.set(mark, markText(isFirstUse ? 0 : nowMs, server), 'NX')
        return connection.set(mark, markText(nowMs, server))
      })
    )
    const causes = [
      ...(hasMissing && !isFirstUse ? ['missing'] : []),
      ...(wanting.some(({ text }) => text !== null) ? ['server'] : [])
    ]
    for (const cause of causes) {
      observer.count('nonce_epoch_changes_total', { cause })
      log.warn('the nonce store may have forgotten', { cause })
    }
  }

  #adopt({ mark, primary, text }: Seen): void {
    const nowMs = this.#options.clock.nowMs()
    const bornMs = bornBy(text, primary.server)
    // Another replica is just writing it; claims look again.
    if (text === null || bornMs === undefined) return
    const before = this.#known.get(mark)
    const hasMoved = before !== undefined && before.primary.server !== primary.server
    const floorMs = hasMoved ? nowMs : (before?.floorMs ?? 0)
    // A mark was written in the past, whatever the clock of its writer said.
    const epoch = { primary, text, bornMs: Math.max(Math.min(bornMs, nowMs), floorMs), floorMs }
    this.#known.set(mark, epoch)
  }

  /** One mark at each look, in turn: a flush shows before the next client finds it. */
  async #checkOne(): Promise<void> {
    const mark = NONCE_MARKS[this.#turn++ % NONCE_MARKS.length]
    if (mark === undefined || this.#known.size === 0) return
    try {
      const epoch = this.current(mark)
      const text = await epoch?.primary.connection.get(mark)
      if (epoch === undefined || text !== epoch.text) await this.settle(mark)
    } catch {
      // Not available: the next claim says so, and the next look tries again.
    }
  }
}
