/**
 * Whether whoever asks sits at this machine, as far as a request can tell. Asked only where the proxy
 * listens on loopback, so what is kept out here is a browser on this machine that shows somebody
 * else's page: one whose host name was bound to a loopback address after it was loaded has that name
 * in Host. And whatever was relayed by a proxy on this machine, which may be open to everybody.
 */
import type { Head } from '../core/head.ts'
import { foldName, valuesOf } from '../core/header-name.ts'

const HOST = /^(?:localhost|127\.0\.0\.1|\[::1\])(?::\d+)?$/i
const ADDRESS = /^(?:127\.\d+\.\d+\.\d+|::1)$/
const RELAYED = /^(?:forwarded|via|x-forwarded-.*|x-real-ip)$/

export function isAtThisMachine({
  head,
  ip
}: {
  readonly head: Pick<Head, 'host' | 'rawHeaders'>
  /** The client's. */
  readonly ip: string
}): boolean {
  const isRelayed = head.rawHeaders.some((name, i) => i % 2 === 0 && RELAYED.test(foldName(name)))
  return HOST.test(head.host) && ADDRESS.test(ip) && !isRelayed
}

/** All values of one name (in lower case), as a list; empty text where there is none. */
export function headerOf({ rawHeaders }: Pick<Head, 'rawHeaders'>, name: string): string {
  return valuesOf(rawHeaders, name).join(',')
}
