import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { COUNTERS, GAUGES, HISTOGRAMS } from '../../src/telemetry/catalogue.ts'
import { createMetrics } from '../../src/telemetry/metrics.ts'

const OBSERVER = join(import.meta.dirname, '../../src/core/observer.ts')

function make(routeLimit = 200) {
  const metrics = createMetrics({ version: '1.2.3', routeLimit })
  metrics.setRoutes(['GET /api/a', 'GET /api/b', 'GET /api/c'])
  return metrics
}

type Metrics = ReturnType<typeof make>

/** The lines of one metric, comments left out, in order. */
async function linesOf(metrics: Metrics, name: string): Promise<readonly string[]> {
  const text = await metrics.render()
  return text.split('\n').filter(line => line.startsWith(`tollgate_${name}`))
}

/** The value of one series, written as it is served. */
async function valueOf(metrics: Metrics, series: string): Promise<string | undefined> {
  const found = await linesOf(metrics, `${series} `)
  return found[0]?.split(' ').at(-1)
}

/** The names of a union type, read from its source. */
function namesOf(type: string): readonly string[] {
  const body = new RegExp(`export type ${type} =([^=]*?)\n\n`).exec(readFileSync(OBSERVER, 'utf8'))
  return [...(body?.[1] ?? '').matchAll(/'(\w+)'/g)].map(found => found[1] ?? '')
}

t.test('what can be observed, what is described and what is served are the same', async t => {
  const text = await make().render()
  for (const [kind, type, catalogue] of [
    ['counter', 'CounterName', COUNTERS],
    ['histogram', 'HistogramName', HISTOGRAMS],
    ['gauge', 'GaugeName', GAUGES]
  ] as const) {
    const names = namesOf(type)
    t.ok(names.length > 5, type)
    t.same(Object.keys(catalogue).toSorted(), names.toSorted(), type)
    for (const name of names) t.match(text, `# TYPE tollgate_${name} ${kind}\n`, name)
  }
})

t.test('every metric has a help text, and its name ends with its unit', async t => {
  for (const [name, { help }] of Object.entries({ ...COUNTERS, ...GAUGES, ...HISTOGRAMS })) {
    t.ok(help, name)
  }
  for (const name of Object.keys(COUNTERS)) t.match(name, /_total$/)
  for (const name of Object.keys(HISTOGRAMS)) t.match(name, /_(?:seconds|size)$/)
})

t.test('histograms never carry the route', async t => {
  for (const { labels } of Object.values(HISTOGRAMS)) t.notOk('route' in labels)
})

t.test('counters count, by one or by more', async t => {
  const metrics = make()
  metrics.count('lease_lapses_total')
  metrics.count('bytes_total', { direction: 'in' }, 100)
  metrics.count('bytes_total', { direction: 'in' }, 11)
  t.equal(await valueOf(metrics, 'lease_lapses_total'), '1')
  t.equal(await valueOf(metrics, 'bytes_total{direction="in"}'), '111')
  t.equal(await valueOf(metrics, 'bytes_total{direction="in"}'), '111', 'a scrape adds nothing')
  t.equal(await valueOf(metrics, 'bytes_total{direction="out"}'), '0', 'from zero on')
})

t.test('gauges show the last value', async t => {
  const metrics = make()
  metrics.gauge('store_up', 1, { store: 'redis' })
  metrics.gauge('store_up', 0, { store: 'redis' })
  metrics.gauge('lease_age_seconds', Infinity)
  t.equal(await valueOf(metrics, 'store_up{store="redis"}'), '0')
  t.equal(await valueOf(metrics, 'lease_age_seconds'), '+Inf')
})

t.test('an info gauge has the newest value alone', async t => {
  const metrics = make()
  metrics.gauge('routes_info', 1, { hash: 'old' })
  metrics.gauge('routes_info', 1, { hash: 'new' })
  t.same(await linesOf(metrics, 'routes_info'), ['tollgate_routes_info{hash="new"} 1'])
})

const bucket = (le: string) => `overhead_seconds_bucket{le="${le}",signed="false"}`

t.test('histograms count into their buckets, bounds included', async t => {
  const metrics = make()
  metrics.measure('overhead_seconds', 0.0002, { signed: 'false' })
  metrics.measure('overhead_seconds', 0.5, { signed: 'false' })
  t.equal(await valueOf(metrics, bucket('0.0001')), '0')
  t.equal(await valueOf(metrics, bucket('0.00025')), '1')
  t.equal(await valueOf(metrics, bucket('0.25')), '1')
  t.equal(await valueOf(metrics, bucket('0.5')), '2')
  t.equal(await valueOf(metrics, bucket('+Inf')), '2')
  t.equal(await valueOf(metrics, 'overhead_seconds_count{signed="false"}'), '2')
  t.equal(await valueOf(metrics, 'overhead_seconds_sum{signed="false"}'), '0.5002')
  t.equal(await valueOf(metrics, 'overhead_seconds_count{signed="true"}'), '0', 'from zero on')

  const size = (le: string) => valueOf(metrics, `token_query_batch_size_bucket{le="${le}"}`)
  t.equal(await size('+Inf'), '0', 'without labels, too')
  for (const value of [1, 2, 3, 1000]) metrics.measure('token_query_batch_size', value)
  t.same(
    [await size('1'), await size('2'), await size('4'), await size('256'), await size('+Inf')],
    ['1', '2', '3', '3', '4']
  )
})

