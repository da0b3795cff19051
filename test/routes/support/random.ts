/**
 * Random route files and requests over few words, so that rules meet, cross and overlap often.
 */
import * as fc from 'fast-check'
import type { AskedRequest } from '../../../src/routes/evaluate.ts'
import type { Caller } from '../../../src/routes/tests.ts'

const SEGMENTS = [
  'a',
  'b',
  '1',
  '{p}',
  '{p:int}',
  '{p:slug}',
  '{p:a|b}',
  '{p:b|c}',
  '{p...}'
] as const
const METHODS = ['GET', 'POST', 'GET,POST', 'HEAD', 'OPTIONS', '*'] as const

/** `GET /a/{p1}/b`; names of parameters differ, a rest stands last. */
export const routeKey = fc
  .tuple(fc.constantFrom(...METHODS), fc.array(fc.constantFrom(...SEGMENTS), { maxLength: 3 }))
  .map(([methods, parts]) => {
    const end = parts.indexOf('{p...}')
    const kept = end < 0 ? parts : parts.slice(0, end + 1)
    return `${methods} /${kept.map((part, i) => part.replace('{p', `{p${i}`)).join('/')}`
  })

export const SCOPES = ['s:a', 's:b', 's:c'] as const
const scopes = fc.uniqueArray(fc.constantFrom(...SCOPES), { maxLength: 3 })
const someScopes = fc.uniqueArray(fc.constantFrom(...SCOPES), { minLength: 1, maxLength: 2 })

const need = fc.oneof(
  fc.constantFrom('public', 'deny', 'jwt', 'any-token', 's:a', 's:b'),
  someScopes.map(names => `[${names.join(', ')}]`),
  someScopes.map(names => `{ any: [${names.join(', ')}] }`)
)

const BINDINGS = ['upstream', 'none', 'query.q', '[query.q, upstream]', 'path', '[path, query.q]']

/** The value of a rule, in the notation of the file. */
function ruleValue(key: string): fc.Arbitrary<string> {
  const params = [...key.matchAll(/\{(\w+)(?:\}|:)/g)].map(found => found[1])
  return fc
    .record({
      param: fc.constantFrom(...(params.length === 0 ? [undefined] : params)),
      scope: need,
      repo: fc.option(fc.constantFrom(...BINDINGS)),
      signature: fc.constantFrom('', '', ', signature: required'),
      mode: fc.constantFrom('', '', '', ', mode: report'),
      upstream: fc.constantFrom('', '', ', upstream: other')
    })
    .map(({ param, scope, repo, signature, mode, upstream }) => {
      if (scope === 'deny') return 'deny'
      const isIdle = scope === 'public' || scope === 'jwt'
      const bound =
        repo?.includes('path') && param === undefined
          ? 'query.q'
          : repo?.replace('path', `"{${param}}"`)
      const about = isIdle ? '' : `${bound === undefined ? '' : `, repo: ${bound}`}${signature}`
      return `{ scope: ${scope}${about}${mode}${upstream} }`
    })
}

const rules = fc
  .uniqueArray(routeKey, { minLength: 1, maxLength: 6 })
  .chain(keys => fc.tuple(...keys.map(key => ruleValue(key).map(value => `  "${key}": ${value}`))))

/** A whole file; not every one loads. */
export const routeFile = fc
  .record({
    rules,
    mode: fc.constantFrom('enforce', 'enforce', 'report'),
    options: fc.constantFrom('deny', 'upstream'),
    implies: fc.constantFrom('', ', implies: [s:a]')
  })
  .map(({ rules: lines, mode, options, implies }) =>
    [
      `version: 1\nmode: ${mode}\noptions: ${options}`,
      'upstreams: { other: { url: "http://other" } }',
      `scopes: { s:a: { title: A }, s:b: { title: B${implies} }, s:c: { title: C } }`,
      'routes:',
      ...lines
    ].join('\n')
  )

export const caller: fc.Arbitrary<Caller> = fc.oneof(
  fc.constantFrom<Caller>({ kind: 'none' }, { kind: 'jwt' }),
  fc.record({
    kind: fc.constant('cli-token' as const),
    scopes,
    repositories: fc.option(fc.uniqueArray(fc.constantFrom('a', 'b', 'x'), { maxLength: 2 })),
    isSigned: fc.boolean()
  })
)

const words = ['a', 'b', 'c', '1', 'x-y', '~', 'A', '%61', 'x%20y'] as const
export const path = fc
  .tuple(fc.array(fc.constantFrom(...words), { maxLength: 4 }), fc.constantFrom('', '', '/'))
  .map(([parts, end]) => `/${parts.join('/')}${parts.length > 0 ? end : ''}`)
export const method = fc.constantFrom('GET', 'GET', 'POST', 'HEAD', 'OPTIONS', 'PUT', 'TRACE')
const query = fc.constantFrom('', '', '?q=a', '?q=b', '?q=', '?q=a&q=b', '?r=a')

export const request: fc.Arbitrary<AskedRequest> = fc
  .record({ method, path, query, caller })
  .map(({ path: sent, query: search, ...rest }) => ({
    ...rest,
    target: `${sent}${search}`,
    body: undefined
  }))
