/** One replica in virtual time, with everything around it faked, recorded and holdable. */
import { Fault } from '../../../src/core/decision.ts'
import type {
  Acknowledgement,
  Actor,
  Change,
  EpochStore,
  Invalidation,
  Log,
  Member,
  Nudge,
  NudgeMessage
} from '../../../src/core/ports.ts'
import type { Observer } from '../../../src/core/observer.ts'
import type { TokenRow } from '../../../src/core/principal.ts'
import { digestToken, type TokenDigest } from '../../../src/core/token.ts'
import { createRevocation } from '../../../src/revocation/revocation.ts'
import { createVirtualTime, NOW, settled } from './virtual-time.ts'

export function rowOf(name: string, change: Partial<TokenRow> = {}): TokenRow {
  return {
    id: `id-${name}`,
    digest: digestToken(name),
    preview: name,
    userId: 'user-1',
    orgId: null,
    name,
    scopes: ['scans:read'],
    repositories: null,
    requireSignature: false,
    createdAtMs: NOW,
    lastUsedAtMs: null,
    expiresAtMs: null,
    revokedAtMs: null,
    ...change
  }
}

type Statement = keyof EpochStore | 'revoke' | 'confirm'

/** A statement on its way back: it was executed, and its reply waits. */
export interface Held {
  release(): Promise<void>
  fail(): Promise<void>
}

/** A database that answers at once, unless told otherwise. */
export function createFakeDatabase() {
  const calls: { statement: Statement; args: readonly unknown[] }[] = []
  const state = {
    history: 'server 1/1',
    seq: 10,
    prunedSeq: 0,
    leaseMs: 2000,
    isStandby: false,
    dbNowMs: () => NOW,
    rows: new Map<TokenDigest, TokenRow>(),
    events: new Array<Invalidation>(),
    members: new Map<string, Member>(),
    isConfirmed: true,
    /** How long replies take. */
    delay: () => Promise.resolve(),
    /** Statements that fail at present. */
    down: new Set<Statement>()
  }
  let toHold: { statement: Statement; held: (held: Held) => void } | undefined

  function answer<T>(statement: Statement, args: readonly unknown[], execute: () => T): Promise<T> {
    calls.push({ statement, args })
    if (state.down.has(statement)) return Promise.reject(new Fault('TOKEN_STORE_UNAVAILABLE'))
    const result = execute()
    if (toHold?.statement !== statement) return state.delay().then(() => result)
    const { held } = toHold
    toHold = undefined
    return new Promise((resolve, reject) => {
      held({
        release: () => (resolve(result), settled()),
        fail: () => (reject(new Fault('TOKEN_STORE_UNAVAILABLE')), settled())
      })
    })
  }

  const epochOf = (id: string) => ({
    isStandby: state.isStandby,
    history: state.history,
    dbNowMs: state.dbNowMs(),
    seq: state.seq,
    prunedSeq: state.prunedSeq,
    leaseMs: state.leaseMs,
    member: state.members.get(id)?.state
  })
  const epochs: EpochStore = {
    join: (id, ackKey) =>
      answer('join', [id], () => void state.members.set(id, { id, ackKey, state: 'live' })),
    beat: id => answer('beat', [id], () => undefined),
    leave: id => answer('leave', [id], () => void state.members.delete(id)),
    poll: (id, afterSeq, deadlineMs) =>
      answer('poll', [id, afterSeq, deadlineMs], () => ({
        ...epochOf(id),
        events: state.events.filter(event => event.seq > afterSeq)
      })),
    lookUp: (id, digests, deadlineMs) =>
      answer('lookUp', [id, digests, deadlineMs], () => ({
        ...epochOf(id),
        rows: digests.map(digest => state.rows.get(digest)).filter(row => row !== undefined)
      })),
    members: silentMs => answer('members', [silentMs], () => [...state.members.values()]),
    remove: ids =>
      answer('remove', [ids], () => {
        for (const id of ids) state.members.delete(id)
      }),
    prune: keepMs => answer('prune', [keepMs], () => undefined)
  }

  /** As the database's trigger does: the next number, and the event. */
  function announce(kind: Invalidation['kind'], ...rows: readonly TokenRow[]): Change {
    state.seq += 1
    const ids = rows.map(row => row.id)
    state.events.push({ seq: state.seq, kind, ids })
    return { kind, seq: state.seq, ids, waitMs: state.leaseMs, history: state.history }
  }

  function revoke(row: TokenRow): Change {
    state.rows.set(row.digest, { ...row, revokedAtMs: NOW })
    return announce('revoke', row)
  }

  return {
    state,
    calls,
    epochs,
    announce,
    revoke,
    count: (statement: Statement) => calls.filter(call => call.statement === statement).length,
    last: (statement: Statement) => calls.findLast(call => call.statement === statement)?.args,
    store: {
      revoke: (id: string, _userId: string | undefined, actor: Actor) =>
        answer('revoke', [id, actor], () => {
          const row = state.rows.values().find(token => token.id === id)
          return row ? { revokedAtMs: NOW, change: revoke(row) } : ('not-found' as const)
        }),
      confirm: (change: Change) => answer('confirm', [change], () => state.isConfirmed)
    },
    /** The next such statement is executed, and its reply kept back. */
    hold(statement: Statement): Promise<Held> {
      return new Promise(held => {
        toHold = { statement, held }
      })
    }
  }
}

