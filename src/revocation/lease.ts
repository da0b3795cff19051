/**
 * The lease: for how long this replica may answer from its cache without hearing from the database
 * again. It runs from the sending of a poll, because the database answered at some time after that
 * and whatever was committed later is unknown here.
 * Source: Gray and Cheriton, "Leases", SOSP 1989.
 */
import type { Freshness, Reading } from './clocks.ts'

export interface Lease {
  isValid(): boolean
  /** A poll that was sent then has been applied in full. */
  extend(sent: Reading, lengthMs: number): void
  end(): void
  /** Since the sending of the poll it rests on; undefined: there is none. */
  ageMs(): number | undefined
  /** As the database last said. */
  lengthMs(): number
}

/**
 * What is waited on top of a lease's longest run: clocks of two machines differ in rate (slewing by
 * NTP is 0.05 %), and some time passes between a last look at the lease and the first byte sent.
 */
export function marginMs(waitMs: number): number {
  return 500 + waitMs / 100
}

/** Only sets the deadline of the very first poll: the database says what holds from then on. */
const FIRST_LENGTH_MS = 2000

export function createLease(freshness: Freshness): Lease {
  let sent: Reading | undefined
  let lengthMs = FIRST_LENGTH_MS
  return {
    isValid: () => sent !== undefined && freshness.isFresh(sent, lengthMs),
    extend(sentAt, forMs) {
      sent = sentAt
      lengthMs = forMs
    },
    end() {
      sent = undefined
    },
    ageMs: () => sent && freshness.read().monoMs - sent.monoMs,
    lengthMs: () => lengthMs
  }
}
