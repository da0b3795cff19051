/** What follows from the line of a request that ended: the log, the use of its rule, and bursts. */
import { type Burst, createBursts } from '../core/bursts.ts'
import { type AccessLine, isRefused } from './access.ts'

export interface EndedDeps {
  readonly log: { access(line: AccessLine): void }
  /** Requests by the key of their rule, since the start. */
  readonly used: Map<string, number>
  readonly onBurst: (burst: Burst) => void
  readonly nowMs?: () => number
}

export function createEnded(deps: EndedDeps): (line: AccessLine) => void {
  const { log, used, onBurst, nowMs = Date.now } = deps
  const bursts = createBursts()
  return line => {
    // A tunnel has a second line, at its end.
    if (line.seconds === undefined) used.set(line.route, (used.get(line.route) ?? 0) + 1)
    if (isRefused(line) && line.status < 500) {
      const { code, tokenId, orgId, ip } = line
      const burst = bursts.note({ code, tokenId, orgId, ip }, nowMs())
      if (burst) onBurst(burst)
    }
    log.access(line)
  }
}
