import t from 'tap'
import { type AskedRequest, evaluate } from '../../src/routes/evaluate.ts'
import type { Caller } from '../../src/routes/tests.ts'
import { loadText } from '../support/routes.ts'

const FILE = `version: 1
options: upstream
scopes:
  a:read: { title: A }
  a:write: { title: W, implies: [a:read] }
upstreams:
  reports: { url: "http://reports" }
routes:
  GET /pub: public
  GET /people: jwt
  GET /any: any-token
  GET /a: a:read
  GET /never: deny
  GET /one-of: { scope: { any: [a:read, a:write] } }
  GET /r/{repo}: { scope: a:read, repo: "{repo}" }
  GET /find: { scope: a:read, repo: query.repo }
  POST /make: { scope: a:read, repo: body.repo, upstream: reports }
  POST /signed: { scope: a:read, signature: required }
  GET /soft: { scope: a:write, mode: report }
`
const { table } = loadText(FILE)

const NOBODY: Caller = { kind: 'none' }
const USER: Caller = { kind: 'jwt' }
const holder = (
  scopes: readonly string[],
  repositories: readonly string[] | null = null
): Caller => ({
  kind: 'cli-token',
  scopes,
  repositories,
  isSigned: false
})
const READER = holder(['a:read'])
const LIMITED = holder(['a:read'], ['r1'])

async function outcome(request: string, caller: Caller, body?: unknown): Promise<string> {
  const [method = '', target = ''] = request.split(' ')
  const bytes = body === undefined ? undefined : Buffer.from(JSON.stringify(body))
  const asked: AskedRequest = { method, target, caller, body: bytes }
  return (await evaluate(table, asked)).outcome
}

t.test('each word of a rule is decided as the gate decides it', async t => {
  const cases: readonly (readonly [string, string, string, string])[] = [
    ['GET /pub', 'allow', 'allow', 'allow'],
    ['GET /people', '401 NO_TOKEN', 'allow', '403 JWT_REQUIRED'],
    ['GET /any', '401 NO_TOKEN', 'allow', 'allow'],
    ['GET /a', '401 NO_TOKEN', 'allow', 'allow'],
    ['HEAD /a/', '401 NO_TOKEN', 'allow', 'allow'],
    ['GET /one-of', '401 NO_TOKEN', 'allow', 'allow'],
    ['GET /soft', '401 NO_TOKEN', 'allow', 'report 403 INSUFFICIENT_SCOPE'],
    ['GET /never', '403 ROUTE_DENIED', '403 ROUTE_DENIED', '403 ROUTE_DENIED'],
    ['GET /nothing', '403 ROUTE_DENIED', '403 ROUTE_DENIED', '403 ROUTE_DENIED'],
    ['OPTIONS /a', 'allow', 'allow', 'allow'],
    ['PROPFIND /a', '403 ROUTE_DENIED', '403 ROUTE_DENIED', '403 ROUTE_DENIED'],

    ['FOO /a', '400 MALFORMED_REQUEST', '400 MALFORMED_REQUEST', '400 MALFORMED_REQUEST'],
    ['GET /x/../a', '400 MALFORMED_REQUEST', '400 MALFORMED_REQUEST', '400 MALFORMED_REQUEST'],
    ['GET /A', '400 MALFORMED_REQUEST', '400 MALFORMED_REQUEST', '400 MALFORMED_REQUEST'],
    ['GET /api/auth/cli-tokens', '401 NO_TOKEN', 'allow', '403 JWT_REQUIRED']
  ]
  for (const [request, nobody, user, reader] of cases) {
    t.equal(await outcome(request, NOBODY), nobody, `${request} by nobody`)
    t.equal(await outcome(request, USER), user, `${request} by a user`)
    t.equal(await outcome(request, READER), reader, `${request} by a reader`)
  }
})

t.test('scopes count with what they imply', async t => {
  t.equal(await outcome('GET /a', holder([])), '403 INSUFFICIENT_SCOPE')
  t.equal(await outcome('GET /a', holder(['a:write'])), 'allow')
  t.equal(await outcome('GET /one-of', holder([])), '403 INSUFFICIENT_SCOPE')
})

t.test('repositories are looked for in path, query and body', async t => {
  t.equal(await outcome('GET /a', LIMITED), '403 REPOSITORY_DENIED')
  t.equal(await outcome('GET /r/r1', LIMITED), 'allow')
  t.equal(await outcome('GET /r/r2', LIMITED), '403 REPOSITORY_DENIED')
  t.equal(await outcome('GET /find?repo=r1', LIMITED), 'allow')
  t.equal(await outcome('GET /find?repo=r1&repo=r1', LIMITED), '400 MALFORMED_REQUEST')
  t.equal(await outcome('POST /make', LIMITED, { repo: 'r1' }), 'allow')
  t.equal(await outcome('POST /make', LIMITED, { repo: 'r2' }), '403 REPOSITORY_DENIED')
  t.equal(await outcome('POST /make', LIMITED, ['r1']), '400 MALFORMED_REQUEST')
  t.equal(await outcome('POST /make', LIMITED, null), '400 MALFORMED_REQUEST')
  t.equal(await outcome('POST /make', LIMITED), '403 REPOSITORY_DENIED')
  t.equal(await outcome('POST /make', LIMITED, { repo: 'r'.repeat(2 ** 20) }), '413 BODY_TOO_LARGE')
})

t.test('a signed request is signed as a client signs', async t => {
  t.equal(await outcome('POST /signed', READER), '401 INVALID_SIGNATURE')
  const signer: Caller = {
    kind: 'cli-token',
    scopes: ['a:read'],
    repositories: null,
    isSigned: true
  }
  t.equal(await outcome('POST /signed?x=1', signer, { a: 1 }), 'allow')
  t.equal(await outcome('POST /signed', signer), 'allow')
})

t.test('the upstream is told where there is one', async t => {
  const chosen = async (method: string, target: string, caller: Caller) =>
    (await evaluate(table, { method, target, caller, body: undefined })).upstream
  t.equal(await chosen('POST', '/make', READER), 'reports')
  t.equal(await chosen('GET', '/pub', NOBODY), 'default')
  t.equal(await chosen('OPTIONS', '/a', NOBODY), 'default')
  t.equal(await chosen('GET', '/never', NOBODY), undefined)
  t.equal(await chosen('GET', '/api/auth/cli-tokens', USER), undefined)
})
