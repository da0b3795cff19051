/**
 * What a replica signs to say "I have applied this": everything the nudge said, and who says it. The
 * nudge's challenge is new for each barrier, so that a true acknowledgement of an invented nudge is
 * of no use to whoever can write to Redis.
 * Source: HMAC is RFC 2104. JSON keeps the parts apart.
 */
import { createHmac, timingSafeEqual } from 'node:crypto'
import type { Acknowledgement, NudgeMessage } from '../core/ports.ts'

export interface Acknowledger {
  readonly id: string
  readonly ackKey: Uint8Array
}

export function acknowledgementOf(message: NudgeMessage, replica: Acknowledger): Acknowledgement {
  const { history, seq } = message
  return { history, seq, replica: replica.id, mac: macOf(message, replica).toString('hex') }
}

/** Compares in constant time. False: of another event, for another barrier, or by somebody else. */
export function isAcknowledgedBy(
  message: NudgeMessage,
  replica: Acknowledger,
  given: Acknowledgement
): boolean {
  const mac = Buffer.from(given.mac, 'hex')
  const expected = macOf(message, replica)
  return mac.length === expected.length && timingSafeEqual(mac, expected)
}

function macOf(message: NudgeMessage, { id, ackKey }: Acknowledger): Buffer {
  const { history, seq, kind, ids, challenge } = message
  const text = JSON.stringify([history, seq, kind, ids, challenge, id])
  return createHmac('sha256', ackKey).update(text).digest()
}
