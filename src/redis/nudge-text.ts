/**
 * Nudges and acknowledgements as text. Whoever can write to Redis can send anything, so a text is
 * read strictly and whatever does not fit is no message.
 */
import type { Acknowledgement, NudgeMessage } from '../core/ports.ts'

export function writeNudge({ history, seq, kind, ids, replyTo, challenge }: NudgeMessage): string {
  return JSON.stringify({ history, seq, kind, ids, replyTo, challenge })
}

export function writeAcknowledgement(given: Acknowledgement): string {
  const { history, seq, replica, mac } = given
  return JSON.stringify({ history, seq, replica, mac })
}

/** A thousand ids, the most that are announced one by one, take some 39 000 characters. */
const MOST_CHARS = 65_536
const HISTORY = /^[\x21-\x7e]{1,128}$/
const NAME = /^[\w.:-]{1,128}$/
const TOKEN_ID = /^[\da-f-]{36}$/i
const MAC = /^[\da-f]{64}$/

export function readNudge(text: string): NudgeMessage | undefined {
  const { history, seq, kind, ids, replyTo, challenge } = readObject(text)
  if (!fits(HISTORY, history) || !isSeq(seq)) return undefined
  if (!fits(NAME, replyTo) || !fits(NAME, challenge)) return undefined
  if (kind !== 'revoke' && kind !== 'change' && kind !== 'all') return undefined
  if (!Array.isArray(ids) || !ids.every(id => fits(TOKEN_ID, id))) return undefined
  return { history, seq, kind, ids, replyTo, challenge }
}

export function readAcknowledgement(text: string): Acknowledgement | undefined {
  const { history, seq, replica, mac } = readObject(text)
  if (!fits(HISTORY, history) || !isSeq(seq)) return undefined
  return fits(NAME, replica) && fits(MAC, mac) ? { history, seq, replica, mac } : undefined
}

/** The members of a JSON object; none for any other text. */
function readObject(text: string): Readonly<Record<string, unknown>> {
  if (text.length > MOST_CHARS) return {}
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? { ...value } : {}
  } catch {
    return {}
  }
}

function fits(pattern: RegExp, value: unknown): value is string {
  return typeof value === 'string' && pattern.test(value)
}

function isSeq(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}
