import t from 'tap'
import { fileWith } from '../support/routes.ts'
import { fileOf, tollgate } from './support/tollgate.ts'

const TEXT = fileWith(
  'GET /a/{id}: { scope: a:read, repo: "{id}" }',
  'POST /a: { scope: a:write, repo: body.id }',
  'POST /s: { scope: any-token, signature: required }',
  'GET /p: jwt'
)

t.test('the answer and its reasons are data, the exit code is the verdict', async t => {
  const file = fileOf(t, TEXT)
  const refused = await tollgate(['explain', 'get', '/a/1', '-f', file])
  t.equal(refused.exitCode, 1)
  t.equal(refused.stderr, '')
  t.match(refused.stdout, /^401 NO_TOKEN\nrule {6}GET \/a\/\{id\} /)
  const allowed = await tollgate(['explain', 'GET', '/a/1', '--scopes', 'a:read'], {
    ROUTES_FILE: file
  })
  t.equal(allowed.exitCode, 0)
  t.match(allowed.stdout, /^allow\n/)
})

t.test('every kind of caller can be asked for', async t => {
  const file = fileOf(t, TEXT)
  const outcome = async (...argv: readonly string[]) =>
    (await tollgate(['explain', ...argv, '-f', file])).stdout.split('\n')[0]
  t.equal(await outcome('GET', '/p', '--jwt'), 'allow')
  t.equal(await outcome('GET', '/p', '--scopes', ''), '403 JWT_REQUIRED')
  t.equal(await outcome('POST', '/s', '--signed'), 'allow')
  const limited = ['--scopes', 'a:read , a:write', '--repositories', '1,2']
  t.equal(await outcome('GET', '/a/2', ...limited), 'allow')
  t.equal(await outcome('GET', '/a/3', ...limited), '403 REPOSITORY_DENIED')
  t.equal(await outcome('GET', '/a/3', '--repositories', '3'), '403 INSUFFICIENT_SCOPE')
  const body = fileOf(t, '{"id":"2"}', 'body.json')
  t.equal(await outcome('POST', '/a', ...limited, '--body', body), 'allow')
})

t.test('a whole address means what is behind the host', async t => {
  const file = fileOf(t, TEXT)
  for (const [url, rule] of [
    ['https://api.example.com/a/1?x=1', 'GET /a/{id}'],
    ['http://h', undefined]
  ] as const) {
    const { stdout } = await tollgate(['explain', 'GET', url, '-f', file, '--output', 'json'])
    t.equal(JSON.parse(stdout).rule?.key, rule)
  }
})

t.test('the same as JSON', async t => {
  const file = fileOf(t, TEXT)
  const argv = ['explain', 'GET', '/a/1', '--repositories', '2', '-f', file, '--output', 'json']
  t.match(JSON.parse((await tollgate(argv)).stdout), {
    outcome: '403 INSUFFICIENT_SCOPE',
    isAllowed: false,
    rule: { key: 'GET /a/{id}', place: { file, line: 7, col: 3 }, params: { id: '1' } },
    needs: [
      { what: 'scope a:read', state: 'missing' },
      { what: 'repository 1', state: 'missing' },
      {}
    ],
    upstream: { name: 'default', timeoutMs: 30_000 },
    losers: [],
    fix: 'a token with scopes a:read and repository 1'
  })
})

t.test('a call that cannot be meant is told, with exit code 2', async t => {
  const file = fileOf(t, TEXT)
  const both = await tollgate(['explain', 'GET', '/p', '--jwt', '--scopes', 'a:read', '-f', file])
  t.match(both, { exitCode: 2, stdout: '', stderr: /--jwt is another credential/ })
  const gone = await tollgate(['explain', 'POST', '/a', '--body', `${file}.gone`, '-f', file])
  t.match(gone, { exitCode: 2, stdout: '', stderr: /cannot be read from .*: ENOENT/ })
  const wrong = await tollgate([
    'explain',
    'GET',
    '/p',
    '-f',
    fileOf(t, fileWith('GET /a: a:reed'))
  ])
  t.match(wrong, { exitCode: 2, stdout: '', stderr: /routes\.yaml:7:11 +error +unknown-scope/ })
})

t.test('a scope that the file does not declare is told, and tried all the same', async t => {
  const argv = ['explain', 'GET', '/a/1', '--scopes', 'a:raed', '-f', fileOf(t, TEXT)]
  const { exitCode, stdout, stderr } = await tollgate(argv)
  t.equal(exitCode, 1)
  t.match(stdout, /token has: a:raed/)
  t.equal(stderr, 'Warning: "a:raed" is not declared in the file. Did you mean "a:read"?\n')
})
