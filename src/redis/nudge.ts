/**
 * Nudges over Redis: `tollgate:nudge` is heard by every replica, `tollgate:ack:<revoker>` by that
 * revoker alone. Nothing is stored. What is lost costs time: replicas also poll, and a revoker that
 * misses an acknowledgement waits until no lease can run any more.
 */
import type { Acknowledgement, Log, Nudge, NudgeMessage } from '../core/ports.ts'
import type { RedisClient } from './client.ts'
import { readAcknowledgement, readNudge, writeAcknowledgement, writeNudge } from './nudge-text.ts'

const NUDGE_CHANNEL = 'tollgate:nudge'
const ACK_PREFIX = 'tollgate:ack:'
/** A process that revokes as soon as it has started is not connected yet. Later is too late. */
const KEEP_MS = 1000
const MOST_KEPT = 100

interface Kept {
  readonly channel: string
  readonly text: string
  readonly untilMs: number
}

export function createNudge({ redis, log }: { redis: RedisClient; log: Log }): Nudge {
  const { channels, servers } = redis
  const nudgeListeners = new Set<(message: NudgeMessage) => void>()
  const ackListeners = new Map<string, Set<(given: Acknowledgement) => void>>()
  let kept: readonly Kept[] = []

  const send = (channel: string, text: string) => {
    if (servers.anyPrimary()) channels.publish(channel, text)
    else if (kept.length < MOST_KEPT) {
      kept = [...kept, { channel, text, untilMs: performance.now() + KEEP_MS }]
    }
  }
  servers.onLook(() => {
    const nowMs = performance.now()
    const due = kept.filter(({ untilMs }) => untilMs > nowMs)
    kept = []
    for (const { channel, text } of due) send(channel, text)
  })
  const tell = <T>(listeners: Iterable<(message: T) => void>, message: T | undefined) => {
    if (message === undefined) return
    for (const listener of listeners) {
      try {
        listener(message)
      } catch (cause) {
        log.error('a nudge could not be obeyed', { cause })
      }
    }
  }
  channels.onMessage((channel, text) => {
    if (channel === NUDGE_CHANNEL) tell(nudgeListeners, readNudge(text))
    else tell(ackListeners.get(channel) ?? [], readAcknowledgement(text))
  })

  return {
    announce: message => send(NUDGE_CHANNEL, writeNudge(message)),
    onNudge(listener) {
      nudgeListeners.add(listener)
      void channels.subscribe(NUDGE_CHANNEL)
    },
    acknowledge: (replyTo, given) => send(ACK_PREFIX + replyTo, writeAcknowledgement(given)),
    onAcknowledgement(replyTo, listener) {
      const channel = ACK_PREFIX + replyTo
      const listeners = ackListeners.get(channel) ?? new Set()
      ackListeners.set(channel, listeners.add(listener))
      void channels.subscribe(channel)
      return () => {
        listeners.delete(listener)
        if (listeners.size > 0) return
        ackListeners.delete(channel)
        channels.unsubscribe(channel)
      }
    }
  }
}
