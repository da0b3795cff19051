import * as fc from 'fast-check'
import t from 'tap'
import { denyBodyRepositories, denyRepositories } from '../../src/core/repositories.ts'
import type { Binding } from '../../src/core/rule.ts'
import { targetOf } from '../../src/routes/target-of.ts'
import { headOf, rule } from './examples.ts'

/** The token of these tests is limited to r1 and r2. */
const ALLOWED: readonly string[] = ['r1', 'r2']

const UPSTREAM: Binding = { kind: 'upstream' }
const PATH: Binding = { kind: 'path', name: 'id', index: 0 }
const QUERY: Binding = { kind: 'query', name: 'repo' }
const BODY: Binding = { kind: 'body', name: 'repo' }
const LIST: Binding = { kind: 'body-list', name: 'repos' }

interface Asked {
  readonly bindings?: readonly Binding[] | undefined
  readonly param?: string
  readonly query?: string
  readonly allowed?: readonly string[]
}

/** `ok`, `body-needed`, or the refusal's status and reason. */
function verdict({ bindings, param = 'r1', query, allowed = ALLOWED }: Asked): string {
  const target = targetOf(query === undefined ? '/api/find' : `/api/find?${query}`)
  const denial = denyRepositories({ ...rule, bindings }, [param], target, allowed)
  if (denial === undefined || denial === 'body-needed') return denial ?? 'ok'
  return `${denial.status} ${denial.reason}`
}

t.test('a refusal has the documented body and does not tell the cause', async t => {
  const denial = denyRepositories(rule, ['r1'], targetOf('/api/find'), ALLOWED)
  t.match(denial, { status: 403, code: 'REPOSITORY_DENIED' })
  t.strictSame(typeof denial === 'object' && denial.body, {
    message: 'Repository access denied',
    error: 'This token does not have access to this repository'
  })
})

t.test('a rule that says nothing about repositories refuses limited tokens', async t => {
  t.equal(verdict({ bindings: undefined }), '403 no-binding')
  t.equal(verdict({ bindings: [{ kind: 'none' }] }), 'ok')
  t.equal(verdict({ bindings: [UPSTREAM] }), 'ok')
})

t.test('P29: the path names one of the repositories, byte for byte', async t => {
  const ask = (param: string) => verdict({ bindings: [PATH], param })
  t.equal(ask('r2'), 'ok')
  for (const other of ['r3', 'R1', 'r1,r2', 'r1+', '%20r1', 'r'])
    t.equal(ask(other), '403 not-allowed')
  const allowed = ['a b', 'a+b']
  t.equal(verdict({ bindings: [PATH], param: 'a%20b', allowed }), 'ok', 'decoded once')
  t.equal(verdict({ bindings: [PATH], param: 'a+b', allowed }), 'ok', 'a plus is a plus')
  t.equal(verdict({ bindings: [{ ...PATH, index: 1 }] }), '403 not-allowed')
})

t.test('the query is read as form data', async t => {
  const ask = (query: string, allowed = ALLOWED) => verdict({ bindings: [QUERY], query, allowed })
  for (const good of [
    'repo=r1',
    'a=b&repo=r2&c',
    'rep%6f=%72%31',
    '&&repo=r1&',
    'xrepo=r9&repo=r1'
  ]) {
    t.equal(ask(good), 'ok', good)
  }
  t.equal(ask('repo=a+b', ['a b']), 'ok')
  t.equal(ask('repo=a=b', ['a=b']), 'ok')
  for (const bad of [
    'repo=r3',
    'repo=R1',
    'repo=',
    'repo',
    'repo=r1,r2',
    'repo=%20r1',
    'repo=r1%00'
  ]) {
    t.equal(ask(bad), '403 not-allowed', bad)
  }
})

t.test('P31: a repository that the query does not name is not allowed', async t => {
  for (const query of [undefined, '', 'xrepo=r1', 'repox=r1', 'repo-x=r1', '=r1']) {
    const asked = query === undefined ? {} : { query }
    t.equal(verdict({ bindings: [QUERY], ...asked }), '403 absent', query ?? 'no query')
    t.equal(verdict({ bindings: [QUERY, UPSTREAM], ...asked }), 'ok', 'the upstream narrows it')
  }
})

