/** Every finding of a route file, each from a file that is right but for one thing. */
import t from 'tap'
import { compileText, fileWith, lineOf, loadText } from '../support/routes.ts'

/** The findings of a file with these rules, `unused-scope` left out. */
function findingsOf(...rules: readonly string[]): readonly string[] {
  return linesOf(fileWith(...rules))
}

function linesOf(...texts: readonly string[]): readonly string[] {
  return compileText(...texts)
    .findings.map(lineOf)
    .filter(line => !line.includes('unused-scope'))
}

t.test(
  'words, scopes, upstreams and parameters that are not known are named with the nearest',
  async t => {
    t.same(findingsOf('GET /a: a:raed'), [
      '7:11 error unknown-scope "a:raed" is not declared. Did you mean "a:read"?'
    ])
    t.same(findingsOf('GET /a: pubic'), [
      '7:11 error bad-value "pubic" is neither a word nor a scope. Did you mean "public"?'
    ])
    t.same(findingsOf('GET /a: { any: [a:read, x:none] }'), [
      '7:27 error unknown-scope "x:none" is not declared.'
    ])
    t.same(findingsOf('GET /a: { scope: a:read, upstream: defalt }'), [
      '7:38 error unknown-upstream "defalt" is not declared. Did you mean "default"?'
    ])
    t.same(findingsOf('GET /a/{repoId}: { scope: a:read, repo: "{repId}" }'), [
      '7:43 error unknown-param the path has no parameter "repId". Did you mean "repoId"?'
    ])
    t.same(findingsOf('GET /a: { scpe: a:read, scope: a:read }'), [
      '7:13 error unknown-key "scpe" is not known here. Did you mean "scope"?'
    ])
    t.same(findingsOf('GET /a/{r...}: { scope: a:read, repo: "{r}" }'), [
      '7:41 error unknown-param "r" is a rest; a repository is one segment'
    ])
  }
)

t.test('a key that does not parse is an error beside those of its value', async t => {
  t.match(findingsOf('GTE /a: a:raed'), [
    /^7:3 error bad-key "GTE" is not a method/,
    /^7:11 error unknown-scope/
  ])
  t.match(findingsOf('GET /a/: jwt'), [/^7:3 error bad-key a path is written without a last slash/])
  t.match(findingsOf('GET /a/*: jwt'), [/^7:3 error bad-key "\*" is no literal segment/])
  t.match(findingsOf('GET /{r...}/a: jwt'), [/bad-key a rest stands at the end/])
})

t.test('what has no effect, or cannot work, does not load', async t => {
  for (const word of ['public', 'jwt']) {
    t.same(findingsOf(`GET /a: { scope: ${word}, repo: none, signature: required }`), [
      `7:${22 + word.length} error no-effect "repo" has no effect on a rule that is ${word}`,
      `7:${34 + word.length} error no-effect "signature" has no effect on a rule that is ${word}`
    ])
  }
  t.match(findingsOf('GET /a: { scope: deny, timeoutMs: 500, why: closed }'), [
    /no-effect "timeoutMs" has no effect on a rule that is deny/
  ])
  t.match(findingsOf('POST /a: { scope: jwt, upgrade: websocket }'), [
    /no-effect "upgrade" is for rules whose one method is GET/
  ])
  t.match(findingsOf('GET /a: { scope: a:read, repo: body.id }'), [
    /bad-value "body\.id" is not for GET and HEAD/
  ])
  t.match(findingsOf('GET /a: { scope: a:read, repo: [none, query.r] }'), [
    /bad-value "none" stands alone/
  ])
  t.match(findingsOf('GET /a: { scope: a:read, repo: [query.r, query.r] }'), [
    /bad-value "query\.r" stands twice/
  ])
  t.match(findingsOf('GET /a: { scope: a:read, repo: [] }'), [
    /bad-value "repo" must not be an empty list/
  ])
  t.match(findingsOf('GET /a/{id}: { scope: a:read, repo: {id} }'), [
    /bad-value .*Quotes are missing: "\{id\}"/
  ])
  t.match(findingsOf('GET /a: { scope: a:read, timeoutMs: 99 }'), [
    /bad-value "timeoutMs" must be a whole number of ms/
  ])
  t.match(findingsOf('GET /a: { repo: none }'), [/bad-value "scope" is missing/])
  t.match(findingsOf('GET /a: []'), [/bad-value "scope" must be a list of one scope or more/])
})

