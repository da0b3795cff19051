/**
 * Gates of the model: each runs the real revocation code on a machine of its own, decides requests
 * in the gate's order, and watches the promise: no accept and no byte of a stream for a token whose
 * DELETE was answered, no 401 for a token that is valid.
 */
import type {
  Acknowledgement,
  EpochStore,
  Nudge,
  NudgeMessage,
  Streams,
  TokenStore
} from '../../../src/core/ports.ts'
import type { TokenRow } from '../../../src/core/principal.ts'
import { digestToken, type TokenDigest } from '../../../src/core/token.ts'
import type { createRevocation, Revocation } from '../../../src/revocation/revocation.ts'
import type { Database, Machine, World } from './world.ts'

/** The protocol as it is, or with one rule of its surroundings left out. */
export interface Protocol {
  readonly create: typeof createRevocation
  /** A revoker reads the members before its COMMIT. */
  readonly readsMembersEarly?: boolean
  /** A DELETE of what is already revoked is answered at once. */
  readonly skipsRepeats?: boolean
}

/** What happened in one run. */
export interface Tally {
  accepted: number
  refused: number
  faults: number
  answered: number
  unconfirmed: number
  violation: string | undefined
}

export const NOBODY_SILENT: readonly string[] = []

export function tokenRow(name: string): TokenRow {
  return {
    id: `token-${name}`,
    digest: digestToken(name),
    preview: name,
    userId: 'user',
    orgId: null,
    name,
    scopes: [],
    repositories: null,
    requireSignature: false,
    createdAtMs: 0,
    lastUsedAtMs: null,
    expiresAtMs: null,
    revokedAtMs: null
  }
}

/** Redis: delivers to everybody, some time or never; and whoever got into it. */
export class Bus {
  readonly nudged: { machine: Machine; listener: (message: NudgeMessage) => void }[] = []
  readonly revokers = new Map<
    string,
    { machine: Machine; listener: (a: Acknowledgement) => void }
  >()
  /** An attacker: sees each message, and says whether it is delivered. */
  onAnnounce: (message: NudgeMessage) => boolean = () => true
  onAcknowledge: (replyTo: string, acknowledgement: Acknowledgement) => boolean = () => true
  delayMs: () => number
  #world: World

  constructor(world: World, delayMs: () => number) {
    this.#world = world
    this.delayMs = delayMs
  }

  nudge(message: NudgeMessage): void {
    for (const { machine, listener } of this.nudged) {
      if (machine.isDeaf) continue
      this.#world.after(this.delayMs(), 'nudge', machine, () => listener(message))
    }
  }

  acknowledge(replyTo: string, acknowledgement: Acknowledgement): void {
    const revoker = this.revokers.get(replyTo)
    if (!revoker) return
    const { machine, listener } = revoker
    this.#world.after(this.delayMs(), 'ack', machine, () => listener(acknowledgement))
  }

  portFor(machine: Machine): Nudge {
    return {
      announce: message => {
        if (!machine.isMute && this.onAnnounce(message)) this.nudge(message)
      },
      onNudge: listener => void this.nudged.push({ machine, listener }),
      acknowledge: (replyTo, given) => {
        if (!machine.isMute && this.onAcknowledge(replyTo, given)) this.acknowledge(replyTo, given)
      },
      onAcknowledgement: (replyTo, listener) => {
        this.revokers.set(replyTo, { machine, listener })
        return () => this.revokers.delete(replyTo)
      }
    }
  }
}

interface Stream {
  readonly digest: TokenDigest
  isOpen: boolean
  /** The look that it waits for. */
  pausedBy: object | undefined
}

export interface GateParts {
  readonly world: World
  readonly database: Database
  readonly bus: Bus
  readonly machine: Machine
  readonly protocol: Protocol
  readonly tally: Tally
  /** Tokens whose DELETE was answered. */
  readonly gone: Set<TokenDigest>
  /** Whom a look at the members takes for silent, rightly or not. */
  readonly silent: readonly string[]
  readonly onStatement: (statement: string, machine: Machine) => void
}

let serial = 0

/** One replica. */
export class Gate {
  readonly machine: Machine
  readonly revocation: Revocation
  #parts: GateParts
  #streams: Stream[] = []
  #earlyMembers: ReturnType<Database['members']> | undefined

  constructor(parts: GateParts) {
    this.#parts = parts
    this.machine = parts.machine
    const { machine, world, bus, protocol } = parts
    this.revocation = protocol.create({
      epochs: this.#epochs(),
      store: this.#store(),
      nudge: bus.portFor(machine),
      streams: this.#streamsPort(),
      clocks: machine.clocks,
      schedule: machine.schedule,
      observer: { count() {}, measure() {}, gauge() {} },
      log: { info() {}, warn() {}, error() {} },
      random: () => world.dice.roll(),
      randomUuid: () => `uuid-${(serial += 1)}`,
      randomBytes: bytes => new Uint8Array(bytes).fill(serial),
      cacheMaxTokens: 3
    })
  }