t.test("a label's value cannot end its line", async t => {
  const metrics = make()
  metrics.measure('upstream_seconds', 1, { upstream: 'a"\n\\b' })
  t.equal(await valueOf(metrics, 'upstream_seconds_count{upstream="a\\"\\n\\\\b"}'), '1')
})

t.test(
  'the first rules of the file have series of their own, later ones count as other',
  async t => {
    const metrics = make(2)
    const routes = ['GET /api/a', 'GET /api/b', 'GET /api/c', 'GET /not/a/rule', 'none', 'own']
    for (const route of routes) metrics.count('requests_total', { route, code: 'OK', class: '2xx' })
    const seen = (await linesOf(metrics, 'requests_total')).map(
      line => /route="([^"]*)"/.exec(line)?.[1]
    )
    t.same(seen, ['GET /api/a', 'GET /api/b', 'other', 'none', 'own'])
    t.equal(await valueOf(metrics, 'requests_total{route="other",code="OK",class="2xx"}'), '2')
  }
)

t.test('with a limit of 0 every rule counts as other', async t => {
  const metrics = make(0)
  metrics.count('would_deny_total', { route: 'GET /api/a', code: 'JWT_REQUIRED' })
  t.equal(await valueOf(metrics, 'would_deny_total{route="other",code="JWT_REQUIRED"}'), '1')
})

t.test('a new route file takes the series of rules that are gone', async t => {
  const metrics = make()
  const count = (route: string) =>
    metrics.count('requests_total', { route, code: 'OK', class: '2xx' })
  count('GET /api/a')
  count('GET /api/b')
  count('GET /other')
  metrics.setRoutes(['GET /api/b', 'GET /api/d'])
  count('GET /api/a')
  count('GET /api/d')
  const seen = (await linesOf(metrics, 'requests_total')).map(
    line => /route="([^"]*)"/.exec(line)?.[1]
  )
  t.same(seen, ['GET /api/b', 'other', 'GET /api/d'])
})

t.test('label values come from closed lists: nothing a client sends makes a series', async t => {
  const metrics = make()
  const series = async () => (await metrics.render()).split('\n').length
  const flood = (i: number) => {
    const value = `/api/x${i}?token=ci_secret`
    metrics.count('requests_total', { route: value, code: value, class: value })
    metrics.count('tokens_refused_total', { reason: value })
    metrics.count('store_errors_total', { store: value, reason: value })
    metrics.gauge('streams', 1, { kind: value })
    metrics.measure('request_seconds', 1, { outcome: value })
    metrics.count('upstream_retries_total', { upstream: value })
    metrics.measure('upstream_seconds', 1, { upstream: `u${i}` })
  }
  for (let i = 0; i < 200; i++) flood(i)
  const before = await series()
  for (let i = 200; i < 2000; i++) flood(i)
  t.equal(await series(), before)
  t.notMatch(await metrics.render(), 'token=')
  t.equal(await valueOf(metrics, 'tokens_refused_total{reason="other"}'), '2000')
})

t.test('nothing that is observed can throw, nor spoil what is there', async t => {
  const metrics = make()
  metrics.count('lease_lapses_total', {}, -1)
  metrics.count('lease_lapses_total', {}, Number.NaN)
  metrics.count('lease_lapses_total', {}, Infinity)
  metrics.count('requests_total')
  metrics.gauge('in_flight', Number.NaN)
  metrics.measure('request_seconds', Number.NaN, { outcome: 'fault' })
  metrics.measure('request_seconds', Infinity, { outcome: 'fault' })
  t.equal(await valueOf(metrics, 'lease_lapses_total'), '0')
  t.equal(await valueOf(metrics, 'in_flight'), '0')
  t.equal(await valueOf(metrics, 'request_seconds_count{outcome="fault"}'), '0')
  t.equal(await valueOf(metrics, 'requests_total{route="other",code="other",class="other"}'), '1')
})

t.test('the process itself is read when somebody asks', async t => {
  const metrics = make()
  t.match(metrics.contentType, /^text\/plain; version=0\.0\.4/)
  const resident = Number(await valueOf(metrics, 'process_resident_memory_bytes'))
  t.ok(resident > 10_000_000)
  t.ok(Number(await valueOf(metrics, 'heap_used_bytes')) < resident)
  t.ok(Number(await valueOf(metrics, 'process_cpu_seconds_total')) > 0)
  t.ok(Number(await valueOf(metrics, 'open_fds')) > 2)
  const build = `build_info{version="1.2.3",node="${process.versions.node}"}`
  t.equal(await valueOf(metrics, build), '1')
})