t.test('two rules that are equal for one request are shown with it', async t => {
  const cases: readonly (readonly [string, string, string | undefined])[] = [
    ['GET /x/{n:int}', 'GET /x/{s:slug}', 'GET /x/0'],
    ['GET /x/{a}', 'GET /x/{b}', 'GET /x/x'],
    ['GET,POST /x', 'POST,PUT /x', 'POST /x'],
    ['GET /{a:l|m}/x', 'GET /{b:m|n}/x', 'GET /m/x'],
    ['"* /x/{a...}"', '"* /x/{b...}"', 'GET /x/x'],
    ['GET /x/{n:int}', 'GET /x/{u:uuid}', undefined],
    ['"* /x"', 'GET /x', undefined],
    ['HEAD /x', 'GET /x', undefined],
    ['GET /a/{b}/c', 'GET /a/b/{c}', undefined],
    ['"* /x"', 'OPTIONS /x', undefined]
  ]
  for (const [first, second, request] of cases) {
    const plain = [first, second].map(key => key.replaceAll('"', ''))
    const expected =
      request === undefined
        ? []
        : [`7:3 error overlap ${plain[0]} and ${plain[1]} (line 8) are equal for ${request}`]
    const found = findingsOf(`${first}: jwt`, `${second}: jwt`)
    t.same(
      found.filter(line => line.includes(' error ')),
      expected,
      `${first}, ${second}`
    )
  }
})

t.test('literals that differ in case alone, and paths of the gate, do not load', async t => {
  t.match(findingsOf('GET /Scans: jwt', 'GET /scans/x: jwt'), [
    /^7:3 error case-twins "Scans" and "scans" of GET \/scans\/x \(line 8\) differ in case alone/
  ])
  t.match(findingsOf('GET /{x}/A: jwt', 'GET /b/{y:a|c}: jwt'), [/case-twins "A" and "a"/])
  t.match(findingsOf('GET /API/x: jwt'), [
    /case-twins "API" and "api" of one of the gate's own paths/
  ])
  for (const path of [
    '/api/auth/cli-tokens',
    '/api/auth/cli-tokens/{id}/x',
    '/settings/api-tokens',
    '/{x:settings|y}/api-tokens'
  ]) {
    t.match(findingsOf(`GET ${path}: public`), [/^7:3 error reserved-path /], path)
  }
  t.same(
    findingsOf('GET /api/auth/{x}: public').filter(line => line.includes('error')),
    []
  )
})

t.test('the vocabulary is checked: names, circles, what is implied, how many', async t => {
  const withScopes = (scopes: string) =>
    linesOf(`version: 1\nscopes: ${scopes}\nroutes: { GET /a: jwt }`)
  t.same(withScopes('{ a:b: { title: A, implies: [b:c] }, b:c: { title: B, implies: [a:b] } }'), [
    '2:11 error implies-circle a:b implies b:c implies a:b'
  ])
  t.match(withScopes('{ a:b: { title: A, implies: [a:c] } }'), [
    /unknown-scope "a:c" is not declared\. Did you mean "a:b"\?/
  ])
  t.match(withScopes('{ Ab: { title: A } }'), [/bad-key "Ab" is no scope name/])
  t.match(withScopes('{ a:b: { risk: high } }'), [/bad-value "title" is missing/])
  t.match(withScopes('{ a:b: { title: A, risk: higher } }'), [
    /bad-value "risk" must be low, medium or high/
  ])
  const letters = (i: number) =>
    String(i).replaceAll(/\d/g, digit => 'abcdefghij'.charAt(Number(digit)))
  const many = Array.from({ length: 1001 }, (_, i) => `s:${letters(i)}: { title: S }`).join(', ')
  t.match(withScopes(`{ ${many} }`), [/bad-value .*at most 1000 scopes/])
})

