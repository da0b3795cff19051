/**
 * A world in virtual time for the model of revocations: machines that can be stopped, put to sleep
 * and killed, a network that delays and loses, and a database with the semantics of the real
 * statements. Whatever happens, happens as one event of one queue, so that a seed is a schedule.
 */
import { Fault } from '../../../src/core/decision.ts'
import type { Change, Epoch, Invalidation, Member } from '../../../src/core/ports.ts'
import type { TokenRow } from '../../../src/core/principal.ts'
import type { TokenDigest } from '../../../src/core/token.ts'
import type { Clocks, Schedule } from '../../../src/revocation/clocks.ts'

export interface Dice {
  /** 0 to 1, 1 excluded. */
  roll(): number
  chance(probability: number): boolean
  between(least: number, most: number): number
  pick<T>(list: readonly [T, ...T[]]): T
}

/** mulberry32: small, quick, and good enough to shuffle events. */
export function createDice(seed: number): Dice {
  let state = seed | 0
  const roll = () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  return {
    roll,
    chance: probability => roll() < probability,
    between: (least, most) => least + (most - least) * roll(),
    pick: list => list[Math.floor(roll() * list.length)] ?? list[0]
  }
}

/** A number for each kind of event. */
const LABELS = new Map<string, number>()

interface Happening {
  readonly atMs: number
  /** Among events of one moment the order is thrown, too. */
  readonly tie: number
  readonly label: string
  readonly machine: Machine | undefined
  /** `nothing`: it was called off meanwhile, and is no part of the schedule. */
  readonly run: () => unknown
}

/** Heap of what is to happen, and the order in which it did. */
export class World {
  nowMs = 0
  readonly dice: Dice
  #heap: Happening[] = []
  #hashA = 0x811c9dc5
  #hashB = 0x1b873593

  constructor(seed: number) {
    this.dice = createDice(seed)
  }

  after(delayMs: number, label: string, machine: Machine | undefined, run: () => unknown): void {
    this.#push({ atMs: this.nowMs + delayMs, tie: this.dice.roll(), label, machine, run })
  }

  /** Runs the next event that is not called off. False: there is none before the end. */
  step(endMs: number): boolean {
    for (;;) {
      const next = this.#pop()
      if (!next || next.atMs > endMs) return false
      this.nowMs = Math.max(this.nowMs, next.atMs)
      const { machine, label } = next
      if (machine?.isDead) continue
      if (machine && machine.awakeAtMs > this.nowMs) {
        this.#push({ ...next, atMs: machine.awakeAtMs, tie: this.dice.roll() })
      } else if (next.run() !== 'nothing') {
        this.#note(label, machine?.index ?? 9)
        return true
      }
    }
  }

  /** One number for the order of everything that happened, 53 bits. */
  get schedule(): number {
    return (this.#hashA >>> 0) * 2 ** 21 + (this.#hashB >>> 11)
  }

  #note(label: string, index: number): void {
    let number = LABELS.get(label)
    if (number === undefined) LABELS.set(label, (number = LABELS.size))
    this.#hashA = Math.imul(this.#hashA ^ (number * 10 + index), 0x01000193)
    this.#hashB = Math.imul(this.#hashB ^ this.#hashA, 0x85ebca6b) ^ (this.#hashB >>> 15)
  }

  #push(happening: Happening): void {
    const heap = this.#heap
    let at = heap.push(happening) - 1
    while (at > 0) {
      const up = (at - 1) >> 1
      const parent = heap[up]
      if (!parent || !isBefore(happening, parent)) break
      heap[at] = parent
      at = up
    }
    heap[at] = happening
  }

  #pop(): Happening | undefined {
    const heap = this.#heap
    const first = heap[0]
    const last = heap.pop()
    if (!first || !last || first === last) return first
    let at = 0
    for (;;) {
      let down = 2 * at + 1
      const left = heap[down]
      const right = heap[down + 1]
      if (!left) break
      if (right && isBefore(right, left)) down += 1
      const child = heap[down]
      if (!child || !isBefore(child, last)) break
      heap[at] = child
      at = down
    }
    heap[at] = last
    return first
  }
}

function isBefore(a: Happening, b: Happening): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.tie < b.tie)
}

/** What one statement meets on its way. Undefined: lost. */
export interface Passage {
  readonly thereMs: number | undefined
  readonly backMs: number | undefined
}

/** A machine with one process on it: its clocks, its timers, its way to the database. */
export class Machine {
  readonly index: number
  isDead = false
  awakeAtMs = 0
  /** Nudges do not reach it; its acknowledgements get lost. */
  isDeaf = false
  isMute = false
  /** By statement: how it fares at the moment. */
  passage: (statement: string) => Passage
  readonly clocks: Clocks
  readonly schedule: Schedule
  #world: World
  #sleptMs = 0
  #wallShiftMs: number

  constructor(world: World, index: number, passage: (statement: string) => Passage) {
    this.#world = world
    this.index = index
    this.passage = passage
    const monoShiftMs = world.dice.between(0, 1e6)
    const bootShiftMs = world.dice.between(0, 1e6)
    this.#wallShiftMs = world.dice.between(-5000, 5000)
    this.clocks = {
      monoMs: () => world.nowMs + monoShiftMs - this.#sleptMs,
      wallMs: () => 1_800_000_000_000 + world.nowMs + this.#wallShiftMs,
      bootMs: () => world.nowMs + bootShiftMs
    }
    this.schedule = (run, afterMs) => {
      let isCancelled = false
      // Early: the event loop's idea of now was old. Late: it was busy.
      const { dice } = world
      const jitterMs = dice.chance(0.2) ? dice.between(-Math.min(afterMs, 30), 30) : 0
      // The look at the clocks every 100 ms proves nothing and is most of the events: mostly late.
      const errorMs = afterMs === 100 ? dice.between(0, 1500) : jitterMs
      world.after(afterMs + errorMs, `timer${Math.round(afterMs / 50)}`, this, () => {
        if (isCancelled) return 'nothing'
        return run()
      })
      return () => {
        isCancelled = true
      }
    }
  }

