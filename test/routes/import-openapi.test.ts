import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { compareWithOpenApi } from '../../src/routes/check-openapi.ts'
import { importOpenApi } from '../../src/routes/import-openapi.ts'
import { readOpenApi } from '../../src/routes/openapi.ts'
import { compileText, lineOf, OWN_ROUTES } from '../support/routes.ts'

const MODULES = join(import.meta.dirname, '../../node_modules')

function read(text: string) {
  const api = readOpenApi(text)
  if ('problem' in api) throw new Error(api.problem)
  return api
}

function errorsOf(text: string): readonly string[] {
  return compileText(text)
    .findings.filter(({ level }) => level === 'error')
    .map(lineOf)
}

/** Documents of real interfaces, in both versions and both notations, as npm packages carry them. */
const DOCUMENTS = [
  { file: '@figma/rest-api-spec/openapi/openapi.yaml', has: 'GET /v1/files/{file_key}: ' },
  {
    file: '@readme/oas-examples/3.1/json/readme.json',
    has: '/{api_key_id:hex24}: deny  # TODO decide'
  },
  {
    file: '@readme/oas-examples/3.0/json/star-trek.json',
    has: 'POST /api/v1/rest/animal/search: deny'
  },
  {
    file: '@readme/oas-examples/3.1/yaml/train-travel.yaml',
    has: 'GET /bookings/{bookingId:uuid}: api:read'
  }
]

t.test('documents of real interfaces give files that load, and that cover them', async t => {
  for (const { file, has } of DOCUMENTS) {
    const api = read(readFileSync(join(MODULES, file), 'utf8'))
    const text = importOpenApi(api, file, OWN_ROUTES)
    const loaded = compileText(text)
    if (!('table' in loaded)) throw new Error(`${file}: ${loaded.findings.map(lineOf).join('\n')}`)
    t.same(loaded.findings, [], file)
    t.ok(text.includes(has), `${file}: ${has}`)
    t.equal(loaded.rules.length, api.operations.length)
    t.same(compareWithOpenApi(api.operations, loaded.rules), {
      withoutRule: [],
      withoutOperation: []
    })
  }
})

/** The rules that are written for some paths, and what stands before them. */
function rulesFor(paths: object, more: object = {}): readonly string[] {
  const document = { openapi: '3.1.0', info: { title: 'T', version: '1' }, paths, ...more }
  const text = importOpenApi(read(JSON.stringify(document)), 'spec.json', OWN_ROUTES)
  if (errorsOf(text).length > 0) throw new Error(errorsOf(text).join('\n'))
  const lines = text.trimEnd().split('\n')
  return lines
    .slice(lines.findIndex(line => line.startsWith('routes:')) + 1)
    .map(line => line.trim())
}

