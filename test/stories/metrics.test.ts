/** What a gate serves at /metrics: the names, labels and meanings of the README, and no series more. */
import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { makeToken } from '../../src/core/token.ts'
import { COUNTERS, GAUGES, HISTOGRAMS, type Metric } from '../../src/telemetry/catalogue.ts'
import { effort } from '../support/effort.ts'
import { startFleet } from '../support/fleet.ts'
import { call, createToken, type GateProcess, userJwt } from '../support/gate.ts'
import { readMetricsTable } from '../support/metrics-table.ts'
import { type Family, metricsOf } from '../support/prometheus.ts'
import { signedHeaders } from '../support/signer.ts'

const README = readFileSync(join(import.meta.dirname, '../../README.md'), 'utf8')
const PATH = '/api/scans/dashboard'

const fleet = await startFleet(t)
const [gate] = fleet.gates
if (!gate) throw new Error('no gate')

/** Some of everything that clients do. */
async function work(at: GateProcess): Promise<void> {
  const { token, id } = await createToken(at)
  await call(at.url + PATH, { bearer: token })
  const headers = signedHeaders({ token, method: 'GET', path: PATH })
  await call(at.url + PATH, { bearer: token, headers })
  await call(at.url + PATH, { bearer: token, headers })
  await call(at.url + PATH, { bearer: await userJwt() })
  await call(at.url + PATH)
  await call(`${at.url}/nowhere`)
  await call(`${at.url}/api/auth/cli-tokens/${id}`, { method: 'DELETE', bearer: await userJwt() })
  await call(at.url + PATH, { bearer: token })
}

function labelNames({ samples }: Family): readonly string[] {
  const names = new Set(samples.flatMap(({ labels }) => Object.keys(labels)))
  names.delete('le')
  return [...names].toSorted()
}

t.test('the README names what is served: every metric, its kind, labels and meaning', async t => {
  await work(gate)
  const { families } = await metricsOf(gate)
  const rows = readMetricsTable(README)
  t.same([...families.keys()].toSorted(), rows.map(({ name }) => name).toSorted())
  for (const { name, kind, labels, meaning } of rows) {
    const family = families.get(name)
    if (!family) continue
    t.match(family, { kind, help: meaning }, name)
    // A metric whose labels come with their events has no series before the first.
    if (family.samples.length > 0) t.same(labelNames(family), labels.toSorted(), name)
  }
})

t.test('promtool accepts the page, where it is installed', async t => {
  const text = await (await fetch(`${gate.adminUrl}/metrics`)).text()
  const checked = spawnSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8' })
  if (checked.error) {
    t.comment('promtool is not installed: the reader of this suite has accepted it')
    return
  }
  t.equal(checked.status, 0, checked.stdout + checked.stderr)
})

t.test('what was done is counted', async t => {
  const scrape = await metricsOf(gate)
  t.ok(scrape.value('decisions_total', { auth: 'cli-token', result: 'allow' }) >= 2)
  t.ok(scrape.value('decisions_total', { auth: 'jwt', result: 'allow' }) >= 2)
  for (const result of ['unsigned', 'valid', 'replayed']) {
    t.ok(scrape.value('signatures_total', { result }) >= 1, result)
  }
  t.equal(scrape.value('tokens_refused_total', { reason: 'revoked' }), 1)
  t.equal(scrape.value('barriers_total', { end: 'acks' }), 1)
  t.ok(
    scrape.sum('requests_total', { route: 'GET /api/scans/dashboard', code: 'OK', class: '2xx' }) >=
      3
  )
  t.ok(scrape.sum('requests_total', { route: 'none', code: 'ROUTE_DENIED', class: '4xx' }) >= 1)
  t.ok(scrape.sum('store_seconds_count', { store: 'postgres', op: 'poll' }) >= 1)
  t.ok(scrape.sum('store_seconds_count', { store: 'redis', op: 'nonce' }) >= 2)
  t.equal(
    scrape.value('store_up', { store: 'postgres' }) + scrape.value('store_up', { store: 'redis' }),
    2
  )
  t.ok(scrape.value('upstream_connections', { state: 'idle' }) >= 1)
  t.equal(scrape.value('upstream_connections', { state: 'busy' }), 0)
  t.ok(scrape.value('event_loop_lag_seconds') < 5)
})

