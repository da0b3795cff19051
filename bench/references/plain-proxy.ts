/** What people have without a gate: @fastify/http-proxy as its README shows it, and no authentication. */
import proxy from '@fastify/http-proxy'
import fastify from 'fastify'

const server = fastify()
await server.register(proxy, { upstream: process.env['UPSTREAM_URL'] ?? '' })
await server.listen({ port: Number(process.env['PORT']), host: '127.0.0.1' })
process.once('SIGTERM', () => process.exit(0))
