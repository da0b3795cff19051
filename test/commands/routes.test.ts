import t from 'tap'
import { jsonSchemaText } from '../../src/routes/schema.ts'
import { fileOf, tollgate } from './support/tollgate.ts'
import { fileWith } from '../support/routes.ts'

const GOOD = fileWith('GET /a: [a:read, a:write]', 'GET /b: { scope: b:read, repo: upstream }')

t.test('a good route file is summed up, with exit code 0', async t => {
  const file = fileOf(t, GOOD)
  const summary =
    '0 errors, 0 warnings, 0 notes. 2 rules; 0 need no credential; 1 leave repositories to the upstream; 0 in report mode\n'
  t.same(await tollgate(['validate', file]), { exitCode: 0, stdout: summary, stderr: '' })
  const named = await tollgate(['validate'], { ROUTES_FILE: file })
  t.equal(named.stdout, summary, 'the file of the settings, where none is named')
})

t.test('every problem is told with its place, and ends with 1', async t => {
  const file = fileOf(t, fileWith('GET /a: a:reed', 'GET //b: public', 'PSOT /c: jwt'))
  const { exitCode, stdout, stderr } = await tollgate(['validate', file])
  t.equal(exitCode, 1)
  t.equal(stderr, '')
  t.match(stdout, `${file}:7:11`)
  t.match(stdout, /error +unknown-scope +"a:reed" is not declared\. Did you mean "a:read"\?\n/)
  t.match(stdout, /:8:3 +error +bad-key /)
  t.match(stdout, /:9:3 +error +bad-key /)
  t.match(stdout, /^3 errors, /m)
})

t.test('a warning is a finding where that is asked for', async t => {
  const file = fileOf(t, fileWith('GET /a: a:read'))
  const lax = await tollgate(['validate', file])
  t.equal(lax.exitCode, 0)
  t.match(lax.stdout, /warning +unused-scope/)
  t.equal((await tollgate(['validate', '--strict', file])).exitCode, 1)
})

t.test('the page’s path is the gate’s own, unless the page is switched off', async t => {
  const rule = (path: string) => `GET ${path}: { scope: public, why: a page of ours }`
  const file = fileOf(t, fileWith(rule('/settings/api-tokens'), rule('/settings/api-tokens/x')))
  const { exitCode, stdout } = await tollgate(['validate', file])
  t.equal(exitCode, 1)
  t.match(stdout, /:7:3 +error +reserved-path +\/settings\/api-tokens and what is below/)
  t.match(stdout, /:8:3 +error +reserved-path /)
  t.equal((await tollgate(['validate', file], { DASHBOARD: 'off' })).exitCode, 0)
})

t.test('the schema is data for editors', async t => {
  t.same(await tollgate(['schema']), { exitCode: 0, stdout: jsonSchemaText(), stderr: '' })
})

t.test('findings as data, and as annotations of a change', async t => {
  const file = fileOf(t, fileWith('GET /a: a:reed', 'GET /b: b:read'))
  const data = await tollgate(['validate', '--output', 'json', file])
  t.equal(data.exitCode, 1)
  const { findings, ...counts } = JSON.parse(data.stdout)
  t.match(findings[0], { level: 'error', code: 'unknown-scope', place: { file, line: 7, col: 11 } })
  t.match(counts, { errors: 1, warnings: 2, notes: 0, rules: 2, public: 0, upstream: 0, report: 0 })
  const { stdout } = await tollgate(['validate', '--output', 'github', file])
  t.ok(
    stdout.startsWith(
      `::error file=${file},line=7,col=11,title=unknown-scope::"a:reed" is not declared. Did you mean "a:read"?\n::warning file=`
    )
  )
})

const TESTED = `${GOOD}
tests:
  - { request: GET /a, as: { scopes: [a:read, a:write] }, expect: allow, note: two at once }
`
const FAILING = `${TESTED}  - { request: "GET /a?x=50%", expect: allow }\n`

t.test("a file's tests are run, and the rules that none of them reaches are named", async t => {
  const file = fileOf(t, TESTED)
  t.same(await tollgate(['test', file]), {
    exitCode: 0,
    stdout: `ok      GET /a with a:read,a:write: allow   two at once

No test reaches:
  GET /b   ${file}:8:3
1 test, 0 failed. 1 of 2 rules reached
`,
    stderr: ''
  })
})

t.test('a failing test is shown with what happened, and ends with 1', async t => {
  const file = fileOf(
    t,
    TESTED.replace('as: { scopes: [a:read, a:write] }', 'as: { scopes: [a:read] }')
  )
  const { exitCode, stdout } = await tollgate(['test', file])
  t.equal(exitCode, 1)
  t.equal(
    stdout,
    `FAILED  GET /a with a:read: expected allow, got 403 INSUFFICIENT_SCOPE   two at once   ${file}:10:5
    403 INSUFFICIENT_SCOPE
    rule      GET /a   ${file}:7:3
    needs     scope a:read    given
              scope a:write   missing   token has: a:read
              signature       optional
    upstream  default, 30000 ms
    fix       a token with scopes a:read, a:write

No test reaches:
  GET /b   ${file}:8:3
1 test, 1 failed. 1 of 2 rules reached
`
  )
})

t.test('tests as data, and failing ones as annotations', async t => {
  const file = fileOf(t, FAILING)
  const data = await tollgate(['test', '--output', 'json', file])
  t.equal(data.exitCode, 1)
  t.match(JSON.parse(data.stdout), {
    tests: [
      { request: 'GET /a', expected: 'allow', outcome: 'allow', passes: true, note: 'two at once' },
      { request: 'GET /a?x=50%', outcome: '400 MALFORMED_REQUEST', passes: false }
    ],
    findings: [{ code: 'failing-test', place: { line: 11, col: 5 } }],
    unreached: [{ key: 'GET /b' }]
  })
  const { exitCode, stdout } = await tollgate(['test', '--output', 'github', file])
  t.equal(exitCode, 1)
  t.ok(
    stdout.startsWith(
      `::error file=${file},line=11,col=5,title=failing-test::GET /a?x=50%25 without a credential: expected allow, got 400 MALFORMED_REQUEST%0A400 MALFORMED_REQUEST%0Abecause `
    )
  )
  t.match(stdout, /\n2 tests, 1 failed\. 1 of 2 rules reached\n$/)
})

t.test('the tests of a file that does not load are not run', async t => {
  const file = fileOf(t, `${fileWith('GET /a: a:reed')}\ntests: [{ request: GET /a, expect: 401 }]`)
  const { exitCode, stdout } = await tollgate(['test', file])
  t.equal(exitCode, 1)
  t.match(stdout, /unknown-scope/)
  t.match(stdout, /^0 tests, 0 failed\. /m)
})

t.test('colour is for terminals', async t => {
  const file = fileOf(t, fileWith('GET /a: a:reed'))
  const onTerminal = await tollgate(['validate', file], {}, true)
  t.ok(onTerminal.stdout.includes('\u001B[31merror\u001B[39m'))
  const declined = await tollgate(['validate', file], { NO_COLOR: '1' }, true)
  t.notOk(declined.stdout.includes('\u001B'))
})
