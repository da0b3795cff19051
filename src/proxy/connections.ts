/**
 * What is under way: every request between its permit and its end, and the streams by the token
 * that opened them. One timer looks at all of them once a second: whoever makes no progress is cut,
 * and a stream that rests is looked at again.
 */
import type { Observer } from '../core/observer.ts'
import type { Streams } from '../core/ports.ts'
import type { StreamGuard } from './guard.ts'

/** A request that was permitted and has not ended. */
export interface Flow {
  /** Where it stands among the others; given by `enter`. */
  place: number
  /** Once a second. */
  tick(): void
  /** The time to finish is over. */
  cut(): void
}

export interface Connections extends Streams {
  /** False: as many are under way as may be. */
  enter(flow: Flow): boolean
  leave(flow: Flow): void
  open(kind: StreamKind, guard: StreamGuard): void
  close(kind: StreamKind, guard: StreamGuard): void
  /** Ends all streams, and those that come. */
  drain(): void
  /** Resolves when nothing is under way, or after `graceMs`, when the rest was cut. */
  settle(graceMs: number): Promise<void>
  stop(): void
}

export type StreamKind = 'tunnel' | 'event_stream'

export interface ConnectionsOptions {
  readonly maxInFlight: number
  readonly observer: Observer
}

const TICK_MS = 1000

export function createConnections({ maxInFlight, observer }: ConnectionsOptions): Connections {
  // No Set: each time V8 makes the table of one anew, the old table points to it. Once one has grown
  // old, all that follow survive their collections, with every request that they ever named.
  const flows: Flow[] = []
  const streams = new Map<StreamGuard, StreamKind>()
  let isDraining = false
  let onIdle: (() => void) | undefined
  const report = (kind: StreamKind) => {
    const open = [...streams.values()].filter(other => other === kind).length
    observer.gauge('streams', open, { kind })
  }
  const timer = setInterval(() => {
    for (const flow of flows.slice()) flow.tick()
    for (const guard of streams.keys()) guard.tick()
    observer.gauge('in_flight', flows.length)
  }, TICK_MS)
  timer.unref()

  const guardsOf = (tokenIds: readonly string[] | undefined) => {
    const all = [...streams.keys()]
    if (tokenIds === undefined) return all.filter(({ tokenId }) => tokenId !== undefined)
    const wanted = new Set(tokenIds)
    return all.filter(({ tokenId }) => tokenId !== undefined && wanted.has(tokenId))
  }

  return {
    enter(flow) {
      if (flows.length >= maxInFlight) {
        observer.count('shed_total', { reason: 'in_flight' })
        return false
      }
      flow.place = flows.push(flow) - 1
      return true
    },
    leave(flow) {
      if (flows[flow.place] !== flow) return
      const last = flows.pop()
      if (last && last !== flow) {
        flows[flow.place] = last
        last.place = flow.place
      }
      if (flows.length === 0) onIdle?.()
    },
    open(kind, guard) {
      streams.set(guard, kind)
      report(kind)
      if (isDraining) guard.end('drain')
    },
    close(kind, guard) {
      if (streams.delete(guard)) report(kind)
    },
    end(tokenIds, cause) {
      for (const guard of guardsOf(tokenIds)) guard.end(cause)
    },
    recheck(tokenIds) {
      for (const guard of guardsOf(tokenIds)) guard.recheck()
    },
    drain() {
      isDraining = true
      for (const guard of streams.keys()) guard.end('drain')
    },
    async settle(graceMs) {
      if (flows.length === 0) return
      const idle = Promise.withResolvers<void>()
      onIdle = idle.resolve
      const deadline = setTimeout(idle.resolve, graceMs)
      await idle.promise
      clearTimeout(deadline)
      for (const flow of flows.slice()) flow.cut()
    },
    stop: () => clearInterval(timer)
  }
}
