import t, { type Test } from 'tap'
import type { Burst } from '../../src/core/bursts.ts'
import { createAuditTrail } from '../../src/store/audit-trail.ts'
import { startFaultProxy } from '../support/fault-proxy.ts'
import { openTestDatabase, startPostgres } from '../support/postgres.ts'
import { until } from './open.ts'

const server = await startPostgres(t)
const REPLICA = '0190c5a0-0000-7000-8000-000000000001'
const TOKEN = '0190c5a0-0000-7000-8000-00000000000a'

const burst: Burst = {
  code: 'INSUFFICIENT_SCOPE',
  tokenId: TOKEN,
  orgId: 'o1',
  count: 20,
  firstMs: 1_800_000_000_000,
  lastMs: 1_800_000_019_000,
  addresses: ['192.0.2.7', '192.0.2.8']
}

interface Start {
  readonly retentionDays?: number
  readonly firstRoundMs?: number
  readonly everyMs?: number
}

async function open(t: Test, start: Start = {}) {
  const created = await server.createDatabase()
  const link = await startFaultProxy(t, server.port)
  const url = created.url.replace(String(server.port), String(link.port))
  const database = openTestDatabase(url)
  t.teardown(() => database[Symbol.asyncDispose]())
  let dropped = 0
  const logged: string[] = []
  const note = (message: string) => void logged.push(message)
  const trail = createAuditTrail({
    database,
    observer: {
      count: (name, _labels, by = 1) => {
        if (name === 'audit_dropped_total') dropped += by
      },
      measure: () => undefined,
      gauge: () => undefined
    },
    log: { info: note, warn: note, error: note },
    replicaId: () => REPLICA,
    retentionDays: 0,
    random: () => 0.5,
    everyMs: 20,
    ...start
  })
  t.teardown(() => trail.stop())
  const rows = () =>
    created.sql(`SELECT event, actor_kind, actor_id, org_id, token_id,
    host(ip) AS ip, replica, (extract(epoch FROM at) * 1000)::float8 AS at_ms, detail
    FROM tg_audit ORDER BY id`)
  const age = (days: number, count: number) =>
    created.sql(
      `INSERT INTO tg_audit (at, event, actor_kind)
       SELECT clock_timestamp() - make_interval(days => $1), 'token.created', 'sql'
       FROM generate_series(1, $2)`,
      [days, count]
    )
  return { trail, link, rows, age, logged, sql: created.sql, dropped: () => dropped }
}

t.test('a burst of refusals becomes a row, a moment later', async t => {
  const { trail, rows } = await open(t)
  trail.start()
  trail.add(burst)
  trail.add({ ...burst, tokenId: undefined, orgId: undefined, addresses: ['fe80::1%eth0'] })
  trail.add({ ...burst, addresses: [''] })
  await until(async () => (await rows()).length === 3)
  t.match(await rows(), [
    {
      event: 'denied.burst',
      actor_kind: 'replica',
      actor_id: REPLICA,
      org_id: 'o1',
      token_id: TOKEN,
      ip: '192.0.2.7',
      replica: REPLICA,
      at_ms: 1_800_000_019_000,
      detail: {
        code: 'INSUFFICIENT_SCOPE',
        count: 20,
        firstAt: '2027-01-15T08:00:00.000Z',
        lastAt: '2027-01-15T08:00:19.000Z',
        addresses: ['192.0.2.7', '192.0.2.8']
      }
    },
    { token_id: null, org_id: null, ip: 'fe80::1' },
    { ip: null }
  ])
})

t.test('the last rows are written when the gate stops', async t => {
  const { trail, rows, dropped } = await open(t, { everyMs: 60_000 })
  trail.start()
  trail.add(burst)
  await trail.stop()
  t.equal((await rows()).length, 1)
  t.equal(dropped(), 0)
})

t.test(
  'a database out of reach costs nothing until the queue is full; the rest is counted',
  async t => {
    const { trail, link, rows, dropped } = await open(t)
    await link.refuse()
    trail.start()
    for (let i = 0; i < 1100; i++) trail.add(burst)
    await until(() => dropped() === 100)
    await new Promise(resolve => setTimeout(resolve, 100))
    t.equal(dropped(), 100, 'tries that reached nobody lose nothing')
    await link.pass()
    await until(async () => (await rows()).length === 1000)
  }
)

t.test('what was sent and not answered is lost, and is not written twice', async t => {
  const { trail, link, rows, dropped, logged } = await open(t)
  trail.start()
  trail.add(burst)
  await until(async () => (await rows()).length === 1)
  link.oneWay()
  trail.add(burst)
  await until(() => dropped() === 1)
  link.release()
  trail.add(burst)
  await until(async () => (await rows()).length === 3)
  t.equal(dropped(), 1)
  t.match(logged, ['rows of the audit trail are lost'])
})

t.test('rows older than the retention go, in batches, and no others', async t => {
  const { trail, age, sql, logged } = await open(t, { retentionDays: 40, firstRoundMs: 10 })
  await age(41, 10_001)
  await age(39, 5)
  trail.start()
  await until(async () => (await sql('SELECT FROM tg_audit')).length === 5)
  await until(() => logged.includes('old rows of the audit trail are removed'))
})

t.test('with 0 nothing ever goes, and while another replica is at it nobody waits', async t => {
  const kept = await open(t, { retentionDays: 0, firstRoundMs: 1 })
  await kept.age(4000, 3)
  kept.trail.start()
  await new Promise(resolve => setTimeout(resolve, 200))
  t.equal((await kept.sql('SELECT FROM tg_audit')).length, 3)
  const busy = await open(t, { retentionDays: 40, firstRoundMs: 1 })
  await busy.age(41, 3)
  const lock = busy.sql('SELECT pg_advisory_xact_lock(8390044758044271718), pg_sleep(0.5)')
  await until(
    async () => (await busy.sql(`SELECT FROM pg_locks WHERE locktype = 'advisory'`)).length > 0
  )
  busy.trail.start()
  await new Promise(resolve => setTimeout(resolve, 200))
  t.equal((await busy.sql('SELECT FROM tg_audit')).length, 3)
  await lock
})
