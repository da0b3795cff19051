import t from 'tap'
import { fileOf, tollgate } from './support/tollgate.ts'

const SPEC = `openapi: 3.1.0
info: { title: Tiny, version: "1" }
paths:
  /a/{id}: { get: { security: [{ o: [a:read] }] }, delete: {} }
`

t.test('a document becomes a route file on stdout', async t => {
  const spec = fileOf(t, SPEC, 'spec.yaml')
  t.same(await tollgate(['import', 'openapi', spec]), {
    exitCode: 0,
    stdout: `# yaml-language-server: $schema=./routes.schema.json
# Made from ${spec} (Tiny 1). Who may do what is what it says, and nothing else.
version: 1
scopes:
  a:read: { title: "a:read" }
routes:
  GET /a/{id}: a:read
  DELETE /a/{id}: deny  # TODO decide: the document says nothing of security
`,
    stderr: ''
  })
})

t.test(
  'compared with a route file, what one of them has alone is told and ends with 1',
  async t => {
    const spec = fileOf(t, SPEC, 'spec.yaml')
    const same = fileOf(t, (await tollgate(['import', 'openapi', spec])).stdout)
    t.same(await tollgate(['import', 'openapi', spec, '--check', same]), {
      exitCode: 0,
      stdout: '0 operations without a rule, 0 rules without an operation\n',
      stderr: ''
    })
    const other = fileOf(t, 'version: 1\nscopes: {}\nroutes: { GET /a/1: jwt, GET /b: jwt }')
    const { exitCode, stdout } = await tollgate(['import', 'openapi', spec, '--check', other])
    t.equal(exitCode, 1)
    t.equal(
      stdout,
      `no rule        DELETE /a/{id}
no operation   GET /b   ${other}:3:26
1 operation without a rule, 1 rule without an operation
`
    )
    const data = await tollgate(['import', 'openapi', spec, '--check', other, '--output', 'json'])
    t.match(JSON.parse(data.stdout), {
      withoutRule: ['DELETE /a/{id}'],
      withoutOperation: [{ key: 'GET /b', place: { line: 3 } }]
    })
  }
)

t.test('what cannot be read is told, with exit code 2', async t => {
  t.match(await tollgate(['import', 'openapi', '/nowhere/spec.yaml']), {
    exitCode: 2,
    stderr: /^\/nowhere\/spec\.yaml cannot be read: ENOENT\n$/
  })
  const old = fileOf(t, 'swagger: "2.0"', 'old.yaml')
  t.match(await tollgate(['import', 'openapi', old]), { exitCode: 2, stderr: /Swagger 2\.0/ })
})
