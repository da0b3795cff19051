import { createServer } from 'node:http'
import t, { type Test } from 'tap'
import type { Coverage } from '../../src/core/coverage.ts'
import { tollgate } from './support/tollgate.ts'

const SEEN: Coverage = {
  routesHash: '0'.repeat(64),
  since: '2026-11-27T04:00:00.000Z',
  rules: [
    { key: 'GET /api/scans', requests: 3 },
    { key: 'POST /api/orgs', requests: 0 }
  ],
  unmatched: [
    { method: 'GET', path: '/api/reports/{id1:int}', requests: 7 },
    { method: 'POST', path: '/api/reports', requests: 1 }
  ],
  unmatchedBeyond: 2,
  tokens: ['t1', 't2', 't3', 't4'].map(id => ({ id, granted: ['scans:read'], needed: [] })),
  tokensBeyond: 5
}

/** A port that answers with this at /coverage. */
async function portWith(t: Test, answer: string): Promise<string> {
  const server = createServer((request, response) => {
    response.statusCode = request.url === '/coverage' ? 200 : 404
    response.end(answer)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const address = server.address()
  return String(typeof address === 'object' ? address?.port : '')
}

t.test('what nobody uses, covers or needs is read from the admin port', async t => {
  const port = await portWith(t, JSON.stringify(SEEN))
  t.same(await tollgate(['coverage'], { ADMIN_PORT: port }), {
    exitCode: 0,
    stdout: `Since 2026-11-27T04:00:00.000Z, on this replica

Rules that nobody used
  POST /api/orgs

Requests that no rule covers, as lines for routes
  GET /api/reports/{id1:int}: deny   # 7 requests; decide who may
  POST /api/reports: deny            # 1 request; decide who may
  … and 2 more requests without a rule

Scopes that are granted and were never needed
  scans:read   4 tokens: t1, t2, t3, …
  … and 5 requests of further tokens
`,
    stderr: ''
  })
  const { stdout } = await tollgate([
    'coverage',
    '--admin',
    `http://127.0.0.1:${port}`,
    '--output',
    'json'
  ])
  t.match(JSON.parse(stdout), { ...SEEN, advice: { unused: ['POST /api/orgs'] } })
})

t.test('nothing to do is said as well', async t => {
  const nothing = {
    ...SEEN,
    rules: [],
    unmatched: [],
    unmatchedBeyond: 0,
    tokens: [],
    tokensBeyond: 0
  }
  const port = await portWith(t, JSON.stringify(nothing))
  const { stdout } = await tollgate(['coverage'], { ADMIN_PORT: port })
  t.equal(stdout.match(/^ {2}none$/gm)?.length, 3)
})

t.test('what cannot be reached, or is something else, ends with 3', async t => {
  const port = await portWith(t, 'hello')
  const other = await tollgate(['coverage'], { ADMIN_HOST: '0.0.0.0', ADMIN_PORT: port })
  t.match(other, { exitCode: 3, stdout: '', stderr: /answers, but it is no admin port of a gate/ })
  const gone = await tollgate(['coverage', '--admin', 'http://127.0.0.1:1'])
  t.match(gone, {
    exitCode: 3,
    stdout: '',
    stderr: /cannot be reached\. Does the gate run there\?/
  })
  const six = await tollgate(['coverage'], { ADMIN_HOST: '::1', ADMIN_PORT: '1' })
  t.match(six, { exitCode: 3, stderr: /^http:\/\/\[::1\]:1\/coverage/ })
  t.match(await tollgate(['coverage', '--admin', 'ftp://x']), {
    exitCode: 2,
    stderr: /--admin takes/
  })
})