/** Redis, as one process sees it. */
export function createFakeNudge() {
  const announced: NudgeMessage[] = []
  const acknowledged: { replyTo: string; acknowledgement: Acknowledgement }[] = []
  const state = {
    nudge: (_message: NudgeMessage) => {},
    acknowledge: (_acknowledgement: Acknowledgement) => {},
    isClosed: false
  }
  const port: Nudge = {
    announce: message => void announced.push(message),
    onNudge: listener => {
      state.nudge = listener
    },
    acknowledge: (replyTo, acknowledgement) => void acknowledged.push({ replyTo, acknowledgement }),
    onAcknowledgement: (_replyTo, listener) => {
      state.acknowledge = listener
      return () => {
        state.isClosed = true
      }
    }
  }
  return { port, announced, acknowledged, state }
}

export interface Recorded {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

export function createRecorder() {
  const recorded: Recorded[] = []
  const lines: { level: string; message: string }[] = []
  const note = (name: string, value: number, labels: Readonly<Record<string, string>> = {}) =>
    void recorded.push({ name, value, labels })
  const observer: Observer = {
    count: (name, labels, by = 1) => note(name, by, labels),
    measure: (name, value, labels) => note(name, value, labels),
    gauge: (name, value, labels) => note(name, value, labels)
  }
  const log: Log = {
    info: message => void lines.push({ level: 'info', message }),
    warn: message => void lines.push({ level: 'warn', message }),
    error: message => void lines.push({ level: 'error', message })
  }
  /** Sum of a counter, for one value of one label or for all. */
  const total = (name: string, value?: string) =>
    recorded
      .filter(note => note.name === name)
      .filter(({ labels }) => value === undefined || Object.values(labels).includes(value))
      .reduce((sum, note) => sum + note.value, 0)
  return {
    observer,
    log,
    lines,
    total,
    gauge: (name: string) => recorded.findLast(note => note.name === name)?.value
  }
}

interface ReplicaOptions {
  readonly cacheMaxTokens?: number
  readonly random?: () => number
}

/** A replica that has not started. Ids are `uuid-1`, `uuid-2` …; jitter is none. */
export function createReplica({ cacheMaxTokens = 100, random = () => 0.5 }: ReplicaOptions = {}) {
  const time = createVirtualTime()
  const database = createFakeDatabase()
  database.state.dbNowMs = () => time.clocks.wallMs()
  const nudge = createFakeNudge()
  const recorder = createRecorder()
  const ended: string[] = []
  const rechecked: string[] = []
  let uuids = 0
  const revocation = createRevocation({
    epochs: database.epochs,
    store: database.store,
    nudge: nudge.port,
    streams: {
      end: ids => void ended.push(...ids),
      recheck: ids => void rechecked.push(...(ids ?? ['all']))
    },
    clocks: time.clocks,
    schedule: time.schedule,
    observer: recorder.observer,
    log: recorder.log,
    random,
    randomUuid: () => `uuid-${(uuids += 1)}`,
    randomBytes: bytes => new Uint8Array(bytes).fill(uuids),
    cacheMaxTokens
  })
  return {
    time,
    database,
    nudge,
    recorder,
    ended,
    rechecked,
    tokens: revocation.tokens,
    clock: revocation.clock,
    barrier: revocation.barrier,
    isLeaseValid: () => revocation.isLeaseValid(),
    start: () => revocation.start(),
    stop: () => revocation.stop(),
    state: () => revocation.state()
  }
}

/** A replica with its first lease, and a row in its cache. */
export async function startReplica(options: ReplicaOptions = {}) {
  const replica = createReplica(options)
  const row = rowOf('good')
  replica.database.state.rows.set(row.digest, row)
  await replica.start()
  const entry = await replica.tokens.find(row.digest)
  if (entry === 'unknown') throw new Error('the row was not found')
  return { ...replica, row, entry }
}

/** What a promise came to: its value, or the code of its fault. */
export async function outcomeOf<T>(promise: Promise<T>): Promise<T | string> {
  try {
    return await promise
  } catch (thrown) {
    return thrown instanceof Fault ? thrown.code : String(thrown)
  }
}