t.test('P30: a query that servers read differently is malformed', async t => {
  const twins = [
    'repo=r1&repo=r1',
    'repo[]=r2&repo=r1',
    'repo=r1&repo[0]=r2',
    'repo.x=r1',
    'repo[x'
  ]
  const cases = ['Repo=r2&repo=r1', 'REPO=r1', '+repo=r1', 'repo+=r1', 'repo%00=r2', 'repo%00x=r2']
  for (const query of [...twins, ...cases, '%72epo=r1&repo=r1']) {
    t.equal(verdict({ bindings: [QUERY], query }), '400 query-twins', query)
    t.equal(verdict({ bindings: [QUERY, UPSTREAM], query }), '400 query-twins', query)
  }
  t.equal(verdict({ bindings: [QUERY], query: 'repo=r1;repo=r2' }), '400 query-separator')
  for (const query of ['repo=%ff', 'repo=r1&%ff=1', 'a=%e2%82&repo=r1']) {
    t.equal(verdict({ bindings: [QUERY], query }), '400 query-encoding', query)
  }
  const bindings: readonly Binding[] = [{ kind: 'query', name: 'repos' }]
  t.equal(verdict({ bindings, query: 'repo%C5%BF=r2&repos=r1' }), '400 query-twins', 'a long s')
  const underscored: readonly Binding[] = [{ kind: 'query', name: 'repo_id' }]
  for (const query of ['repo.id=r2&repo_id=r1', 'repo+id=r2&repo_id=r1', 'repo%20id=r1']) {
    t.equal(verdict({ bindings: underscored, query }), '400 query-twins', query)
  }
})

t.test('every binding of a rule has to be allowed', async t => {
  const bindings = [PATH, QUERY]
  t.equal(verdict({ bindings, query: 'repo=r2' }), 'ok')
  t.equal(verdict({ bindings, query: 'repo=r3' }), '403 not-allowed')
  t.equal(verdict({ bindings, param: 'r3', query: 'repo=r1' }), '403 not-allowed')
  t.equal(verdict({ bindings: [...bindings, UPSTREAM], param: 'r3', query: '' }), '403 not-allowed')
})

t.test('a body is asked for where a rule binds to it and nothing else refuses', async t => {
  t.equal(verdict({ bindings: [BODY] }), 'body-needed')
  t.equal(verdict({ bindings: [LIST, PATH] }), 'body-needed')
  t.equal(verdict({ bindings: [BODY, PATH], param: 'r3' }), '403 not-allowed')
})

interface SentBody {
  readonly bindings?: readonly Binding[]
  readonly lines?: readonly string[]
}

const JSON_LINE = 'Content-Type: application/json'

function bodyVerdict(
  text: string,
  { bindings = [BODY], lines = [JSON_LINE] }: SentBody = {}
): string {
  const head = headOf({ method: 'POST', lines })
  const denial = denyBodyRepositories({ ...rule, bindings }, head, Buffer.from(text), ALLOWED)
  return denial ? `${denial.status} ${denial.reason ?? denial.code}` : 'ok'
}

t.test('a member of the body names one of the repositories', async t => {
  t.equal(bodyVerdict('{"repo":"r1"}'), 'ok')
  t.equal(bodyVerdict('{"repo":"r\\u0032","x":{"repo":"r3"}}'), 'ok')
  for (const text of ['{"repo":"r3"}', '{"repo":""}', '{"repo":"R1"}']) {
    t.equal(bodyVerdict(text), '403 not-allowed', text)
  }
})

t.test('each of a list of repositories must be allowed', async t => {
  const ask = (text: string) => bodyVerdict(text, { bindings: [LIST] })
  t.equal(ask('{"repos":["r1","r2","r1"]}'), 'ok')
  t.equal(ask('{"repos":["r1","r3"]}'), '403 not-allowed')
  t.equal(ask('{"repos":["r1",""]}'), '403 not-allowed')
  t.equal(ask('{"repos":"r1"}'), '400 body-type')
  t.equal(ask('{"repos":["r1",1]}'), '400 body-type')
  t.equal(ask('{"repos":[["r1"]]}'), '400 body-type')
  const many = (count: number) =>
    JSON.stringify({ repos: Array.from({ length: count }, () => 'r1') })
  t.equal(ask(many(100)), 'ok')
  t.equal(ask(many(101)), '400 body-type')
})

t.test('what the body leaves out is not allowed, unless the upstream narrows it', async t => {
  const both = [BODY, LIST]
  for (const text of ['', '{}', '{"repo":null}', '{"repos":[]}', '{"x":{"repo":"r1"}}']) {
    t.equal(bodyVerdict(text, { bindings: both }), '403 absent', text)
    t.equal(bodyVerdict(text, { bindings: [...both, UPSTREAM] }), 'ok', text)
  }
  t.equal(bodyVerdict('{"repo":"r1"}', { bindings: both }), '403 absent', 'the list is missing')
  t.equal(
    bodyVerdict('{"repo":"r1"}', { bindings: [PATH, BODY] }),
    'ok',
    'the path was judged before'
  )
  const head = headOf({ method: 'POST' })
  t.equal(denyBodyRepositories(rule, head, Buffer.from(''), ALLOWED), undefined)
})