const CHARACTERS = 'abcdefghijklmnopqrstuvwxyz0123456789-_.~'

function randomText(length: number): string {
  return [...randomBytes(length)].map(byte => CHARACTERS[byte % CHARACTERS.length]).join('')
}

function seriesOf({ families }: { readonly families: ReadonlyMap<string, Family> }): number {
  // What the gate does by the clock, whoever asks, begins when it does.
  const ofClients = [...families.values()].filter(({ name }) => name !== 'tollgate_store_seconds')
  return ofClients.reduce((sum, { samples }) => sum + samples.length, 0)
}

async function flood(at: GateProcess, requests: number): Promise<void> {
  const methods = ['GET', 'POST', 'DELETE', 'PUT', 'PURGE']
  const one = async (i: number) => {
    const path = i % 2 === 0 ? `/${randomText(8)}/${randomText(12)}` : `${PATH}?${randomText(20)}`
    const bearer =
      i % 3 === 0 ? `ci_${randomText(36)}` : i % 3 === 1 ? makeToken(randomBytes) : randomText(30)
    const method = methods[i % methods.length] ?? 'GET'
    const headers = { 'x-request-id': randomText(20), 'user-agent': randomText(20) }
    await call(at.url + path, { method, bearer, headers })
  }
  for (let i = 0; i < requests; i += 40) {
    await Promise.all(Array.from({ length: 40 }, (_, j) => one(i + j)))
  }
}

async function isBounded(t: Test, at: GateProcess, requests: number): Promise<void> {
  await flood(at, 200)
  const before = seriesOf(await metricsOf(at))
  await flood(at, requests)
  const after = await metricsOf(at)
  t.equal(seriesOf(after), before, `${before} series before and after ${requests} requests`)
  t.ok(after.sum('requests_total') > requests)
}

t.test('a flood of random paths, tokens, methods and headers makes no series', async t => {
  await isBounded(t, gate, effort(800, 20_000))
})

t.test('after it, each label has a value of its list, a rule or an upstream', async t => {
  const catalogue: Readonly<Record<string, Metric>> = { ...COUNTERS, ...GAUGES, ...HISTOGRAMS }
  const routesFile = readFileSync(join(import.meta.dirname, '../../config/routes.yaml'), 'utf8')
  const isRule = (key: string) => routesFile.includes(`  ${key}:`)
  const isKnown = (name: string, label: string, value: string) => {
    const values = catalogue[name]?.labels[label]
    if (values === 'routes') return ['none', 'other', 'own'].includes(value) || isRule(value)
    if (values === 'upstreams') return value === 'default'
    if (values === 'newest') return /^[0-9a-f]+$/.test(value)
    return values?.includes(value) ?? false
  }
  const { families } = await metricsOf(gate)
  let seen = 0
  for (const [full, { samples }] of families) {
    const name = full.replace('tollgate_', '')
    // Of the process: its version, and nothing of requests.
    if (!(name in catalogue)) continue
    for (const [label, value] of samples.flatMap(({ labels }) => Object.entries(labels))) {
      if (label === 'le') continue
      seen += 1
      if (!isKnown(name, label, value)) t.fail(`${name}: ${label}="${value}"`)
    }
  }
  t.ok(seen > 100, `${seen} values`)
})

t.test('with METRICS_ROUTES=0 the label has the same three values for everybody', async t => {
  const small = await fleet.startGate({ METRICS_ROUTES: '0' })
  await work(small)
  const { families } = await metricsOf(small)
  const requests = families.get('tollgate_requests_total')?.samples ?? []
  const routes = new Set(requests.map(({ labels }) => labels['route']))
  t.same(routes, new Set(['none', 'other', 'own']))
})
