/**
 * The line of a request. An allow-list: a field that is not named here is not written, whatever the
 * caller hands over. No header, body, target or query has a name here.
 */
import { redact } from './scrub.ts'

export type Aborted = 'client' | 'upstream' | 'revoked' | 'expired' | 'lease' | 'drain' | 'grace'

/** One request at its end; a tunnel has a second line when it closes. */
export interface AccessLine {
  readonly requestId: string
  /** The rule's key; `none` without a rule; `own` for token API and page. */
  readonly route: string
  readonly method: string
  readonly status: number
  /** `OK` if the upstream answered or an own path succeeded, else the code of the answer. */
  readonly code: string
  /** Which of several causes with one public answer it was. */
  readonly reason?: string | undefined
  readonly auth: 'cli-token' | 'jwt' | 'none'
  readonly tokenId?: string | undefined
  readonly userId?: string | undefined
  readonly orgId?: string | undefined
  /** With `auth: cli-token` alone. */
  readonly signed?: boolean | undefined
  /** How many ids the token is limited to, or `*`. */
  readonly repositories?: number | '*' | undefined
  readonly upstream?: string | undefined
  /** From sending to the head of the answer. */
  readonly upstreamMs?: number | undefined
  /** From the first byte in to the last byte out. */
  readonly totalMs: number
  readonly bytesIn: number
  readonly bytesOut: number
  readonly ip: string
  readonly retried?: true | undefined
  readonly aborted?: Aborted | undefined
  /** Without a rule alone: the path, segments that are no literal of the route file as `{}`. */
  readonly shape?: string | undefined
  /** Of a tunnel that closed: how long it was open, and why it is no longer. */
  readonly seconds?: number | undefined
  readonly cause?: string | undefined
}

export type AccessMode = 'all' | 'refused' | 'off'

const FIELDS = [
  'requestId',
  'route',
  'method',
  'status',
  'code',
  'reason',
  'auth',
  'tokenId',
  'userId',
  'orgId',
  'signed',
  'repositories',
  'upstream',
  'upstreamMs',
  'totalMs',
  'bytesIn',
  'bytesOut',
  'ip',
  'retried',
  'aborted',
  'shape',
  'seconds',
  'cause'
] as const satisfies readonly (keyof AccessLine)[]

/** The fields to write. `requestId` is the client's own text: a credential there is taken out. */
export function accessFields(line: AccessLine): Readonly<Record<string, unknown>> {
  const fields: Record<string, unknown> = {}
  for (const name of FIELDS) {
    const value = line[name]
    if (value !== undefined) fields[name] = value
  }
  fields['requestId'] = redact(line.requestId)
  for (const name of ['upstreamMs', 'totalMs', 'seconds'] as const) {
    const value = line[name]
    if (value !== undefined) fields[name] = Math.round(value * 10) / 10
  }
  return fields
}

/** Refused by the gate, by a verdict or by a fault of its own: not by the upstream. */
export function isRefused({ status, code }: AccessLine): boolean {
  return status >= 400 && code !== 'OK'
}

export interface UnsignedUse {
  /** Notes one unsigned request. Gives the count to report: once an hour and token, else none. */
  note(tokenId: string): number | undefined
}

const HOUR_MS = 3_600_000
/** As many as the token cache holds by default; above it the longest unreported is forgotten. */
const MOST_TOKENS = 10_000

/** Unsigned requests of each token since the last report, the present one included. */
export function createUnsignedUse(nowMs: () => number): UnsignedUse {
  const seen = new Map<string, { reportedAtMs: number; count: number }>()
  return {
    note(tokenId) {
      const known = seen.get(tokenId)
      const count = (known?.count ?? 0) + 1
      if (known && nowMs() - known.reportedAtMs < HOUR_MS) {
        known.count = count
        return undefined
      }
      seen.delete(tokenId)
      const [oldest] = seen.keys()
      if (seen.size >= MOST_TOKENS && oldest !== undefined) seen.delete(oldest)
      seen.set(tokenId, { reportedAtMs: nowMs(), count: 0 })
      return count
    }
  }
}
