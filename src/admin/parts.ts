/** The parts that a gate is made of, as /readyz tells them. */
import type { PartWord, Readiness } from './readiness.ts'

export interface WatchedParts {
  readonly schema: () => 'starting' | 'down' | 'old' | 'ok'
  readonly replica: () => {
    readonly isJoined: boolean
    readonly leaseValid: boolean
    readonly clockTrusted: boolean
  }
  /** Undefined: nonces are kept in the process. */
  readonly isNonceStoreUp: (() => boolean) | undefined
}

export function watchParts(readiness: Readiness, parts: WatchedParts): void {
  const { schema, replica, isNonceStoreUp } = parts
  readiness.watch('schema', () => (schema() === 'down' ? 'starting' : schema()))
  readiness.watch('database', () => databaseWord(parts))
  readiness.watch('lease', () => {
    const { isJoined, leaseValid } = replica()
    if (leaseValid) return 'ok'
    return isJoined ? 'expired' : 'starting'
  })
  readiness.watch('clock', () => (replica().clockTrusted ? 'ok' : 'untrusted'))
  // Without it unsigned requests still pass.
  readiness.watch('nonces', () => (isNonceStoreUp && !isNonceStoreUp() ? 'degraded' : 'ok'))
}

/** A lease that was not renewed is how the database's silence shows. */
function databaseWord({ schema, replica }: WatchedParts): PartWord {
  if (schema() !== 'ok') return schema() === 'down' ? 'down' : 'starting'
  const { isJoined, leaseValid } = replica()
  if (leaseValid) return 'ok'
  return isJoined ? 'down' : 'starting'
}
