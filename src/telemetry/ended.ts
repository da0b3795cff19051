/** What follows from the line of a request that ended: the log, and bursts of refusals. */
import { type Burst, createBursts } from '../core/bursts.ts'
import { type AccessLine, isRefused } from './access.ts'

export interface EndedDeps {
  readonly log: { access(line: AccessLine): void }
  readonly onBurst: (burst: Burst) => void
  readonly nowMs?: () => number
}

export function createEnded(deps: EndedDeps): (line: AccessLine) => void {
  const { log, onBurst, nowMs = Date.now } = deps
  const bursts = createBursts()
  return line => {
    if (isRefused(line) && line.status < 500) {
      const { code, tokenId, orgId, ip } = line
      const burst = bursts.note({ code, tokenId, orgId, ip }, nowMs())
      if (burst) onBurst(burst)
    }
    log.access(line)
  }
}
