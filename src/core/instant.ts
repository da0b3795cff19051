/**
 * Refusals because of time. The database's clock decides; where it and the machine's own differ too
 * much to trust either, a caller is refused only if both refuse, and else the fault is ours.
 */
import { Fault } from './decision.ts'
import type { Clock } from './ports.ts'

/** Throws Fault CLOCK_UNSYNCHRONISED. `refuses` gets ms since the epoch. */
export function isRefusedByTime(clock: Clock, refuses: (nowMs: number) => boolean): boolean {
  if (!refuses(clock.nowMs())) return false
  if (clock.isTrusted() || refuses(clock.wallMs())) return true
  throw new Fault('CLOCK_UNSYNCHRONISED')
}
