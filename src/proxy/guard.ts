/**
 * What a stream (a tunnel, an event stream) needs to go on: its permit, looked at for each chunk. A
 * stream lives longer than the moment it was permitted in, and must not outlive its token. Without
 * a lease it rests, and asks again; after 30 s of that it ends.
 */
import type { Denial, Lapse, Permit } from '../core/decision.ts'

export type StreamEnd = 'revoked' | 'expired' | 'lease' | 'drain'

export interface StreamHooks {
  readonly pause: () => void
  readonly resume: () => void
  /** Ends both sides. Called once. */
  readonly end: (cause: StreamEnd) => void
}

/** How long a stream may rest before it ends, in ms. */
const REST_LIMIT_MS = 30_000

export class StreamGuard {
  #permit: Permit
  readonly #hooks: StreamHooks
  #restingSinceMs: number | undefined
  #isAsking = false
  #isAskedAgain = false
  #hasEnded = false

  constructor(permit: Permit, hooks: StreamHooks) {
    this.#permit = permit
    this.#hooks = hooks
  }

  /** Whose stream it is; undefined: not a token's. */
  get tokenId(): string | undefined {
    const { principal } = this.#permit
    return principal.kind === 'cli-token' ? principal.token.id : undefined
  }

  /** Asked in the same turn as a chunk goes on. False: it rests, or has ended. */
  mayPass(): boolean {
    if (this.#hasEnded || this.#restingSinceMs !== undefined) return false
    const lapse = this.#lapse()
    if (lapse === undefined) return true
    this.#lapsed(lapse)
    return false
  }

  /** The token may have changed: rest, until the row was read again. */
  recheck(): void {
    if (this.#hasEnded) return
    this.#rest()
    void this.#ask()
  }

  /** Once a second: an idle stream ends with its token too, and a resting one asks again. */
  tick(): void {
    if (this.#hasEnded) return
    if (this.#restingSinceMs === undefined) {
      const lapse = this.#lapse()
      if (lapse === 'expired') this.end('expired')
      return
    }
    if (performance.now() - this.#restingSinceMs > REST_LIMIT_MS) this.end('lease')
    else void this.#ask()
  }

  end(cause: StreamEnd): void {
    if (this.#hasEnded) return
    this.#hasEnded = true
    this.#hooks.end(cause)
  }

  /** Asked from sockets and timers, where nobody could catch anything: what throws gives no lease. */
  #lapse(): Lapse | undefined {
    try {
      return this.#permit.lapse()
    } catch {
      return 'lease'
    }
  }

  #lapsed(lapse: Lapse): void {
    if (lapse === 'expired') {
      this.end('expired')
      return
    }
    this.#rest()
    void this.#ask()
  }

  #rest(): void {
    if (this.#restingSinceMs !== undefined) return
    this.#restingSinceMs = performance.now()
    this.#hooks.pause()
  }

  async #ask(): Promise<void> {
    if (this.#isAsking) {
      // What is being asked may be answered from before the change.
      this.#isAskedAgain = true
      return
    }
    this.#isAsking = true
    try {
      do {
        this.#isAskedAgain = false
        const decision = await this.#permit.again()
        if (decision.kind === 'permit') this.#permit = decision
        else this.end(endOf(decision.kind === 'denial' ? decision : undefined))
      } while (this.#isAskedAgain && !this.#hasEnded)
      this.#goOn()
    } catch {
      // No verdict can be had: it rests on, and the next tick asks again.
    } finally {
      this.#isAsking = false
    }
  }

  #goOn(): void {
    if (this.#hasEnded || this.#lapse() !== undefined) return
    this.#restingSinceMs = undefined
    this.#hooks.resume()
  }
}

function endOf(denial: Denial | undefined): StreamEnd {
  return denial?.reason === 'expired' ? 'expired' : 'revoked'
}
