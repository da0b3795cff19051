/**
 * What the rules and the revocation protocol need from outside: interfaces of few methods, so that
 * a fake in a test is an object literal. Each answers what it knows and throws a Fault when it
 * cannot know; "not found" and "could not ask" never share a value.
 */
import type { TokenRow, User } from './principal.ts'
import type { TokenDigest } from './token.ts'

/** A row as the cache holds it. Identity counts: a dropped and re-read row is another entry. */
export interface TokenEntry {
  readonly row: TokenRow
}

export interface TokenSource {
  /** What is known at once and may be used now; undefined: ask `find`. */
  peek(digest: TokenDigest): TokenEntry | 'unknown' | undefined
  /** Throws Fault TOKEN_STORE_UNAVAILABLE, OVERLOADED. */
  find(digest: TokenDigest): Promise<TokenEntry | 'unknown'>
  /** Whether a decision made from this entry may still be acted upon. Undefined: it may. */
  lapse(digest: TokenDigest, entry: TokenEntry): 'lease' | 'entry' | undefined
}

export interface UserVerifier {
  /** Throws Fault KEY_SET_UNAVAILABLE, CLOCK_UNSYNCHRONISED. */
  verify(jwt: string): Promise<User | 'invalid'>
}

export interface NonceStore {
  /** First use of this nonce by this token? Throws Fault NONCE_STORE_*. Times in ms. */
  claim(tokenId: string, nonce: string, timestampMs: number, ttlMs: number): Promise<'new' | 'used'>
}

/**
 * Whether nonces were ever kept: tells an empty nonce store that is new from one that forgot.
 * Both throw Fault TOKEN_STORE_UNAVAILABLE.
 */
export interface NonceHistory {
  wasEverUsed(): Promise<boolean>
  /** Remembers for good that nonces are kept; resolves once that is committed. Repeatable. */
  noteUse(): Promise<void>
}

export interface Clock {
  /** Wall-clock ms since the epoch, corrected to the database's clock. */
  nowMs(): number
  /** Wall-clock ms of this machine, uncorrected. */
  wallMs(): number
  /** False: database and machine differ so much that a refusal because of time needs both. */
  isTrusted(): boolean
}

/** The body of one request. Held once; later calls give the same bytes. */
export interface BodyHolder {
  /**
   * The whole body after de-chunking. `too-large`: above the limit (by Content-Length before
   * reading, else while reading). `too-slow`: not complete in time. `cut-off`: the client left.
   * Throws Fault OVERLOADED when the process holds as much as it may.
   */
  hold(limitBytes: number): Promise<Uint8Array | 'too-large' | 'too-slow' | 'cut-off'>
}

/** Who made a change, for the audit trail. */
export interface Actor {
  readonly kind: 'user' | 'operator' | 'replica'
  readonly id: string
  readonly ip: string | undefined
  readonly requestId: string | undefined
}

export interface NewToken {
  readonly digest: TokenDigest
  readonly preview: string
  readonly userId: string
  readonly orgId: string | null
  readonly name: string
  readonly scopes: readonly string[]
  /** Null: all repositories. */
  readonly repositories: readonly string[] | null
  /** A span from the database's now, an instant, or never. */
  readonly expires: { readonly inDays: number } | { readonly atMs: number } | null
  readonly requireSignature: boolean
}

/** A committed narrowing change, as its barrier needs it. */
export interface Change {
  readonly kind: 'revoke' | 'change' | 'all'
  /** Sequence number of the event; every replica that applied it is past the change. */
  readonly seq: number
  readonly ids: readonly string[]
  /** How long a lease can still run, in ms. */
  readonly waitMs: number
  /** Server and timeline of the database at COMMIT. */
  readonly history: string
}

export interface BulkFilter {
  readonly userId?: string
  readonly orgId?: string
  readonly createdBeforeMs?: number
}

/** Every method throws Fault TOKEN_STORE_UNAVAILABLE; the changing ones REVOCATION_UNCONFIRMED too. */
export interface TokenStore {
  create(token: NewToken, actor: Actor): Promise<TokenRow>
  /** Newest first. `userId` undefined: everybody's, for operators. */
  list(filter: {
    userId?: string
    orgId?: string
    includeInactive: boolean
  }): Promise<readonly TokenRow[]>
  /** `userId` undefined: whoever owns it, for operators. */
  revoke(
    id: string,
    userId: string | undefined,
    actor: Actor
  ): Promise<{ revokedAtMs: number; change: Change } | 'not-found'>
  revokeMany(
    filter: BulkFilter,
    actor: Actor
  ): Promise<{ ids: readonly string[]; change: Change | undefined }>
  /** `inactive`: revoked or expired, so there is nothing to rotate. */
  rotate(
    id: string,
    userId: string,
    fresh: { digest: TokenDigest; preview: string; graceSeconds: number },
    actor: Actor
  ): Promise<{ row: TokenRow; change: Change } | 'not-found' | 'inactive'>
  /** Read again after the deadline of a barrier: is the change there, in the same history? */
  confirm(change: Change): Promise<boolean>
}

