/**
 * A WebSocket handshake, checked before anything of it goes upstream: what this gate takes for a
 * handshake, every server must take for the same one.
 * Source: RFC 6455 section 4.2.1.
 */
import { type Denial, deny } from './decision.ts'
import { hasBody, type Head } from './head.ts'
import { foldName } from './header-name.ts'

/** 16 bytes in base64; the last digit has four spare bits, which are zero. */
const KEY = /^[A-Za-z0-9+/]{21}[AQgw]==$/

/** Only for a request that wants one, on a rule that allows it. */
export function denyHandshake(head: Head): Denial | undefined {
  const isPlain = head.method === 'GET' && head.httpVersion === '1.1' && !hasBody(head)
  // Together with another protocol it would be a choice, and the other side might make another one.
  const isOne = onlyValue(head, 'upgrade')?.toLowerCase() === 'websocket'
  const key = onlyValue(head, 'sec-websocket-key')
  const version = onlyValue(head, 'sec-websocket-version')
  if (isPlain && isOne && version === '13' && KEY.test(key ?? '')) return undefined
  return deny('MALFORMED_REQUEST', { reason: 'handshake' })
}

/** Undefined: not there, or twice, or in a spelling that some servers read as this one. */
function onlyValue({ rawHeaders }: Head, name: string): string | undefined {
  let found: string | undefined
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const sent = rawHeaders[i] ?? ''
    if (foldName(sent) !== name) continue
    if (found !== undefined || sent.toLowerCase() !== name) return undefined
    found = rawHeaders[i + 1]
  }
  return found
}
