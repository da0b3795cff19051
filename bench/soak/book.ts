/**
 * The books of a soak: every answer, whether it was one of those that were due, and if not, what
 * explains it. A fault explains our own 503 while it lasts; nothing explains a 401 for a good token.
 */

/** Something that was broken on purpose, or a machine that had no time for the gate. */
export interface Span {
  readonly cause: string
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
  open(cause: string): Span
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

/** How long after its end a fault may still show: reconnecting, nonces that are waited for. */
export const AFTERMATH_MS = 6000
const OURS = /^503 (?:TOKEN_STORE_UNAVAILABLE|NONCE_STORE_\w+|REVOCATION_UNCONFIRMED|OVERLOADED)$/

/** What the machine did by itself is the last explanation. */
export const BUSY = 'the machine was busy'

function isMeant({ cause }: Span): boolean {
  return !cause.startsWith(BUSY)
}

export function createBook(nowMs: () => number): Book {
  const spans: Span[] = []
  const odd: Told[] = []
  let requests = 0
  let wrongful = 0
  const causeOf = ({ word, startedMs, endedMs }: Told) =>
    OURS.test(word)
      ? [...spans.filter(isMeant), ...spans].find(
          ({ fromMs, toMs }) => endedMs >= fromMs && startedMs <= toMs + AFTERMATH_MS
        )
      : undefined
  return {
    spans,
    note(told) {
      requests += 1
      if (told.isDue) return
      if (told.word.startsWith('401')) wrongful += 1
      odd.push(told)
    },
    open(cause) {
      const span = { cause, fromMs: nowMs(), toMs: Infinity }
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
