/**
 * Who the client is: the peer of the connection, or whom a trusted proxy in front of the gate names.
 *
 * Anybody can write X-Forwarded-*; it counts from listed peers only, in its exact spelling only. The
 * list of addresses is read from the right, and the first one that is not trusted is the client.
 * Source: RFC 7239 section 7.4 for the reading from the right; the headers are a convention.
 */
import { BlockList, isIP } from 'node:net'
import { valuesOf } from '../core/header-name.ts'

export interface Client {
  /** For logs and the audit trail. */
  readonly ip: string
  /** X-Forwarded-For, -Proto and -Host as the upstream gets them. */
  readonly forwardedFor: string
  readonly proto: 'http' | 'https'
  /** Undefined: the Host that was received. */
  readonly host: string | undefined
}

/** `peer`: the socket's remote address. */
export type ReadClient = (peer: string | undefined, rawHeaders: readonly string[]) => Client

/** `trusted`: addresses and CIDR ranges, checked when the settings were read. */
export function createClientReader(trusted: readonly string[]): ReadClient {
  const list = new BlockList()
  for (const entry of trusted) {
    const [ip = '', bits] = entry.split('/')
    const family = isIP(ip) === 4 ? 'ipv4' : 'ipv6'
    if (bits === undefined) list.addAddress(ip, family)
    else list.addSubnet(ip, Number(bits), family)
  }
  const isTrusted = (ip: string) => {
    const family = isIP(ip)
    return family !== 0 && list.check(ip, family === 4 ? 'ipv4' : 'ipv6')
  }
  return (peer, rawHeaders) => {
    const address = plainAddress(peer)
    if (trusted.length === 0 || !isTrusted(address)) {
      return { ip: address, forwardedFor: address, proto: 'http', host: undefined }
    }
    return readForwarded(address, rawHeaders, isTrusted)
  }
}

const MAPPED = /^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/i

/** An IPv4 client of a socket that speaks both families is an IPv4 client. */
function plainAddress(peer = ''): string {
  return peer.startsWith(':') ? peer.replace(MAPPED, '') : peer
}

const HOST = /^[\w.:[\]-]{1,255}$/

function readForwarded(
  peer: string,
  rawHeaders: readonly string[],
  isTrusted: (ip: string) => boolean
): Client {
  const named = valuesOf(rawHeaders, 'x-forwarded-for').join(', ')
  const protos = valuesOf(rawHeaders, 'x-forwarded-proto')
  const hosts = valuesOf(rawHeaders, 'x-forwarded-host')
  const host = hosts.length === 1 && HOST.test(hosts[0] ?? '') ? hosts[0] : undefined
  return {
    ip: clientOf(named, peer, isTrusted),
    forwardedFor: named === '' ? peer : `${named}, ${peer}`,
    proto: protos.length === 1 && protos[0]?.toLowerCase() === 'https' ? 'https' : 'http',
    host
  }
}

/** The last address that a trusted proxy vouches for. */
function clientOf(named: string, peer: string, isTrusted: (ip: string) => boolean): string {
  let client = peer
  for (const entry of named.split(',').toReversed()) {
    const ip = plainAddress(entry.trim())
    if (isIP(ip) === 0) break
    client = ip
    if (!isTrusted(ip)) break
  }
  return client
}
