/**
 * Fastify without JSON Schemas: no route of ours has one, and loading the two compilers that Fastify
 * brings for them was a twentieth of a start. The emitted program does not have them at all.
 * Source: https://fastify.dev/docs/latest/Reference/Server/#schemacontroller
 */
import type { FastifyServerOptions } from 'fastify'

type SchemaController = NonNullable<FastifyServerOptions['schemaController']>

export const NO_SCHEMAS: SchemaController = {
  compilersFactory: { buildValidator: refuse, buildSerializer: refuse }
}

function refuse(): never {
  throw new Error('routes have no schemas here')
}
