/**
 * A WebSocket handshake, checked before anything of it goes upstream: what this gate takes for a
 * handshake, every server must take for the same one.
 * Source: RFC 6455 section 4.2.1.
 */
import { type Denial, deny } from './decision.ts'
import type { Head } from './head.ts'

/** 16 bytes in base64. */
const KEY = /^[A-Za-z0-9+/]{21}[AQgw]==$/

/** Only for a request that wants one, on a rule that allows it. */
export function denyHandshake(head: Head): Denial | undefined {
  const hasBody = head.isChunked || (head.contentLength ?? 0) > 0
  const isPlain = head.method === 'GET' && head.httpVersion === '1.1' && !hasBody
  const [key, ...moreKeys] = valuesOf(head, 'sec-websocket-key')
  const [version, ...moreVersions] = valuesOf(head, 'sec-websocket-version')
  const isOne = moreKeys.length === 0 && moreVersions.length === 0
  if (isPlain && isOne && version === '13' && KEY.test(key ?? '')) return undefined
  return deny('MALFORMED_REQUEST', { reason: 'handshake' })
}

function valuesOf({ rawHeaders }: Head, name: string): readonly string[] {
  return rawHeaders.filter((_, i) => i % 2 === 1 && rawHeaders[i - 1]?.toLowerCase() === name)
}
