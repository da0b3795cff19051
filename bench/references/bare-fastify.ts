/** A Fastify that answers a constant: what a Node process with a server costs before it does anything. */
import fastify from 'fastify'

const server = fastify()
server.get('/*', () => ({ ok: true }))
await server.listen({ port: Number(process.env['PORT']), host: '127.0.0.1' })
process.once('SIGTERM', () => process.exit(0))
