import t from 'tap'
import { Fault } from '../../src/core/decision.ts'
import { createLagMeter, startLoad } from '../../src/proxy/load.ts'
import { startProxy } from '../support/proxy.ts'
import { sendRaw } from '../support/raw.ts'

t.test('three late looks in a row begin shedding, an early one ends it', async t => {
  const meter = createLagMeter()
  const looks = [260, 260, 0, 251, 300, 2000, 250, 100, 99, 150, 260, 260].map((lagMs, i) =>
    meter.sample(lagMs, i * 100)
  )
  const [N, Y] = [false, true]
  t.same(looks, [N, N, N, N, N, Y, Y, Y, N, N, N, N])
})

t.test('the highest lag is that of the last ten seconds', async t => {
  const meter = createLagMeter()
  meter.sample(50, 0)
  meter.sample(3000, 100)
  meter.sample(20, 5000)
  meter.sample(30, 6000)
  t.equal(meter.highestMs(10_000), 3000)
  t.equal(meter.highestMs(10_101), 30)
  t.equal(meter.highestMs(20_000), 0)
})

t.test('a process that is late sheds, and says so once', async t => {
  const counts: string[] = []
  const gauges: number[] = []
  const logged: string[] = []
  const note = (message: string) => void logged.push(message)
  const load = startLoad({
    observer: {
      count: (name, labels) => void counts.push(`${name} ${labels?.['reason']}`),
      gauge: (_name, value) => void gauges.push(value),
      measure: () => undefined
    },
    log: { info: note, warn: note, error: note }
  })
  t.teardown(() => load.stop())
  load.admit()
  for (let round = 0; round < 6; round++) {
    const untilMs = performance.now() + 450
    while (performance.now() < untilMs);
    await new Promise(resolve => setImmediate(resolve))
  }
  t.throws(() => load.admit(), Fault)
  t.same(counts, ['shed_total lag'])
  t.ok(Math.max(...gauges) > 0.25)
  t.same(logged, ['too busy: new requests are refused'])
  await new Promise(resolve => setTimeout(resolve, 300))
  load.admit()
})

t.test(
  'what is shed is 503 on a connection that stays open, and nothing goes upstream',
  async t => {
    let isBusy = true
    const proxy = await startProxy(t, {
      routes:
        'version: 1\nscopes: { a:read: { title: A } }\nroutes: { GET /a: public, GET /b: deny }',
      deps: {
        load: {
          admit: () => {
            if (isBusy) throw new Fault('OVERLOADED', { retryAfterSeconds: 3 })
          }
        }
      }
    })
    const ask = (path: string) => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`
    const { answers, closed } = await sendRaw(proxy.port, ask('/a') + ask('/b'), { answers: 2 })
    t.match(answers, [
      { status: 503, headers: { 'retry-after': '3' }, json: { code: 'OVERLOADED' } },
      { status: 403, json: { code: 'ROUTE_DENIED' } }
    ])
    t.notOk(closed)
    t.equal(proxy.upstream.begun, 0)
    t.match(proxy.lines[0], { route: 'GET /a', code: 'OVERLOADED', auth: 'none' })
    isBusy = false
    t.match((await sendRaw(proxy.port, ask('/a'))).answers, [{ status: 200 }])
  }
)
