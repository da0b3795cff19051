import t from 'tap'
import type { Coverage } from '../../src/core/coverage.ts'
import { adviseOn, readCoverage } from '../../src/routes/coverage.ts'

const SEEN: Coverage = {
  routesHash: '0'.repeat(64),
  since: '2026-11-27T04:00:00.000Z',
  rules: [
    { key: 'GET /a', requests: 3 },
    { key: 'GET /b', requests: 0 }
  ],
  unmatched: [{ method: 'POST', path: '/api/reports/{id1:int}', requests: 7 }],
  unmatchedBeyond: 0,
  tokens: [
    { id: 't1', granted: ['b:read', 'a:read'], needed: ['a:read'] },
    { id: 't2', granted: ['b:read', 'c:read'], needed: ['c:read', 'b:read'] },
    { id: 't3', granted: ['b:read', 'a:write'], needed: [] }
  ],
  tokensBeyond: 0
}

t.test(
  'the answer of the admin port is taken as it is, with whatever it tells besides',
  async t => {
    t.equal(readCoverage(SEEN), SEEN)
    const more = { ...SEEN, further: 1 }
    t.equal(readCoverage(more), more)
  }
)

t.test('another answer is none', async t => {
  const { since: _since, ...less } = SEEN
  for (const answer of [undefined, null, [], 'x', less, { ...SEEN, unmatchedBeyond: -1 }]) {
    t.equal(readCoverage(answer), undefined)
  }
})

t.test('what nobody uses, covers or needs is told', async t => {
  t.same(adviseOn(SEEN), {
    unused: ['GET /b'],
    uncovered: [{ requests: 7, line: 'POST /api/reports/{id1:int}: deny' }],
    idleScopes: [
      { scope: 'a:write', tokens: ['t3'] },
      { scope: 'b:read', tokens: ['t1', 't3'] }
    ]
  })
})
