import t from 'tap'
import { judgeLimits, type LimitFacts, readLimits } from '../../src/doctor/limits.ts'

const good: LimitFacts = {
  openFiles: 65_536,
  memoryBytes: 256 * 1_048_576,
  cacheMaxTokens: 10_000,
  nodeVersion: 'v26.10.0',
  nodeOptions: '--max-old-space-size=200',
  nowMs: Date.parse('2027-01-15')
}

const judge = (spoiled: Partial<LimitFacts>) => judgeLimits({ ...good, ...spoiled })

t.test('what suffices is fine, and what is not known is no reproach', async t => {
  t.match(judge({}), [{ level: 'ok' }])
  t.match(judge({ openFiles: undefined, memoryBytes: undefined }), [{ level: 'ok' }])
})

t.test('each limit that is too low, each old Node and each dangerous flag fails', async t => {
  for (const [spoiled, text] of [
    [{ openFiles: 1024 }, /1024 open files/],
    [{ cacheMaxTokens: 1_000_000 }, /256 MiB, and CACHE_MAX_TOKENS=1000000 may need 1105 MiB/],
    [{ nodeVersion: 'v20.19.0' }, /v20\.19\.0 gets no more security fixes since 2026-04-30/],
    [{ nodeOptions: '--insecure_http_parser' }, /--insecure-http-parser: take it out/],
    [{ nodeOptions: '--no-warnings --inspect=0.0.0.0' }, /--inspect: take it out/]
  ] as const) {
    t.match(judge(spoiled), [{ level: 'fail', message: text }])
  }
  t.equal(judge({ openFiles: 100, memoryBytes: 1 }).length, 2, 'all are told')
})

t.test('this process has limits that can be read', async t => {
  const { openFiles } = readLimits()
  t.ok(openFiles === undefined || openFiles > 0)
})
