/**
 * The books of a soak: every answer, whether it was one of those that were due, and if not, what
 * explains it. A fault explains our own 503 while it lasts; nothing explains a 401 for a good token.
 */

/** Something that was broken on purpose, or a machine that had no time for the gate. */
export interface Span {
  readonly cause: string
  /** Answers that it can be the reason of. */
  readonly explains: RegExp
  readonly fromMs: number
  /** Infinity: not mended yet. */
  toMs: number
}

export interface Told {
  readonly kind: string
  /** `200`, `503 TOKEN_STORE_UNAVAILABLE`, `broken connection`. */
  readonly word: string
  readonly isDue: boolean
  readonly startedMs: number
  readonly endedMs: number
}

export interface Book {
  note(told: Told): void
  open(cause: string, explains?: RegExp): Span
  readonly spans: readonly Span[]
  readonly requests: number
  /** Of good tokens; there is no excuse for one. */
  readonly wrongful: number
  /** Answers that were not due, by `cause: word`; and those that nothing explains. */
  report(): {
    readonly explained: ReadonlyMap<string, number>
    readonly unexplained: readonly Told[]
  }
}

/**
 * How long after its end a fault may still show: 2 s until the next attempt to connect, 1 s to connect,
 * 2 s in which nonces of before are waited for, and what was begun before that.
 */
export const AFTERMATH_MS = 6000

/** What each kind of fault may cost; nothing explains a broken connection, a 408, a 502. */
export const NO_TOKENS = /^503 (?:TOKEN_STORE_UNAVAILABLE|REVOCATION_UNCONFIRMED)$/
export const NO_NONCES = /^503 NONCE_STORE_\w+$/
export const NO_TIME =
  /^503 (?:TOKEN_STORE_UNAVAILABLE|NONCE_STORE_UNAVAILABLE|REVOCATION_UNCONFIRMED|OVERLOADED)$/

export const BROKEN = 'broken connection'

export function wordOf(status: number, code: unknown): string {
  return `${status}${typeof code === 'string' ? ` ${code}` : ''}`
}

/** What the machine did by itself is the last explanation. */
export const BUSY = 'the machine was busy'

/** On purpose. */
export function isBroken({ cause }: Span): boolean {
  return !cause.startsWith(BUSY)
}

export function createBook(nowMs: () => number): Book {
  const spans: Span[] = []
  const odd: Told[] = []
  let requests = 0
  let wrongful = 0
  const causeOf = ({ word, startedMs, endedMs }: Told) =>
    [...spans.filter(isBroken), ...spans].find(
      ({ explains, fromMs, toMs }) =>
        explains.test(word) && endedMs >= fromMs && startedMs <= toMs + AFTERMATH_MS
    )
  return {
    spans,
    note(told) {
      requests += 1
      if (told.isDue) return
      if (told.word.startsWith('401')) wrongful += 1
      odd.push(told)
    },
    open(cause, explains = NO_TIME) {
      const span = { cause, explains, fromMs: nowMs(), toMs: Infinity }
      spans.push(span)
      return span
    },
    get requests() {
      return requests
    },
    get wrongful() {
      return wrongful
    },
    report() {
      const explained = new Map<string, number>()
      const unexplained: Told[] = []
      for (const told of odd) {
        const span = causeOf(told)
        const key = `${span?.cause}: ${told.word}`
        if (span) explained.set(key, (explained.get(key) ?? 0) + 1)
        else unexplained.push(told)
      }
      return { explained, unexplained }
    }
  }
}
