/** A user verifier at a fixed instant, with everything it counts and logs. */
import type { CounterName, Labels } from '../../src/core/observer.ts'
import { createUserVerifier, type UserVerifierOptions } from '../../src/users/jwt.ts'

export const NOW = 1_800_000_000_000 // ms; where the clock of every test begins
export const NOW_S = NOW / 1000
export const SECRET = 'a-secret-of-at-least-thirty-two-bytes'

export interface SetClock {
  nowMs: number
  wallMs: number
  isTrusted: boolean
}

export function verifierWorld(spoiled: Partial<UserVerifierOptions> = {}) {
  const time: SetClock = { nowMs: NOW, wallMs: NOW, isTrusted: true }
  const counted: string[] = []
  const logged: string[] = []
  const log = (message: string) => void logged.push(message)
  const verifier = createUserVerifier({
    keys: { secret: SECRET },
    issuer: undefined,
    audience: undefined,
    userClaim: 'sub',
    orgClaim: 'orgId',
    clock: {
      nowMs: () => time.nowMs,
      wallMs: () => time.wallMs,
      isTrusted: () => time.isTrusted
    },
    observer: {
      count: (name: CounterName, labels: Labels = {}) =>
        void counted.push(`${name} ${labels['result']}`),
      measure: () => undefined,
      gauge: () => undefined
    },
    log: { info: log, warn: log, error: log },
    ...spoiled
  })
  /** Moves both clocks. */
  const pass = (ms: number) => {
    time.nowMs += ms
    time.wallMs += ms
  }
  const verify = (jwt: string) => verifier.verify(jwt)
  return { verify, time, pass, counted, logged }
}