t.test('upstreams are addresses without anything behind the host', async t => {
  const withUpstream = (entry: string) =>
    linesOf(`version: 1\nscopes: {}\nupstreams: { ${entry} }\nroutes: { GET /a: jwt }`)
  for (const url of ['http://h', 'http://h:8080', 'https://h/', 'unix:/run/x.sock']) {
    t.same(withUpstream(`u: { url: "${url}" }`), [], url)
  }
  for (const url of ['http://h/path', 'http://u@h', 'http://h?x', 'ftp://h', 'http://']) {
    t.match(withUpstream(`u: { url: "${url}" }`), [/ error bad-value /], url)
  }
  t.match(withUpstream('default: { url: "http://h" }'), [/bad-key "default" is UPSTREAM_URL/])
  t.match(withUpstream('Up: { url: "http://h" }'), [/bad-key "Up" is no upstream name/])
  t.match(withUpstream('u: { url: "http://h", caFile: /ca.pem }'), [
    /no-effect "caFile" has no effect/
  ])
})

t.test('tests are checked like rules', async t => {
  const withTest = (test: string) => linesOf(`${fileWith('GET /a: jwt')}\ntests: [{ ${test} }]`)
  t.same(withTest('request: GET /a, expect: 403, note: why'), [])
  t.match(withTest('request: GET /a, expect: 200'), [/bad-value "expect" must be allow, a status/])
  t.match(withTest('request: GET /a, expect: 404 ROUTE_DENIED'), [/bad-value "expect"/])
  t.match(withTest('request: /a, expect: allow'), [/bad-value "request" must be a method/])
  t.match(withTest('request: GET /a, as: { scopes: [a:raed] }, expect: allow'), [
    /unknown-scope "a:raed"/
  ])
  t.match(withTest('request: GET /a, expect: allow, upstream: x'), [/unknown-upstream "x"/])
  t.match(withTest('request: GET /a, expct: allow'), [
    /"expect" is missing/,
    /unknown-key "expct" .* Did you mean "expect"\?/
  ])
})

t.test('what is right and still worth a look is told below an error', async t => {
  t.same(compileText(fileWith('GET /a: a:write')).findings.map(lineOf), [
    '3:3 warning unused-scope "a:read" is declared, but no rule asks for it',
    '5:3 warning unused-scope "b:read" is declared, but no rule asks for it'
  ])
  t.match(findingsOf('GET /a/{x:b|c}: jwt', 'GET /a/b: jwt', 'GET /a/c: jwt'), [
    /^7:3 warning unreachable GET \/a\/\{x:b\|c\} is never reached/
  ])
  t.match(findingsOf('GET /a: { scope: a:read, mode: report }'), [
    /^7:3 warning report-mode GET \/a is in report mode/
  ])
  t.match(linesOf(`mode: report\n${fileWith('GET /a: jwt')}`), [
    /^1:1 warning report-mode the file is in report mode/
  ])
  t.same(findingsOf('POST /s/trigger/{id}: jwt', 'POST /s/{id}/cancel: jwt'), [
    '7:3 note crossing wins over POST /s/{id}/cancel (line 8) on POST /s/trigger/cancel'
  ])
  t.match(findingsOf('POST /s/trigger/{id}: public', 'POST /s/{id}/cancel: jwt'), [
    /^7:3 warning crossing wins over/
  ])
})

t.test('a rule that says nothing takes what the file says', async t => {
  const { rules, table } = loadText(
    `version: 1
mode: report
timeoutMs: 500
upstreams: { u: { url: "http://u", timeoutMs: 700 } }
scopes: { a:read: { title: A, default: true, risk: high, implies: [] } }
routes:
  GET /a: jwt
  GET /b: { scope: jwt, upstream: u }
  GET /c: { scope: jwt, upstream: u, timeoutMs: 900, mode: enforce }
`.replace(', implies: []', '')
  )
  t.match(rules, [
    { mode: 'report', timeoutMs: 500, upstream: 'default', signature: 'optional' },
    { mode: 'report', timeoutMs: 700, upstream: 'u' },
    { mode: 'enforce', timeoutMs: 900, upstream: 'u' }
  ])
  t.match(table, { mode: 'report', timeoutMs: 500 })
  t.match(table.scopes.get('a:read'), { title: 'A', isDefault: true, risk: 'high', implies: [] })
  const plain = loadText(fileWith('GET /a: jwt'))
  t.match(plain.table, { mode: 'enforce', timeoutMs: 30_000 })
})