  /** What the gate and the sender do: decide, wait for something, look once more, send. */
  async request(digest: TokenDigest, parkMs = 0): Promise<void> {
    const { tally } = this.#parts
    const { tokens } = this.revocation
    for (let round = 0; round < 2; round++) {
      try {
        const entry = tokens.peek(digest) ?? (await tokens.find(digest))
        if (entry === 'unknown' || entry.row.revokedAtMs !== null) return this.#refuse(digest)
        if (parkMs > 0) await this.#pause(parkMs)
        if (tokens.lapse(digest, entry) === undefined) return this.#accept(digest)
      } catch {
        break
      }
    }
    tally.faults += 1
  }

  /** DELETE, from the statement to the answer. */
  async delete(id: string, digest: TokenDigest): Promise<void> {
    const { database, tally, gone, protocol } = this.#parts
    if (protocol.readsMembersEarly) this.#earlyMembers = database.members(NOBODY_SILENT)
    try {
      const outcome = await this.#ask('revoke', () => database.revoke(id))
      if (outcome === 'not-found') return
      const isAnsweredAtOnce = outcome.isRepeat && protocol.skipsRepeats
      if (!isAnsweredAtOnce) await this.revocation.barrier.wait(outcome.change)
      tally.answered += 1
      gone.add(digest)
    } catch {
      tally.unconfirmed += 1
    }
  }

  /** A chunk comes on each open stream. */
  passChunks(): void {
    for (const { digest, isOpen, pausedBy } of this.#streams) {
      const passes = isOpen && !pausedBy && this.revocation.isLeaseValid()
      if (passes && this.#parts.gone.has(digest)) this.#violate('a stream passed a chunk')
    }
  }

  #accept(digest: TokenDigest): void {
    this.#parts.tally.accepted += 1
    if (this.#parts.gone.has(digest)) this.#violate('a request was accepted')
    this.#streams.push({ digest, isOpen: true, pausedBy: undefined })
  }

  #refuse(digest: TokenDigest): void {
    this.#parts.tally.refused += 1
    if (!this.#parts.database.everRevoked.has(digest)) this.#violate('a valid token was refused')
  }

  #violate(what: string): void {
    const { tally, world, machine } = this.#parts
    tally.violation ??= `${what} on machine ${machine.index} at ${world.nowMs.toFixed(1)} ms`
  }

  #pause(forMs: number): Promise<void> {
    const { world, machine } = this.#parts
    return new Promise(resolve => world.after(forMs, 'unpark', machine, resolve))
  }

  #ask<T>(statement: string, execute: () => T, deadlineMs?: number): Promise<T> {
    const { machine, onStatement } = this.#parts
    const observed = () => {
      const result = execute()
      onStatement(statement, machine)
      return result
    }
    return machine.ask(statement, observed, deadlineMs)
  }

  #epochs(): EpochStore {
    const { database, silent } = this.#parts
    return {
      join: (id, ackKey) =>
        this.#ask('join', () => void database.replicas.set(id, { ackKey, state: 'live' })),
      beat: () => this.#ask('beat', () => undefined),
      leave: id => this.#ask('leave', () => void database.replicas.delete(id)),
      poll: (id, afterSeq, deadlineMs) =>
        this.#ask('poll', () => database.poll(id, afterSeq), deadlineMs),
      lookUp: (id, digests, deadlineMs) =>
        this.#ask('lookUp', () => database.lookUp(id, digests), deadlineMs),
      members: () => {
        const early = this.#earlyMembers
        return early ? Promise.resolve(early) : this.#ask('members', () => database.members(silent))
      },
      remove: ids => this.#ask('remove', () => database.remove(ids)),
      prune: () => this.#ask('prune', () => undefined)
    }
  }

  #store(): Pick<TokenStore, 'revoke' | 'confirm'> {
    const { database } = this.#parts
    return {
      revoke: id => this.#ask('revoke', () => database.revoke(id)),
      confirm: change => this.#ask('confirm', () => database.confirm(change))
    }
  }

  #streamsPort(): Streams {
    const { database } = this.#parts
    const concerned = (ids: readonly string[] | undefined) =>
      this.#streams.filter(({ digest }) => {
        const id = database.tokens.get(digest)?.id
        return ids === undefined || (id !== undefined && ids.includes(id))
      })
    return {
      end: ids => {
        for (const stream of concerned(ids)) stream.isOpen = false
      },
      recheck: ids => {
        for (const stream of concerned(ids)) void this.#recheck(stream)
      }
    }
  }

  async #recheck(stream: Stream): Promise<void> {
    const { digest } = stream
    const look = {}
    stream.pausedBy = look
    try {
      const entry = await this.revocation.tokens.find(digest)
      if (stream.pausedBy !== look) return
      const isGood = entry !== 'unknown' && entry.row.revokedAtMs === null
      if (!isGood || this.revocation.tokens.lapse(digest, entry)) stream.isOpen = false
      stream.pausedBy = undefined
    } catch {
      stream.isOpen = false
    }
  }
}