t.test('who may is what the document says, and never guessed', async t => {
  const who = (operation: object, more?: object) => rulesFor({ '/a': { get: operation } }, more)[0]
  const by = (...scopes: readonly (readonly string[])[]) => ({
    security: scopes.map(list => ({ o: list }))
  })
  t.equal(who({ 'x-required-scopes': ['a:read', 'b:read'] }), 'GET /a: [a:read, b:read]')
  t.equal(who({ 'x-required-scopes': 'a:read', security: [] }), 'GET /a: a:read')
  t.equal(who(by(['a:read'])), 'GET /a: a:read')
  t.equal(who(by(['a:read'], ['b:read'])), 'GET /a: { any: [a:read, b:read] }')
  t.equal(who(by(['a:read'], ['a:read'])), 'GET /a: a:read')
  t.equal(who(by(['a:read', 'b:read'])), 'GET /a: [a:read, b:read]')
  t.equal(who({ security: [{ o: ['a:read'], p: ['b:read'] }] }), 'GET /a: [a:read, b:read]')
  t.equal(who({ security: [] }), 'GET /a: public')
  t.equal(who({}, { security: [{ o: ['a:read'] }] }), 'GET /a: a:read')
  t.equal(who({ security: [] }, { security: [{ o: ['a:read'] }] }), 'GET /a: public')
  t.equal(who({}), 'GET /a: deny  # TODO decide: the document says nothing of security')
  t.equal(who(by([])), 'GET /a: deny  # TODO decide: a credential is asked for, but no scope')
  t.match(who({ security: [{}, { o: ['a:read'] }] }), /deny {2}# TODO decide: security is optional/)
  t.match(
    who(by(['a:read', 'b:read'], ['c:read'])),
    /deny {2}# TODO decide: any of: a:read with b:read, c:read/
  )
})

t.test('a scope of another grammar is named in ours, and keeps its name as its title', async t => {
  const document = {
    openapi: '3.0.3',
    paths: {
      '/a': { get: { security: [{ o: ['File_Content.read', 'read', 'file content:read', '🚀'] }] } }
    },
    components: {
      securitySchemes: { o: { flows: { implicit: { scopes: { read: 'Reads\n  all' } } } } }
    }
  }
  const text = importOpenApi(read(JSON.stringify(document)), 's', OWN_ROUTES)
  t.same(errorsOf(text), [])
  t.match(text, '  file-content:read: { title: "File_Content.read" }\n')
  t.match(text, '  api:read: { title: "read", about: "Reads all" }\n')
  t.match(text, /^ {2}file-content:read-[0-9a-f]{8}: \{ title: "file content:read" \}$/m)
  t.match(text, '  api:scope: { title: "🚀" }\n')
})

t.test(
  'parameters are typed by their schemas, and the prefix of the server stands first',
  async t => {
    const at = (path: string, schemas: Readonly<Record<string, object>>, more: object = {}) => {
      const parameters = Object.entries(schemas).map(([name, schema]) => ({
        in: 'path',
        name,
        schema
      }))
      return rulesFor({ [path]: { parameters, get: { security: [] } } }, more)[0]
    }
    t.equal(at('/a/{n}/', { n: { type: 'integer' } }), 'GET /a/{n:int}: public')
    t.equal(at('/{n}', { n: { type: 'string', format: 'uuid' } }), 'GET /{n:uuid}: public')
    t.equal(at('/{n}', { n: { enum: ['low', 'high'] } }), 'GET /{n:low|high}: public')
    t.equal(at('/{n}', { n: { enum: ['low'] } }), 'GET /low: public')
    t.equal(at('/{n}', { n: { enum: ['a b', 'c'] } }), 'GET /{n}: public')
    t.equal(at('/{n}', { n: { pattern: '^[0-9a-fA-F]{24}$' } }), 'GET /{n:hex24}: public')
    t.equal(at('/{n}', {}), 'GET /{n}: public')
    t.equal(at('/{2-x}/{2.x}', {}), 'GET /{p2_x}/{p2_x_2}: public')
    t.equal(at('/{n}.{ext}', {}), 'GET /{n_ext}: public  # wider than {n}.{ext}')
    t.equal(at('/', {}), 'GET /: public')
    const servers = [
      {
        url: 'https://{host}/{v}/api/',
        variables: { host: { default: 'h' }, v: { default: 'v2' } }
      }
    ]
    t.equal(at('/a', {}, { servers }), 'GET /v2/api/a: public')
    t.equal(at('/a', {}, { servers: [{ url: '/' }] }), 'GET /a: public')
    t.equal(at('/a', {}, { servers: [{ url: 'v1' }] }), 'GET /v1/a: public')
  }
)

t.test('references inside the document are followed', async t => {
  const more = {
    components: {
      parameters: { 'a/b': { in: 'path', name: 'n', schema: { $ref: '#/components/schemas/Id' } } },
      schemas: { Id: { type: 'integer' }, Loop: { $ref: '#/components/schemas/Loop' } }
    }
  }
  const parameters = [{ $ref: '#/components/parameters/a~1b' }]
  t.same(rulesFor({ '/{n}': { get: { parameters, security: [] } } }, more), [
    'GET /{n:int}: public'
  ])
  const loop = [{ in: 'path', name: 'n', schema: { $ref: '#/components/schemas/Loop' } }]
  t.same(rulesFor({ '/{n}': { get: { parameters: loop, security: [] } } }, more), [
    'GET /{n}: public'
  ])
  const elsewhere = [{ $ref: 'other.yaml#/x' }]
  t.same(rulesFor({ '/{n}': { get: { parameters: elsewhere, security: [] } } }), [
    'GET /{n}: public'
  ])
})

t.test('what cannot be a rule is left as a comment that says why', async t => {
  const open = { security: [] }
  const lines = rulesFor({
    '/a(b)': { get: open },
    '/x/{a}': { get: open },
    '/x/{b}': { get: open },
    '/api/auth/cli-tokens': { get: open, trace: open },
    '/Scans': { get: open },
    '/scans': { get: open }
  })
  t.match(lines, [
    /^# left out, .* is no literal segment.*GET \/a\(b\)": public$/,
    /^# left out, GET \/x\/\{a\} and GET \/x\/\{b\} .* are equal for GET \/x\/x: GET \/x\/\{a\}: public$/,
    'GET /x/{b}: public',
    /^# left out, .* the gate's own/,
    /^# left out, "Scans" and "scans" .* differ in case alone/,
    'GET /scans: public'
  ])
  t.same(rulesFor({}), [])
  t.match(rulesFor({ '/a(b)': { get: open } }), [/^# left out/])
})

t.test('what is no such document is refused with what it is', async t => {
  const problemOf = (text: string) => {
    const api = readOpenApi(text)
    return 'problem' in api ? api.problem : undefined
  }
  t.equal(problemOf('[]'), 'it is no OpenAPI document')
  t.equal(problemOf('{}'), 'it must be OpenAPI 3.0 or 3.1; its version is none')
  t.equal(problemOf('swagger: "2.0"'), 'it must be OpenAPI 3.0 or 3.1; its version is Swagger 2.0')
  t.equal(problemOf('openapi: 4.0.0'), 'it must be OpenAPI 3.0 or 3.1; its version is 4.0.0')
  t.match(problemOf('{ a: "'), /^it is neither JSON nor YAML: /)
})

t.test('operations and rules are compared by the requests they share', async t => {
  const paths = {
    '/a/{id}': { get: {}, head: {} },
    '/b': { post: {} },
    '/c/d': { get: {} },
    '/n/{n}': { put: {} }
  }
  const api = read(JSON.stringify({ openapi: '3.0.0', paths }))
  const loaded = compileText(`version: 1
scopes: {}
routes:
  GET,POST /a/{x:int}: jwt
  "* /c/{rest...}": jwt
  "* /e/{rest...}": jwt
  PUT /n/{n:a|b}: jwt
  DELETE /gone: deny
  GET /a: jwt
`)
  const { withoutRule, withoutOperation } = compareWithOpenApi(api.operations, loaded.rules)
  t.same(withoutRule, ['POST /b'])
  t.same(
    withoutOperation.map(({ key }) => key),
    ['POST /a/{x:int}', '* /e/{rest...}', 'GET /a']
  )
})
