import { join } from 'node:path'
import t, { type Test } from 'tap'
import { checkRoutes } from '../../src/routes/check.ts'
import { runTests } from '../../src/routes/run-tests.ts'
import { fileWith, lineOf, loadText, OWN_ROUTES } from '../support/routes.ts'

const RULES = fileWith(
  'GET /pub: public',
  'GET /a: a:read',
  'GET /r/{repo}: { scope: a:write, repo: "{repo}", upstream: other }',
  'GET /s: { scope: b:read, signature: required, mode: report }'
)
const UPSTREAMS = 'upstreams: { other: { url: "http://other" } }'
const withTests = (...tests: readonly string[]) =>
  [RULES, UPSTREAMS, 'tests:', ...tests.map(test => `  - { ${test} }`)].join('\n')

async function summaries(...tests: readonly string[]): Promise<readonly string[]> {
  const loaded = loadText(withTests(...tests))
  const results = await runTests(loaded.table, loaded.tests)
  return results.map(({ passes, summary }) => `${passes ? 'ok' : 'not ok'} ${summary}`)
}

t.test('a test passes by a word, a status, or a status and its code', async t => {
  t.same(
    await summaries(
      'request: GET /pub, expect: allow',
      'request: GET /a, expect: 401',
      'request: GET /a, as: { scopes: [b:read] }, expect: 403 INSUFFICIENT_SCOPE',
      'request: GET /r/x, as: { scopes: [a:write], repositories: [x] }, expect: allow, upstream: other',
      'request: GET /s, as: { scopes: [b:read], repositories: [], signed: true }, expect: report 403',
      'request: GET /s, as: { scopes: [] }, expect: report 403 INSUFFICIENT_SCOPE',
      'request: GET /s, as: jwt, expect: allow'
    ),
    [
      'ok GET /pub without a credential: allow',
      'ok GET /a without a credential: 401 NO_TOKEN',
      'ok GET /a with b:read: 403 INSUFFICIENT_SCOPE',
      'ok GET /r/x with a:write, limited to x: allow',
      'ok GET /s with b:read, limited to nothing, signed: report 403 REPOSITORY_DENIED',
      'ok GET /s with a token without scopes: report 403 INSUFFICIENT_SCOPE',
      'ok GET /s with a user JWT: allow'
    ]
  )
})

t.test('a test that fails says what it expected and what it got', async t => {
  t.same(
    await summaries(
      'request: GET /pub, expect: 401',
      'request: GET /a, expect: 403',
      'request: GET /a, expect: 401 INVALID_SIGNATURE',
      'request: GET /s, as: { scopes: [] }, expect: allow',
      'request: GET /s, as: { scopes: [] }, expect: 403',
      'request: GET /a, as: jwt, expect: allow, upstream: other',
      'request: GET /a, expect: 401, upstream: other'
    ),
    [
      'not ok GET /pub without a credential: expected 401, got allow',
      'not ok GET /a without a credential: expected 403, got 401 NO_TOKEN',
      'not ok GET /a without a credential: expected 401 INVALID_SIGNATURE, got 401 NO_TOKEN',
      'not ok GET /s with a token without scopes: expected allow, got report 403 INSUFFICIENT_SCOPE',
      'not ok GET /s with a token without scopes: expected 403, got report 403 INSUFFICIENT_SCOPE',
      'not ok GET /a with a user JWT: expected upstream other, got default',
      'not ok GET /a without a credential: expected upstream other, got none'
    ]
  )
})

async function check(t: Test, text: string) {
  const folder = t.testdir({ 'routes.yaml': text })
  const checked = await checkRoutes(join(folder, 'routes.yaml'), { ownRoutes: OWN_ROUTES })
  return {
    isLoaded: 'table' in checked,
    lines: checked.findings.map(lineOf).map(line => line.replace(`${folder}/routes.yaml:`, ''))
  }
}

t.test('a file with a failing test is not loaded', async t => {
  const { isLoaded, lines } = await check(
    t,
    withTests('request: GET /pub, expect: allow', 'request: GET /a, expect: allow')
  )
  t.equal(isLoaded, false)
  t.match(lines, [
    '14:5 error failing-test GET /a without a credential: expected allow, got 401 NO_TOKEN',
    /^10:3 warning report-mode /
  ])
})

t.test('a file whose tests pass is loaded, one with an error is not', async t => {
  const good = await check(t, withTests('request: GET /pub, expect: allow'))
  t.equal(good.isLoaded, true)
  const wrong = await check(t, fileWith('GET /a: a:reed'))
  t.equal(wrong.isLoaded, false)
  t.match(wrong.lines[0], /^7:11 error unknown-scope /)
})