t.test('P32: a body that two readers read differently is malformed', async t => {
  t.equal(bodyVerdict('{"repo":"r1","repo":"r2"}'), '400 body-duplicate-member')
  t.equal(bodyVerdict('{"repo":"r1","__proto__":{}}'), '400 body-unsafe-member')
  t.equal(bodyVerdict('\u{FEFF}{"repo":"r1"}'), '400 body-encoding')
  t.equal(bodyVerdict('{"repo":"r1"}x'), '400 body-syntax')
  t.equal(bodyVerdict('['.repeat(1 << 20)), '400 body-depth')
  for (const text of ['{"repo":["r1"]}', '{"repo":1}', '{"repo":{"a":1}}', '{"repo":false}']) {
    t.equal(bodyVerdict(text), '400 body-type', text)
  }
  for (const text of ['["r1"]', '"r1"', 'null', '1'])
    t.equal(bodyVerdict(text), '400 body-no-object', text)
  for (const text of ['{"repo":"r1","Repo":"r2"}', '{"REPO":"r1"}']) {
    t.equal(bodyVerdict(text), '400 body-twins', text)
  }
  const bindings: readonly Binding[] = [{ kind: 'body', name: 'risk' }]
  for (const twin of ['ri\u017fk', 'ris\u212a', 'r\u0131sk']) {
    t.equal(bodyVerdict(`{"risk":"r1","${twin}":"r2"}`, { bindings }), '400 body-twins', twin)
  }
})

t.test('P33: only application/json in UTF-8, without a coding, is read', async t => {
  const ask = (...lines: readonly string[]) => bodyVerdict('{"repo":"r1"}', { lines })
  const types = ['application/json', 'APPLICATION/JSON', 'application/json; charset=utf-8']
  for (const type of [...types, 'application/json;charset="UTF-8"']) {
    t.equal(ask(`Content-Type: ${type}`), 'ok', type)
  }
  const others = [
    'text/plain',
    'application/x-www-form-urlencoded',
    'application/jsonx',
    'x-application/json'
  ]
  for (const type of [...others, 'application/json x', 'application/json; charset=utf-16', '']) {
    t.equal(ask(`Content-Type: ${type}`), '415 UNSUPPORTED_MEDIA_TYPE', type)
  }
  t.equal(ask(), '415 UNSUPPORTED_MEDIA_TYPE')
  t.equal(ask(JSON_LINE, 'Content-Encoding: gzip'), '415 UNSUPPORTED_CONTENT_ENCODING')
  t.equal(ask(JSON_LINE, 'Content-Encoding:'), '415 UNSUPPORTED_CONTENT_ENCODING')
  t.equal(ask(JSON_LINE, 'Content-Encoding: Identity'), 'ok')
})

t.test('what the gate reads in a query is what URLSearchParams reads, or it refuses', async t => {
  const pieces = 'repo Repo = = & & ; + %20 r1 r3 [ ] . %72 %00 %C3%A9 %ff'.split(' ')
  const query = fc.array(fc.constantFrom(...pieces), { maxLength: 8 }).map(parts => parts.join(''))
  let passed = 0
  const law = fc.property(query, query => {
    if (verdict({ bindings: [QUERY], query, allowed: ['r1'] }) !== 'ok') return true
    passed++
    return new URLSearchParams(query).getAll('repo').join() === 'r1'
  })
  fc.assert(law, { numRuns: 5000, examples: [['repo=r1'], ['%72epo=r1&+']] })
  t.ok(passed > 0)
})

t.test('what the gate reads in a body is what JSON.parse reads, or it refuses', async t => {
  const value = fc.constantFrom(
    '"r1"',
    '"r\\u0031"',
    '"r3"',
    'null',
    '["r1"]',
    '1',
    '{"repo":"r1"}'
  )
  const name = fc.constantFrom('repo', 'r\\u0065po', 'Repo', 'x', '__proto__')
  const law = fc.property(fc.array(fc.tuple(name, value), { maxLength: 3 }), members => {
    const text = `{${members.map(([name, value]) => `"${name}":${value}`).join(',')}}`
    if (bodyVerdict(text) !== 'ok') return
    t.equal(ALLOWED.includes(JSON.parse(text).repo), true, text)
  })
  fc.assert(law)
})

t.test('a repository that is added never turns a yes into a no', async () => {
  const ids = ['r1', 'r2', 'r3']
  const binding = fc.constantFrom(PATH, QUERY, UPSTREAM)
  const law = fc.property(
    fc.uniqueArray(binding, { minLength: 1 }),
    fc.constantFrom(...ids),
    fc.constantFrom('', 'repo=', ...ids.map(id => `repo=${id}`)),
    fc.subarray(ids),
    fc.subarray(ids),
    (bindings, param, query, allowed, added) => {
      const before = verdict({ bindings, param, query, allowed })
      const after = verdict({ bindings, param, query, allowed: [...allowed, ...added] })
      return before !== 'ok' || after === 'ok'
    }
  )
  fc.assert(law)
})
