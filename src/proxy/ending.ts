/**
 * The labels that a request's metrics are counted under, each made once and frozen, so that a series is
 * found by identity. All come from closed lists: codes, classes, rule keys, names of the route file.
 */
import type { Labels } from '../core/observer.ts'
import type { AccessLine } from '../telemetry/access.ts'

export const IN = Object.freeze({ direction: 'in' })
export const OUT = Object.freeze({ direction: 'out' })
export const SIGNED = {
  true: Object.freeze({ signed: 'true' }),
  false: Object.freeze({ signed: 'false' })
}
export const OUTCOMES = {
  forwarded: Object.freeze({ outcome: 'forwarded' }),
  refused: Object.freeze({ outcome: 'refused' }),
  fault: Object.freeze({ outcome: 'fault' })
}

const upstreamLabels = new Map<string, Labels>()

/** Names come from the route file. */
export function labelOf(upstream: string): Labels {
  const known = upstreamLabels.get(upstream)
  if (known) return known
  const labels = Object.freeze({ upstream })
  upstreamLabels.set(upstream, labels)
  return labels
}

/** How requests ended, made once: by route, then by code and class. Both come from closed lists. */
const endings = new Map<string, Map<string, Labels>>()

export function endingOf({ route, code, status }: AccessLine): Labels {
  const ofRoute = endings.get(route) ?? new Map<string, Labels>()
  if (ofRoute.size === 0) endings.set(route, ofRoute)
  const family = `${Math.floor(status / 100)}xx`
  const key = `${code} ${family}`
  const known = ofRoute.get(key)
  if (known) return known
  const labels = Object.freeze({ route, code, class: family })
  ofRoute.set(key, labels)
  return labels
}

export function outcomeOf({ code, status }: AccessLine): keyof typeof OUTCOMES {
  if (code === 'OK') return 'forwarded'
  return status >= 500 ? 'fault' : 'refused'
}
