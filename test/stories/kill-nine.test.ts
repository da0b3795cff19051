/**
 * SIGKILL of Postgres and of Redis, again and again, while clients are at work and people make and end
 * tokens: nobody with a good token is told 401, nothing but 503 is said of the fault, every change that
 * was answered is in the audit trail, and the gate goes on by itself.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { type Clients, healed, KINDS, onlySaw, startClients, text } from '../support/clients.ts'
import { effort } from '../support/effort.ts'
import { startFleet } from '../support/fleet.ts'
import { call, createToken, type GateProcess, userJwt } from '../support/gate.ts'

const NO_STORE = '503 TOKEN_STORE_UNAVAILABLE'
const STORE_DOWN = ['200', NO_STORE]
const ROUNDS = effort(1, 10)

const fleet = await startFleet(t)
const [gate] = fleet.gates
if (!gate) throw new Error('no gate')
const { postgres, redis, database } = fleet
const { token } = await createToken(gate)
const clients: Clients = await startClients(t, { gate, token, database })
const changes = startChanges(gate)
t.teardown(() => changes.stop())
await healed(clients)

/** Somebody who makes a token and ends it, all the time; what was answered is remembered. */
function startChanges({ url }: GateProcess) {
  const created: string[] = []
  const revoked: string[] = []
  const other = new Map<string, number>()
  let isOn = true
  const note = (word: string) => void other.set(word, (other.get(word) ?? 0) + 1)
  const api = `${url}/api/auth/cli-tokens`
  const change = async (bearer: string) => {
    const made = await call(api, { method: 'POST', bearer, body: { name: 'short' } })
    const { id } = made.json
    if (made.status !== 201 || typeof id !== 'string') {
      note(`${made.status} ${String(made.json['code'])}`)
      return
    }
    created.push(id)
    const ended = await call(`${api}/${id}`, { method: 'DELETE', bearer })
    if (ended.status === 200) revoked.push(id)
    else note(`${ended.status} ${String(ended.json['code'])}`)
  }
  const loop = async () => {
    const bearer = await userJwt({ sub: 'changes' })
    while (isOn) {
      await change(bearer).catch(() => note('broken connection'))
      await sleep(10)
    }
  }
  const loops = [loop(), loop()]
  return {
    created,
    revoked,
    other,
    async stop() {
      isOn = false
      await Promise.all(loops)
    }
  }
}

async function rounds(
  t: Test,
  kill: () => Promise<void>,
  start: () => Promise<void>,
  awayMs: number
) {
  const times: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    await kill()
    await sleep(awayMs)
    await start()
    const seen = clients.take()
    times.push(await healed(clients, 15_000))
    onlySaw(t, seen, {
      cached: STORE_DOWN,
      miss: STORE_DOWN,
      signed: [...STORE_DOWN, '503 NONCE_STORE_UNAVAILABLE', '503 NONCE_STORE_RECOVERING'],
      api: [...STORE_DOWN, '503 REVOCATION_UNCONFIRMED']
    })
    if (round === 0) t.comment(KINDS.map(kind => `${kind}: ${text(seen[kind])}`).join('; '))
  }
  return times
}

const pid = gate.pid

t.test('Postgres killed under load: 503 and nothing else, and well again by itself', async t => {
  const times = await rounds(
    t,
    () => postgres.kill(),
    () => postgres.start(),
    1500
  )
  t.comment(`healed after ${times.join(', ')} ms`)
})

t.test('Redis killed under load: signed requests 503, and well again by itself', async t => {
  const times = await rounds(
    t,
    () => redis.kill(),
    () => redis.start(),
    500
  )
  t.comment(`healed after ${times.join(', ')} ms`)
})

t.test('each change that was answered is in the audit trail, once', async t => {
  await changes.stop()
  const { created, revoked, other } = changes
  const words = [...other].map(([word, count]) => `${count} × ${word}`)
  t.comment(`${created.length} made, ${revoked.length} ended; ${words.join(', ')}`)
  t.ok(revoked.length > 0)
  const unexpected = [...other.keys()].filter(
    word => word !== NO_STORE && word !== '503 REVOCATION_UNCONFIRMED'
  )
  t.same(unexpected, [])
  const missing = async (event: string, ids: readonly string[]) =>
    database.sql(
      `SELECT u.id FROM unnest($1::uuid[]) AS u (id)
       WHERE (SELECT count(*) FROM tg_audit a WHERE a.token_id = u.id AND a.event = $2) <> 1`,
      [ids, event]
    )
  t.same(await missing('token.created', created), [])
  t.same(await missing('token.revoked', revoked), [])
  t.equal(gate.pid, pid)
  t.equal((await call(`${gate.adminUrl}/readyz`)).status, 200, 'the same process, and ready')
})
