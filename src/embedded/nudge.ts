/**
 * Nudges inside one process, for a gate without Redis: the same port, the same order (a listener
 * runs after the call that caused it), nothing lost.
 */
import type { Acknowledgement, Log, Nudge, NudgeMessage } from '../core/ports.ts'

export function createEmbeddedNudge({ log }: { log: Log }): Nudge {
  const nudgeListeners = new Set<(message: NudgeMessage) => void>()
  const ackListeners = new Map<string, Set<(given: Acknowledgement) => void>>()

  const tell = <T>(listeners: Iterable<(message: T) => void>, message: T) => {
    for (const listener of listeners) {
      queueMicrotask(() => {
        try {
          listener(message)
        } catch (cause) {
          log.error('a nudge could not be obeyed', { cause })
        }
      })
    }
  }
  return {
    announce: message => tell(nudgeListeners, message),
    onNudge: listener => void nudgeListeners.add(listener),
    acknowledge: (replyTo, given) => tell(ackListeners.get(replyTo) ?? [], given),
    onAcknowledgement(replyTo, listener) {
      const listeners = ackListeners.get(replyTo) ?? new Set()
      ackListeners.set(replyTo, listeners.add(listener))
      return () => {
        listeners.delete(listener)
        if (listeners.size === 0) ackListeners.delete(replyTo)
      }
    }
  }
}