/** One answered statement of the lease channel. All from the same snapshot. */
export interface Epoch {
  readonly isStandby: boolean
  readonly history: string
  readonly dbNowMs: number
  readonly seq: number
  readonly prunedSeq: number
  readonly leaseMs: number
  /** State of this replica's own row; undefined: there is none. */
  readonly member: 'live' | 'leaving' | undefined
}

export interface Invalidation {
  readonly seq: number
  readonly kind: 'revoke' | 'change' | 'all'
  readonly ids: readonly string[]
}

export interface Member {
  readonly id: string
  readonly ackKey: Uint8Array
  readonly state: 'live' | 'leaving'
}

/** Throws Fault TOKEN_STORE_UNAVAILABLE. Deadlines in ms; a late answer is never delivered. */
export interface EpochStore {
  join(id: string, ackKey: Uint8Array): Promise<void>
  beat(id: string): Promise<void>
  leave(id: string): Promise<void>
  /** Events after `afterSeq`, in order, 1001 at most: more than 1000 means "too many". */
  poll(
    id: string,
    afterSeq: number,
    deadlineMs: number
  ): Promise<Epoch & { readonly events: readonly Invalidation[] }>
  /** Rows by digest, with the epoch of the same statement. */
  lookUp(
    id: string,
    digests: readonly TokenDigest[],
    deadlineMs: number
  ): Promise<Epoch & { readonly rows: readonly TokenRow[] }>
  /** Members in a statement of its own; marks the ones silent for `silentMs` as leaving. */
  members(silentMs: number): Promise<readonly Member[]>
  /** Deletes rows that were seen leaving. */
  remove(ids: readonly string[]): Promise<void>
  /** Deletes events older than `keepMs` and raises `prunedSeq` in the same transaction. */
  prune(keepMs: number): Promise<void>
}

export interface NudgeMessage extends Invalidation {
  readonly history: string
  /** Id of the revoker that collects the acknowledgements. */
  readonly replyTo: string
  /** New and random for each barrier: no acknowledgement can be had before the change is there. */
  readonly challenge: string
}

export interface Acknowledgement {
  readonly history: string
  readonly seq: number
  readonly replica: string
  /** HMAC-SHA256(ack key, the whole message and the replica's id), 64 hex digits. */
  readonly mac: string
}

/** Best effort: nothing depends on a message arriving, and nothing here throws. */
export interface Nudge {
  announce(message: NudgeMessage): void
  onNudge(listener: (message: NudgeMessage) => void): void
  acknowledge(replyTo: string, acknowledgement: Acknowledgement): void
  /** Acknowledgements sent to `replyTo`, until the returned function is called. */
  onAcknowledgement(replyTo: string, listener: (a: Acknowledgement) => void): () => void
}

export interface BarrierReceipt {
  readonly replicas: number
  readonly acknowledged: number
  readonly waitedMs: number
}

export interface Barrier {
  /** Throws Fault REVOCATION_UNCONFIRMED. */
  wait(change: Change): Promise<BarrierReceipt>
}

/** The open streams (tunnels, event streams) by the token that opened them. */
export interface Streams {
  /** Closes the streams of these tokens, at once. */
  end(tokenIds: readonly string[], cause: 'revoked'): void
  /** The row may have changed: pause, look again, go on or close. Undefined: all tokens' streams. */
  recheck(tokenIds: readonly string[] | undefined): void
}

/** How busy this process is. */
export interface Load {
  /** Throws Fault OVERLOADED while new work has to stay outside. */
  admit(): void
}

/** Notes the use of a token; written in batches, lost at a crash. */
export interface UseRecorder {
  used(tokenId: string, atMs: number): void
}

/** Named fields only: no request, no header, no error object but as `cause`. */
export type LogFields = Readonly<Record<string, unknown>>

export interface Log {
  info(message: string, fields?: LogFields): void
  warn(message: string, fields?: LogFields): void
  /** `cause` in the fields is reduced to name, code and stack. */
  error(message: string, fields?: LogFields): void
}
