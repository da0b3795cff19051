/** Publishing and subscribing, best effort: what cannot be sent or heard now is lost. */
import type { Redis } from 'ioredis'

export interface Channels {
  publish(channel: string, text: string): void
  /** Resolves when subscribed, or when it cannot be done now and will be done on connecting. */
  subscribe(channel: string): Promise<void>
  unsubscribe(channel: string): void
  onMessage(listener: (channel: string, text: string) => void): void
}

/** What a single connection and a cluster have in common. */
export interface Subscriber {
  on(event: 'ready', listener: () => void): unknown
  on(event: 'message', listener: (channel: string, text: string) => void): unknown
  subscribe(...channels: string[]): Promise<unknown>
  unsubscribe(...channels: string[]): Promise<unknown>
}

const ignore = () => {}

/** `publisher` gives a connection that can be used now, or none. */
export function createChannels(
  subscriber: Subscriber,
  publisher: () => Redis | undefined
): Channels {
  const wanted = new Set<string>()
  subscriber.on('ready', () => {
    if (wanted.size > 0) subscriber.subscribe(...wanted).catch(ignore)
  })
  return {
    publish: (channel, text) => void publisher()?.publish(channel, text).catch(ignore),
    subscribe: async channel => {
      wanted.add(channel)
      await subscriber.subscribe(channel).catch(ignore)
    },
    unsubscribe: channel => {
      wanted.delete(channel)
      subscriber.unsubscribe(channel).catch(ignore)
    },
    onMessage: listener => void subscriber.on('message', listener)
  }
}
