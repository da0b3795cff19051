/**
 * The admin port: is the process well, what does it count, what does it know. For kubelet, scrapers
 * and operators, never for clients. Nothing here changes anything.
 */
import fastify, { type FastifyReply } from 'fastify'
import type { Log } from '../core/ports.ts'
import { NO_SCHEMAS } from '../no-schemas.ts'
import { askApp } from './app-probes.ts'
import type { Readiness } from './readiness.ts'

/** What this replica holds for true. */
export interface ReplicaState {
  readonly id: string
  /** Null: there is no lease yet. */
  readonly leaseAgeMs: number | null
  readonly appliedSeq: number
  /** SHA-256 of the route file in force, 64 hex digits. */
  readonly routesHash: string
}

export interface AdminServerOptions {
  readonly host: string
  /** 0 takes a free one. */
  readonly port: number
  readonly readiness: Readiness
  readonly metrics: { readonly contentType: string; render(): Promise<string> }
  readonly replica: () => ReplicaState
  /** What the `coverage` command reads; JSON. */
  readonly coverage: () => unknown
  /** `container/readiness` to the loopback URL that is asked for it. */
  readonly appProbes: Readonly<Record<string, string>>
  readonly log: Log
}

export interface AdminServer extends AsyncDisposable {
  /** Gives the port. Throws what node:net throws where it cannot be had. */
  listen(): Promise<number>
}

export function createAdminServer(options: AdminServerOptions): AdminServer {
  const { host, port, readiness, metrics, replica, coverage, appProbes, log } = options
  const app = fastify({
    forceCloseConnections: true,
    exposeHeadRoutes: true,
    schemaController: NO_SCHEMAS
  })

  app.addHook('onRequest', async (_request, reply) => {
    reply.header('cache-control', 'no-store')
  })
  app.get('/livez', async () => ({ live: true }))
  app.get('/startupz', async (_request, reply) => {
    const started = readiness.isStarted()
    return reply.code(started ? 200 : 503).send({ started })
  })
  app.get('/readyz', async (_request, reply) => {
    const report = readiness.report()
    return reply.code(report.ready ? 200 : 503).send(report)
  })
  app.get('/metrics', async (_request, reply) =>
    reply.type(metrics.contentType).send(await metrics.render())
  )
  app.get('/replicas', async () => replica())
  app.get('/coverage', async () => coverage())
  app.get<{ Params: { '*': string } }>('/app-probe/*', async (request, reply) => {
    const name = request.params['*']
    const url = Object.hasOwn(appProbes, name) ? appProbes[name] : undefined
    return url === undefined ? refuse(reply) : reply.code(await askApp(url)).send()
  })
  app.setNotFoundHandler(async (_request, reply) => refuse(reply))
  app.setErrorHandler(async (cause, _request, reply) => {
    log.error('an answer of the admin port could not be made', { cause })
    return reply.code(500).send({ message: 'The answer could not be made', code: 'INTERNAL_ERROR' })
  })

  return {
    async listen() {
      await app.listen({ host, port })
      const address = app.server.address()
      return typeof address === 'object' && address !== null ? address.port : port
    },
    [Symbol.asyncDispose]: () => app.close()
  }
}

function refuse(reply: FastifyReply): FastifyReply {
  return reply.code(404).send({ message: 'Not found', code: 'NOT_FOUND' })
}
