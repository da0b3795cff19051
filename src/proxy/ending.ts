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

/** How requests ended, made once: by route, then by the status's first digit, then by code. */
const endings = new Map<string, (Map<string, Labels> | undefined)[]>()

export function endingOf({ route, code, status }: AccessLine): Labels {
  let ofRoute = endings.get(route)
  if (!ofRoute) endings.set(route, (ofRoute = []))
  const digit = Math.floor(status / 100)
  const ofClass = (ofRoute[digit] ??= new Map())
  const known = ofClass.get(code)
  if (known) return known
  const labels = Object.freeze({ route, code, class: `${digit}xx` })
  ofClass.set(code, labels)
  return labels
}

export function outcomeOf({ code, status }: AccessLine): keyof typeof OUTCOMES {
  if (code === 'OK') return 'forwarded'
  return status >= 500 ? 'fault' : 'refused'
}
