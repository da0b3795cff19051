/**
 * WebSocket tunnels, on rules that name them. The handshake was decided like any request; the tunnel
 * opens on the upstream's valid 101 and on nothing else, its bytes are not read, and it lives no
 * longer than its token: each chunk passes only while the permit holds.
 * Source: RFC 6455 sections 1.3 and 4.1; RFC 9110 section 7.8.
 */
import { hash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Permit } from '../core/decision.ts'
import type { Observer } from '../core/observer.ts'
import type { RouteTable } from '../core/rule.ts'
import { readTarget } from '../core/target.ts'
import type { Connections } from './connections.ts'
import type { Exchange } from './exchange.ts'
import { type StreamEnd, StreamGuard } from './guard.ts'
import { type RawHeaders, responseHeaders, valueOf } from './headers.ts'

/**
 * Whether this request leaves HTTP at all: asked before anything is decided, so that on every other
 * rule an Upgrade is what it is, a wish that is not granted.
 */
export function wantsTunnel({ method, url, headers }: IncomingMessage, table: RouteTable): boolean {
  if (method !== 'GET' || headers.upgrade?.toLowerCase() !== 'websocket') return false
  const target = readTarget(url ?? '')
  if ('kind' in target) return false
  const match = table.match('GET', target)
  return match.kind === 'rule' && match.rule.upgrade === 'websocket'
}

export interface TunnelDeps {
  readonly connections: Connections
  readonly observer: Observer
}

export interface Upgraded {
  readonly status: number
  readonly rawHeaders: RawHeaders
  /** The upstream's side. */
  readonly socket: Duplex
}

/** False: the answer was no valid 101, and nothing was opened. */
export function upgradeToTunnel(
  exchange: Exchange,
  permit: Permit,
  deps: TunnelDeps,
  { status, rawHeaders, socket: upstream }: Upgraded
): boolean {
  upstream.on('error', () => undefined)
  const headers = responseHeaders(rawHeaders)
  const { response, request } = exchange
  const client = response.socket
  if (status !== 101 || !isAccepted(request, headers) || client === null) {
    upstream.destroy()
    return false
  }
  response.writeHead(101, [...headers, 'Connection', 'Upgrade', 'Upgrade', 'websocket'])
  response.flushHeaders()
  exchange.tunnelOpened()
  join(exchange, permit, deps, { client, upstream })
  return true
}

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'

/** The upstream has read this very handshake, and not some other request. */
function isAccepted({ headers }: IncomingMessage, answer: readonly string[]): boolean {
  const expected = hash('sha1', `${headers['sec-websocket-key'] ?? ''}${GUID}`, 'base64')
  return valueOf(answer, 'sec-websocket-accept')?.trim() === expected
}

interface Ends {
  readonly client: Duplex
  readonly upstream: Duplex
}

function join(exchange: Exchange, permit: Permit, deps: TunnelDeps, ends: Ends): void {
  const { client, upstream } = ends
  const { connections, observer } = deps
  const lanes = [
    new Lane(client, upstream, bytes => (exchange.body.bytes += bytes)),
    new Lane(upstream, client, bytes => (exchange.stage.bytesOut += bytes))
  ]
  const end = (by: string) => {
    exchange.tunnelEnded(by)
    client.destroy()
    upstream.destroy()
  }
  const guard = new StreamGuard(permit, {
    pause: () => undefined,
    resume: () => lanes.forEach(lane => lane.pass()),
    end: (cause: StreamEnd) => {
      observer.count('streams_closed_total', { cause })
      end(cause)
    }
  })
  connections.open('tunnel', guard)
  for (const lane of lanes) lane.start(guard)
  upstream.once('close', () => end('upstream'))
  client.on('error', () => undefined)
  client.once('close', () => {
    connections.close('tunnel', guard)
    upstream.destroy()
  })
}

/** One direction of a tunnel. Reads one chunk at a time: what may not pass stays in the socket. */
class Lane {
  readonly #from: Duplex
  readonly #to: Duplex
  readonly #count: (bytes: number) => void
  #guard: StreamGuard | undefined

  constructor(from: Duplex, to: Duplex, count: (bytes: number) => void) {
    this.#from = from
    this.#to = to
    this.#count = count
  }

  start(guard: StreamGuard): void {
    this.#guard = guard
    this.#from.on('readable', () => this.pass())
    // Half-closed is a state of TCP, not of a WebSocket: what is left is sent, then both end.
    if (this.#from.readableEnded) this.#to.end()
    else this.#from.once('end', () => this.#to.end())
    this.#to.on('drain', () => this.pass())
    this.pass()
  }

  pass(): void {
    while (!this.#to.writableNeedDrain && this.#from.readableLength > 0) {
      if (!this.#guard?.mayPass()) return
      const chunk: unknown = this.#from.read()
      if (!(chunk instanceof Uint8Array)) return
      this.#count(chunk.length)
      this.#to.write(chunk)
    }
    // With nothing buffered, reading is what finds the end.
    if (this.#from.readableLength === 0) this.#from.read(0)
  }
}
