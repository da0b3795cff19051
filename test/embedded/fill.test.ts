import t from 'tap'
import { findGapProblems, type PartPlaces, partLines } from '../../src/embedded/fill.ts'

const ALL = ['DATABASE_URL', 'REDIS_URL', 'UPSTREAM_URL', 'JWT_SECRET'] as const
const places: PartPlaces = {
  folder: '.tollgate',
  isDatabaseKept: true,
  isSecretKept: true,
  upstreamUrl: 'http://127.0.0.1:41234'
}

t.test('where gaps may be filled, nothing is wrong with them', async t => {
  t.same(findGapProblems({ missing: ALL, mayBeFilled: true }), [])
  t.same(findGapProblems({ missing: [], mayBeFilled: false }), [])
})

t.test('in production each gap is an error that names its variable', async t => {
  const problems = findGapProblems({ missing: ALL, mayBeFilled: false })
  t.equal(problems.length, 4)
  for (const [i, name] of ALL.entries()) t.match(problems[i], name)
  t.match(problems[3], 'JWT_JWKS_URL', 'there are two ways to say where keys come from')
  for (const problem of problems) t.match(problem, 'TOLLGATE_ALLOW_EMBEDDED=true')
  t.equal(findGapProblems({ missing: ['REDIS_URL'], mayBeFilled: false }).length, 1)
})

t.test('the banner has one line a part, in columns, with what replaces it', async t => {
  t.same(partLines(ALL, places), [
    'Database      embedded Postgres in .tollgate/          replaced by DATABASE_URL',
    'Nonce store   in this process                          replaced by REDIS_URL',
    'Upstream      demo service on http://127.0.0.1:41234   replaced by UPSTREAM_URL',
    'User JWTs     generated secret in .tollgate/           replaced by JWT_SECRET or JWT_JWKS_URL'
  ])
  t.same(partLines(['REDIS_URL'], places), [
    'Nonce store   in this process   replaced by REDIS_URL'
  ])
  t.same(partLines([], places), [])
})

t.test('the banner says what will be gone after a restart', async t => {
  const lines = partLines(ALL, { ...places, isDatabaseKept: false, isSecretKept: false })
  t.match(lines[0], 'embedded Postgres in memory alone')
  t.match(lines[3], 'generated secret in memory alone')
  t.notMatch(lines.join('\n'), '.tollgate')
})