  /** SIGSTOP, or a starved process: time goes on, nothing runs here. */
  stopFor(forMs: number): void {
    this.awakeAtMs = Math.max(this.awakeAtMs, this.#world.nowMs + forMs)
  }

  /** The machine sleeps: `mono` stands still, too. */
  sleepFor(forMs: number): void {
    this.stopFor(forMs)
    this.#sleptMs += forMs
  }

  setWallBy(byMs: number): void {
    this.#wallShiftMs += byMs
  }

  kill(): void {
    this.isDead = true
  }

  /** A statement: there, executed at once as a whole, and back, before the deadline. */
  ask<T>(statement: string, execute: () => T, deadlineMs = 2000): Promise<T> {
    const world = this.#world
    const { thereMs, backMs } = this.passage(statement)
    return new Promise((resolve, reject) => {
      let isClosed = false
      const fail = (cause: unknown) => {
        isClosed = true
        reject(new Fault('TOKEN_STORE_UNAVAILABLE', { cause }))
      }
      world.after(deadlineMs, `late ${statement}`, this, () => {
        if (isClosed) return 'nothing'
        return fail('deadline')
      })
      if (thereMs === undefined) return
      world.after(thereMs, `db ${statement}`, undefined, () => {
        const result = execute()
        if (backMs === undefined) return
        world.after(backMs, `reply ${statement}`, this, () => {
          // The connection is closed at the deadline, so a later reply is never read.
          if (isClosed) return
          isClosed = true
          resolve(result)
        })
      })
    })
  }
}

interface Row {
  readonly ackKey: Uint8Array
  state: 'live' | 'leaving'
}

/** What the real statements do, each in one step. */
export class Database {
  history = 'server 1/1'
  leaseMs = 2000
  waitMs = 2000
  readonly replicas = new Map<string, Row>()
  readonly tokens = new Map<TokenDigest, TokenRow>()
  /** A revocation is final, also when the database loses it. */
  readonly everRevoked = new Set<TokenDigest>()
  prunedSeq = 0
  #world: World
  #seq = 100
  #events: Invalidation[] = []

  constructor(world: World) {
    this.#world = world
  }

  get seq(): number {
    return this.#seq
  }

  add(row: TokenRow): void {
    this.tokens.set(row.digest, row)
  }

  /** `tg_revoke`: with the trigger's event, under the lock on the sequence. */
  revoke(id: string): { revokedAtMs: number; change: Change; isRepeat: boolean } | 'not-found' {
    const row = this.tokens.values().find(token => token.id === id)
    if (!row) return 'not-found'
    const isRepeat = row.revokedAtMs !== null
    const revokedAtMs = row.revokedAtMs ?? this.#world.nowMs
    if (!isRepeat) {
      this.#seq += 1
      this.#events.push({ seq: this.#seq, kind: 'revoke', ids: [id] })
      this.tokens.set(row.digest, { ...row, revokedAtMs })
      this.everRevoked.add(row.digest)
    }
    const { history, waitMs } = this
    const change: Change = { kind: 'revoke', seq: this.#seq, ids: [id], waitMs, history }
    return { revokedAtMs, change, isRepeat }
  }

  prune(): void {
    this.prunedSeq = this.#seq
    this.#events = []
  }

  /** Another server, without the last revocation. */
  failOver(row: TokenRow): void {
    this.history = 'server 2/2'
    this.#events = this.#events.filter(event => !event.ids.includes(row.id))
    if (this.everRevoked.has(row.digest)) this.#seq -= 1
    this.tokens.set(row.digest, row)
  }

  confirm(change: Change): boolean {
    const rows = this.tokens.values().filter(row => change.ids.includes(row.id))
    return change.history === this.history && rows.every(row => row.revokedAtMs !== null)
  }

  poll(id: string, afterSeq: number): Epoch & { readonly events: readonly Invalidation[] } {
    return { ...this.#epoch(id), events: this.#events.filter(event => event.seq > afterSeq) }
  }

  lookUp(
    id: string,
    digests: readonly TokenDigest[]
  ): Epoch & { readonly rows: readonly TokenRow[] } {
    const rows = digests.map(digest => this.tokens.get(digest)).filter(row => row !== undefined)
    return { ...this.#epoch(id), rows }
  }

  /** The real one marks by age; here whoever is named is taken for silent, rightly or not. */
  members(silent: readonly string[]): readonly Member[] {
    for (const id of silent) this.markLeaving(id)
    return [...this.replicas].map(([id, { ackKey, state }]) => ({ id, ackKey, state }))
  }

  markLeaving(id: string): void {
    const row = this.replicas.get(id)
    if (row) row.state = 'leaving'
  }

  remove(ids: readonly string[]): void {
    for (const id of ids) {
      if (this.replicas.get(id)?.state === 'leaving') this.replicas.delete(id)
    }
  }

  #epoch(id: string): Epoch {
    const { history, leaseMs, prunedSeq } = this
    const member = this.replicas.get(id)?.state
    const dbNowMs = 1_800_000_000_000 + this.#world.nowMs
    return { isStandby: false, history, dbNowMs, seq: this.#seq, prunedSeq, leaseMs, member }
  }
}
