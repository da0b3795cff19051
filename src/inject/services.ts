/** Services that lead to the app's port, turned to the gate's. */
import type { Change } from './changes.ts'
import { GATE_PORT } from './container.ts'
import { type Fields, fieldsAt, listAt, type Note, textAt } from './fields.ts'
import type { App } from './probes.ts'

export interface Target {
  readonly app: App
  readonly labels: Fields
  readonly namespace: string | undefined
}

export interface TurnedService {
  readonly changes: readonly Change[]
  readonly warnings: readonly Note[]
}

/** Whether the Service selects the pod. One without a selector has its endpoints from elsewhere. */
export function selects(service: Fields, { labels, namespace }: Target): boolean {
  const selector = Object.entries(fieldsAt(service, 'spec', 'selector'))
  return (
    service['kind'] === 'Service' &&
    textAt(service, 'metadata', 'namespace') === namespace &&
    selector.length > 0 &&
    selector.every(([name, value]) => labels[name] === value)
  )
}

export function turnService(service: Fields, { app }: Target): TurnedService {
  const changes: Change[] = []
  const warnings: Note[] = []
  const isHeadless = textAt(service, 'spec', 'clusterIP') === 'None'
  for (const [i, entry] of listAt(service, 'spec', 'ports').entries()) {
    const { port, targetPort = port } = fieldsAt(entry)
    const isApp =
      targetPort === app.port ||
      (typeof targetPort === 'string' && app.portNames.includes(targetPort))
    const path = ['spec', 'ports', i]
    if (isApp) changes.push({ kind: 'set', path: [...path, 'targetPort'], value: GATE_PORT })
    if (isHeadless && (isApp || targetPort === GATE_PORT) && port !== GATE_PORT) {
      const message = `clients of a headless Service dial the pod itself: they have to dial ${GATE_PORT} instead of ${String(port)}`
      warnings.push({ path: [...path, 'port'], message })
    }
  }
  return { changes, warnings }
}
