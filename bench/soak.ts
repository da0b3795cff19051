/**
 * `npm run soak -- [--minutes 20]`: two gates, a real Postgres and a real Redis, clients of every kind,
 * tokens that are made and ended, a route file that changes, and something broken every minute. Ends
 * with 1 if an answer cannot be explained, or a good token was told 401. Writes bench/soak.svg.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { startFaultProxy } from '../test/support/fault-proxy.ts'
import { startFleet } from '../test/support/fleet.ts'
import { metricsOf } from '../test/support/prometheus.ts'
import { createBook, isBroken } from './soak/book.ts'
import { startSoakClients } from './soak/clients.ts'
import { breakThings, reloadRoutes } from './soak/faults.ts'
import { watchMachine } from './soak/machine.ts'
import { drawPlot } from './soak/plot.ts'
import { part, type Sample, sampleGate } from './soak/samples.ts'
import { soakUpstream, startSoakStreams, STREAM_ROUTES } from './soak/streams.ts'

const SAMPLE_MS = 5000
const FAULT_EVERY_MS = 55_000
const RELOAD_EVERY_MS = 20_000
const MEBIBYTE = 1_048_576
const WARM_SHARE = 0.1

const { values } = parseArgs({ options: { minutes: { type: 'string', default: '20' } } })
const minutes = Number(values.minutes)
const releases: (() => unknown)[] = []
const t = { teardown: (release: () => unknown) => void releases.unshift(release) }

try {
  process.exitCode = (await soak()) ? 0 : 1
} finally {
  for (const release of releases) await release()
}

function nowMs(): number {
  return performance.now()
}

function line(text: string): void {
  console.log(text)
}

async function soak(): Promise<boolean> {
  const folder = mkdtempSync(join(tmpdir(), 'tollgate-soak-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const routes = join(folder, 'routes.yaml')
  const shipped = readFileSync(join(import.meta.dirname, '../config/routes.yaml'), 'utf8')
  writeFileSync(
    routes,
    shipped.replace(/^routes:\n/m, start => start + STREAM_ROUTES)
  )
  const behind = soakUpstream(nowMs)
  t.teardown(() => behind.stop())
  const fleet = await startFleet(t, { gates: 0, upstream: behind })
  const { postgres, redis, database, upstream } = fleet
  await database.sql('UPDATE tg_epoch SET lease_ms = 2000, wait_ms = 2000')
  const postgresLink = await startFaultProxy(t, postgres.port)
  const redisLink = await startFaultProxy(t, redis.port)
  const env = {
    DATABASE_URL: database.url.replace(`:${postgres.port}/`, `:${postgresLink.port}/`),
    REDIS_URL: redis.url.replace(`:${redis.port}`, `:${redisLink.port}`),
    ROUTES_FILE: routes,
    ACCESS_LOG: 'off',
    // Full in the first minutes, so that what grows later is no cache.
    CACHE_MAX_TOKENS: '2000'
  }
  const gates = [await fleet.startGate(env), await fleet.startGate(env)]
  const book = createBook(nowMs)
  const pids = () => [...gates.map(({ pid }) => pid), redis.pid()]
  t.teardown(watchMachine({ book, pids, nowMs }))
  const startedMs = nowMs()
  const clients = await startSoakClients({ gates, database, book, nowMs })
  const streams = await startSoakStreams({ gates, book, nowMs })
  const ended = new AbortController()
  const breaking = breakThings(
    { gates, postgresLink, redisLink, redis, book, everyMs: FAULT_EVERY_MS },
    ended.signal
  )
  const reloading = reloadRoutes(routes, RELOAD_EVERY_MS, ended.signal)

  const samples: Sample[][] = gates.map(() => [])
  const rates: (readonly [number, number])[] = []
  let counted = 0
  while (nowMs() - startedMs < minutes * 60_000) {
    await sleep(SAMPLE_MS)
    // It keeps every byte that it was sent.
    upstream.forget()
    const atMs = nowMs() - startedMs
    const found = await Promise.all(gates.map(gate => sampleGate(gate, atMs)))
    for (const [i, sample] of found.entries()) if (sample) samples[i]?.push(sample)
    rates.push([atMs / 60_000, ((book.requests - counted) / SAMPLE_MS) * 1000])
    counted = book.requests
  }
  ended.abort()
  const [reloads] = await Promise.all([reloading, breaking])
  await postgresLink.pass()
  await redisLink.pass()
  await clients.stop()
  const scrapes = await Promise.all(gates.map(metricsOf))
  const seenReloads = scrapes.reduce((sum, scrape) => sum + scrape.sum('routes_reloads_total'), 0)

  const streamsLine = await streams.stop()

  const { explained, unexplained } = book.report()
  const spent = (nowMs() - startedMs) / 60_000
  line(
    `${spent.toFixed(1)} min, ${book.requests} requests, ${book.spans.filter(isBroken).length} faults, ${reloads} changes of the route file (${seenReloads} seen by two gates)`
  )
  line(streamsLine)
  line('Answers that were not due, and why:')
  for (const [why, count] of explained) line(`  ${count} × ${why}`)
  line(`Unexplained: ${unexplained.length}`)
  for (const { kind, word, startedMs: at } of unexplained.slice(0, 20)) {
    line(`  ${kind}: ${word} after ${Math.round((at - startedMs) / 1000)} s`)
  }
  line(`401 for a good token: ${book.wrongful}`)
  for (const [i, all] of samples.entries()) {
    const first = part(all, WARM_SHARE, 2 * WARM_SHARE)
    const last = part(all, 1 - WARM_SHARE, 1)
    const change = (name: string, read: (of: typeof first) => string) =>
      line(`gate ${i + 1}, ${name}: ${read(first)} → ${read(last)}`)
    change('resident', of => `${Math.round(of.residentBytes / MEBIBYTE)} MiB`)
    change('heap', of => `${Math.round(of.heapBytes / MEBIBYTE)} MiB`)
    change('descriptors', of => String(of.files))
    change('open streams', of => String(of.streams))
    change('event loop, worst of 10 s', of => `${Math.round(of.lagMs)} ms`)
  }
  const over = (read: (sample: Sample) => number) =>
    samples.map(all => all.map(sample => [sample.atMs / 60_000, read(sample)] as const))
  const svg = drawPlot({
    title: `Soak: ${spent.toFixed(0)} min, ${book.requests} requests, two gates; ${unexplained.length} unexplained answers, ${book.wrongful} wrongful 401`,
    minutes: spent,
    panels: [
      { title: 'Requests', unit: 'a second', lines: [rates] },
      { title: 'Resident memory', unit: 'MiB', lines: over(of => of.residentBytes / MEBIBYTE) },
      { title: 'Heap', unit: 'MiB', lines: over(of => of.heapBytes / MEBIBYTE) },
      { title: 'Open descriptors', unit: 'count', lines: over(of => of.files) },
      { title: 'Open streams', unit: 'count', lines: over(of => of.streams) },
      { title: 'Event loop, worst of the last 10 s', unit: 'ms late', lines: over(of => of.lagMs) }
    ],
    bands: book.spans.filter(isBroken).map(({ cause, fromMs, toMs }) => ({
      from: (fromMs - startedMs) / 60_000,
      to: (Math.min(toMs, nowMs()) - startedMs) / 60_000,
      label: cause
    }))
  })
  writeFileSync(join(import.meta.dirname, 'soak.svg'), svg)
  return unexplained.length === 0 && book.wrongful === 0
}
