/**
 * A service behind the gate that keeps what it received: every request as its parser read it, and
 * the raw bytes of every connection.
 */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'

export interface Recorded {
  readonly method: string
  readonly target: string
  /** Lower-case name and value, in the order received. */
  readonly headers: readonly (readonly [string, string])[]
  /** Values of one header. */
  all(name: string): readonly string[]
  readonly body: Buffer
  /** Text of the body. */
  readonly text: string
}

export interface RecordingUpstream {
  readonly url: string
  readonly port: number
  /** Requests that arrived whole. */
  readonly requests: readonly Recorded[]
  /** Request heads that arrived, whole or not. */
  readonly begun: number
  readonly aborted: number
  /** Bytes that arrived so far, of all connections. */
  readonly bytes: number
  /** What its parser refused, by the parser's code; a connection that broke off is none. */
  readonly unreadable: readonly string[]
  /** Lets go of what was recorded; the counters go on. */
  forget(): void
  last(): Recorded
  /** Bytes of each connection so far. */
  raw(): readonly string[]
  close(): Promise<void>
}

export interface UpstreamOptions {
  /** Answers once the body is there; 200 and a little JSON where it is not given. */
  readonly respond?: (request: Recorded, response: ServerResponse) => void
  /** Takes the request before its body is read. */
  readonly handle?: (request: IncomingMessage, response: ServerResponse) => void
  readonly upgrade?: (request: IncomingMessage, socket: Duplex, early: Buffer) => void
  /** A port that is wanted, or the path of a unix socket. */
  readonly at?: number | string
  readonly keepAliveMs?: number
}

export async function startUpstream(options: UpstreamOptions = {}): Promise<RecordingUpstream> {
  const { respond = answerOk, handle, upgrade, at = 0, keepAliveMs = 5000 } = options
  const requests: Recorded[] = []
  const connections: Buffer[][] = []
  let begun = 0
  let aborted = 0
  let bytesIn = 0
  const unreadable: string[] = []
  const receive = async (request: IncomingMessage, response: ServerResponse) => {
    begun += 1
    response.on('close', () => {
      if (!response.writableFinished) aborted += 1
    })
    if (handle) {
      handle(request, response)
      return
    }
    const chunks: Buffer[] = []
    try {
      for await (const chunk of request) chunks.push(chunk)
    } catch {
      return
    }
    const recorded = record(request, Buffer.concat(chunks))
    requests.push(recorded)
    respond(recorded, response)
  }
  const server = createServer((request, response) => void receive(request, response))
  server.keepAliveTimeout = keepAliveMs
  server.on('connection', socket => {
    const bytes: Buffer[] = []
    connections.push(bytes)
    socket.on('data', chunk => {
      bytesIn += chunk.length
      bytes.push(Buffer.from(chunk))
    })
    socket.on('error', () => undefined)
  })
  server.on('clientError', (error: Error & { code?: string }, socket) => {
    const isBrokenOff = ['ECONNRESET', 'HPE_INVALID_EOF_STATE'].includes(error.code ?? '')
    if (!isBrokenOff) unreadable.push(error.code ?? error.message)
    socket.destroy()
  })
  if (upgrade) {
    server.on('upgrade', (request, socket, early) => {
      requests.push(record(request, Buffer.alloc(0)))
      upgrade(request, socket, early)
    })
  }
  await once(
    typeof at === 'string' ? server.listen(at) : server.listen(at, '127.0.0.1'),
    'listening'
  )
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  return {
    url: typeof at === 'string' ? `unix:${at}` : `http://127.0.0.1:${port}`,
    port,
    requests,
    get begun() {
      return begun
    },
    get aborted() {
      return aborted
    },
    get bytes() {
      return bytesIn
    },
    unreadable,
    forget() {
      requests.length = 0
      for (const bytes of connections) bytes.length = 0
    },
    last() {
      const last = requests.at(-1)
      if (!last) throw new Error('the upstream saw nothing')
      return last
    },
    raw: () => connections.map(bytes => Buffer.concat(bytes).toString('latin1')),
    async close() {
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
    }
  }
}

function answerOk(_request: Recorded, response: ServerResponse): void {
  const body = JSON.stringify({ ok: true })
  response.writeHead(200, {
    'content-type': 'application/json',
    'content-length': String(body.length)
  })
  response.end(body)
}

function record(request: IncomingMessage, body: Buffer): Recorded {
  const headers: (readonly [string, string])[] = []
  for (let i = 0; i < request.rawHeaders.length; i += 2) {
    headers.push([(request.rawHeaders[i] ?? '').toLowerCase(), request.rawHeaders[i + 1] ?? ''])
  }
  return {
    method: request.method ?? '',
    target: request.url ?? '',
    headers,
    all: name => headers.flatMap(([key, value]) => (key === name ? [value] : [])),
    body,
    text: body.toString()
  }
}
