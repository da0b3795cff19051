/**
 * Whether this replica may take traffic, and which part is why not. A part says one word about
 * itself whenever it is asked, so that no state is kept that could be old. The upstream is no part:
 * its faults are answered per request, and an orchestrator that waits for it could wait for ever.
 */

/** What a part can say. `ok`, `degraded` and `off` do not keep traffic away. */
export type PartWord =
  | 'ok'
  | 'degraded'
  | 'off'
  | 'starting'
  | 'down'
  | 'old'
  | 'newer'
  | 'expired'
  | 'untrusted'
  | 'exposed'
  | 'draining'

/** Parts that must have spoken before anything is ready. */
const REQUIRED = ['database', 'schema', 'lease', 'clock'] as const

export type PartName = (typeof REQUIRED)[number] | 'nonces' | 'keys' | 'exposure'

export interface ReadinessReport {
  readonly ready: boolean
  /** Each part's word; `process` is the life of the process itself. */
  readonly parts: Readonly<Record<string, PartWord>>
}

export interface Readiness {
  /** `read` is asked at each report. A part that is not watched yet is `starting`. */
  watch(part: PartName, read: () => PartWord): void
  /** Settings and routes are good and both listeners are bound. */
  markStarted(): void
  /** For good: there is no way back from draining. */
  beginDraining(): void
  isStarted(): boolean
  isDraining(): boolean
  report(): ReadinessReport
}

const PASSING: readonly PartWord[] = ['ok', 'degraded', 'off']

export function createReadiness(): Readiness {
  const parts = new Map<string, () => PartWord>(REQUIRED.map(part => [part, () => 'starting']))
  let isStarted = false
  let isDraining = false
  return {
    watch: (part, read) => void parts.set(part, read),
    markStarted: () => void (isStarted = true),
    beginDraining: () => void (isDraining = true),
    isStarted: () => isStarted,
    isDraining: () => isDraining,
    report() {
      const life: PartWord = isDraining ? 'draining' : isStarted ? 'ok' : 'starting'
      const words = [
        ['process', life] as const,
        ...[...parts].map(([part, read]) => [part, read()] as const)
      ]
      const ready = words.every(([, word]) => PASSING.includes(word))
      return { ready, parts: Object.fromEntries(words) }
    }
  }
}
