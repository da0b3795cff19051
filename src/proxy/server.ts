/**
 * The proxy port: Node's strict parser, its limits, one hook, one wildcard route.
 *
 * @fastify/http-proxy registers the routes and hands the body over unread; its handler is ours, so
 * nothing of a request is rebuilt on the way. A request without a body, or with one that was read to
 * decide, does not need that handler and is sent from the hook. Fastify's router decides nothing:
 * what matches is decided by the gate, on the target as it was received.
 * Source: RFC 9112; https://nodejs.org/api/http.html#httpcreateserveroptions-requestlistener.
 */
import { createServer, type IncomingMessage, type Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import httpProxy from '@fastify/http-proxy'
import fastify, { type FastifyReply, type FastifyRequest } from 'fastify'
import { asFault } from '../core/decision.ts'
import type { Gate } from '../core/gate.ts'
import type { Observer } from '../core/observer.ts'
import type { OwnRoutes } from '../core/own-routes.ts'
import type { Log } from '../core/ports.ts'
import type { RouteTable } from '../core/rule.ts'
import { NO_SCHEMAS } from '../no-schemas.ts'
import type { AccessLine } from '../telemetry/access.ts'
import type { Traces } from '../telemetry/traces.ts'
import { type Admitted, createAdmit, type Lane } from './admit.ts'
import { createHeldBytes } from './body.ts'
import { createClientReader } from './client-address.ts'
import type { Connections } from './connections.ts'
import { createForward } from './forward.ts'
import { createAnswers, endAfter, isOver } from './problem.ts'
import { inTurn, isIdle } from './turns.ts'
import { endConnection, refuseUnparsed } from './unparsed.ts'
import { wantsTunnel } from './tunnel.ts'
import type { Upstreams } from './upstreams.ts'
import type { Usage } from './usage.ts'

export interface ProxyServerOptions {
  readonly host: string
  /** 0 takes a free one. */
  readonly port: number
  readonly gate: Gate
  readonly own: OwnRoutes
  readonly routes: () => RouteTable
  readonly upstreams: Upstreams
  readonly connections: Connections
  readonly usage: Usage
  readonly trustedProxies: readonly string[]
  readonly observer: Observer
  readonly log: Log
  readonly access: (line: AccessLine) => void
  /** Undefined: none are made. */
  readonly traces?: Traces | undefined
  readonly isDraining: () => boolean
  /** For tests that hold both lanes to the same rows. */
  readonly lane?: () => Lane | undefined
}

export interface ProxyServer extends AsyncDisposable {
  /** Gives the port. Throws what node:net throws where it cannot be had. */
  listen(): Promise<number>
  /** Takes no new connections, and closes the idle ones. Running requests go on. */
  stopAccepting(): void
}

const LIMITS = {
  maxHeaderSize: 16_384,
  /** Node would drop what is beyond its count unseen; ours is in core/head.ts. */
  maxHeadersCount: 0,
  maxConnections: 16_384,
  headersTimeoutMs: 10_000,
  checkEveryMs: 2000,
  /** Longer than the 60 s of common balancers, so that they close first. */
  keepAliveMs: 72_000
} as const

/** Handshakes whose connection the parser has let go of. */
const detached = new WeakSet<IncomingMessage>()

/** The request that the hook has let through, for the handler behind it. */
const admitted = new WeakMap<IncomingMessage, Admitted>()

export async function createProxyServer(options: ProxyServerOptions): Promise<ProxyServer> {
  const { host, port, observer, connections, isDraining, upstreams } = options
  const answers = createAnswers(options)
  const forward = createForward({ upstreams, connections, answers, observer, isDraining })
  const held = createHeldBytes(observer)
  const readClient = createClientReader(options.trustedProxies)
  const admit = createAdmit({ ...options, answers, forward, held, readClient })

  const app = fastify({
    serverFactory: handler => createHttpServer(handler, options),
    clientErrorHandler: (error, socket) => refuseUnparsed(error, socket),
    // Its router would decode the target, and answer one it cannot decode before any hook.
    rewriteUrl: () => '/',
    // It would believe anybody's X-Forwarded-*: client-address.ts reads the socket.
    trustProxy: false,
    forceCloseConnections: 'idle',
    // While closing it would answer by itself, in a shape that is not ours and without Retry-After.
    return503OnClosing: false,
    // HEAD is decided as what it is, by the same hook.
    exposeHeadRoutes: false,
    // It would log targets.
    logger: false,
    schemaController: NO_SCHEMAS
  })
  app.setErrorHandler((cause, _request, reply) => {
    const { status, publicMessage: message, code, retryAfterSeconds } = asFault(cause)
    options.log.error('a request could not be taken', { code, cause })
    return reply.code(status).header('retry-after', retryAfterSeconds).send({ message, code })
  })
  app.addHook('onRequest', (request, reply, done) => {
    inTurn(reply.raw, () => decide(request, reply, done))
  })
  const decide = (request: FastifyRequest, reply: FastifyReply, done: () => void) => {
    const { raw, originalUrl } = request
    if (isOver(raw.socket)) {
      reply.hijack()
      return
    }
    // Granted or not, Node's parser drops what it has read behind an Upgrade: whatever comes then
    // could begin in the middle of a request.
    if (raw.headers.upgrade !== undefined) endAfter(reply.raw)
    const goOn = (passed: Admitted | undefined) => {
      if (!passed || passed.exchange.hasLeft) {
        reply.hijack()
        return
      }
      admitted.set(raw, passed)
      // What type a body has is the upstream's business: Fastify would refuse those it cannot read.
      delete raw.headers['content-type']
      done()
    }
    const outcome = admit({
      request: raw,
      response: reply.raw,
      rawTarget: originalUrl,
      isDetached: detached.has(raw)
    })
    if (outcome instanceof Promise) void outcome.then(goOn)
    else goOn(outcome)
  }
  await app.register(httpProxy, {
    // Never dialled: where a request goes is in its permit.
    upstream: 'http://upstream.invalid',
    routes: ['/', '/*'],
    // Its own proxy of upgrades would decide about none of them.
    websocket: false,
    // Bodies pass unread: parsers would limit and change them.
    proxyPayloads: true,
    handler: (request, reply) => {
      reply.hijack()
      const passed = admitted.get(request.raw)
      // Until a full collection V8 holds the value, and with it the key, of whatever is left in there.
      admitted.delete(request.raw)
      if (passed) forward(passed.exchange, passed.permit)
      else reply.raw.destroy()
    }
  })
  await app.ready()
  const server = app.server
  carryUpgrades(server, (request, response) => app.routing(request, response))

  return {
    async listen() {
      await app.listen({ host, port })
      const address = server.address()
      return typeof address === 'object' && address !== null ? address.port : port
    },
    stopAccepting() {
      server.close()
      server.closeIdleConnections()
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await app.close()
    }
  }
}

function createHttpServer(
  handler: (request: IncomingMessage, response: ServerResponse) => void,
  { routes, observer }: ProxyServerOptions
): Server {
  const server = createServer(
    {
      insecureHTTPParser: false,
      maxHeaderSize: LIMITS.maxHeaderSize,
      headersTimeout: LIMITS.headersTimeoutMs,
      // Uploads may take hours; progress is what counts, and relay.ts watches it.
      requestTimeout: 0,
      connectionsCheckingInterval: LIMITS.checkEveryMs,
      keepAliveTimeout: LIMITS.keepAliveMs,
      // core/head.ts refuses with the documented body.
      requireHostHeader: false,
      // Joined values would hide a header that stands twice.
      joinDuplicateHeaders: false,
      noDelay: true,
      optimizeEmptyRequests: true,
      // One that is sent before earlier answers stays with the parser, and is refused.
      shouldUpgradeCallback: request => isIdle(request.socket) && wantsTunnel(request, routes())
    },
    handler
  )
  server.maxHeadersCount = LIMITS.maxHeadersCount
  server.maxConnections = LIMITS.maxConnections
  // Neither a number of requests nor silence ends a connection by itself: streams may be silent.
  server.maxRequestsPerSocket = 0
  server.timeout = 0
  server.on('drop', () => observer.count('shed_total', { reason: 'connections' }))
  // Both would be answered by Node before anything is decided.
  server.on('checkContinue', handler)
  server.on('checkExpectation', handler)
  let connected = 0
  server.on('connection', (socket: Socket) => {
    observer.gauge('client_connections', ++connected)
    socket.once('close', () => observer.gauge('client_connections', --connected))
  })
  return server
}

/** A handshake goes through the same hook; what it is answered is written on its socket. */
function carryUpgrades(
  server: Server,
  route: (request: IncomingMessage, response: ServerResponse) => void
): void {
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, early: Buffer) => {
    socket.on('error', () => undefined)
    if (early.length > 0) socket.unshift(early)
    detached.add(request)
    const response = new ServerResponse(request)
    response.shouldKeepAlive = false
    response.assignSocket(request.socket)
    response.once('finish', () => endConnection(socket))
    route(request, response)
  })
}
