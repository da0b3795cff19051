/**
 * Three replicas, each behind links of its own to Postgres and Redis that a test can break, and what
 * the stories of revocation say of them.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { type FaultProxy, startFaultProxy } from '../../support/fault-proxy.ts'
import { type Fleet, type FleetOptions, startFleet } from '../../support/fleet.ts'
import { type Answer, call, eventually, type GateProcess, userJwt } from '../../support/gate.ts'

export const PATH = '/api/scans/dashboard'
export const TOKENS = '/api/auth/cli-tokens'
/** Of the database that the tests clone: `lease_ms` and `wait_ms`. */
export const LEASE_MS = 1000
/** What a revoker waits at the longest before it may answer: W and the margin of 500 ms + 1 % of W. */
export const WAIT_MS = LEASE_MS + 500 + LEASE_MS / 100

export interface Replica {
  readonly gate: GateProcess
  readonly postgres: FaultProxy
  readonly redis: FaultProxy
}

export interface LinkedFleet {
  readonly replicas: readonly [Replica, Replica, Replica]
  readonly gates: readonly [GateProcess, GateProcess, GateProcess]
  readonly upstream: Fleet['upstream']
  readonly postgres: Fleet['postgres']
  readonly redis: Fleet['redis']
  readonly database: Fleet['database']
  readonly jwt: string
  /** One more, with links of its own. */
  startReplica(env?: Readonly<Record<string, string>>): Promise<Replica>
  use(gate: GateProcess, token: string): Promise<Answer>
  revoke(gate: GateProcess, id: string): Promise<Answer>
  /** Every replica is ready and hears the others at once. */
  healed(): Promise<void>
}

interface Teardown {
  teardown(release: () => unknown): void
}

export async function startLinkedFleet(
  t: Teardown,
  options: Omit<FleetOptions, 'gates'> = {}
): Promise<LinkedFleet> {
  const fleet = await startFleet(t, { ...options, gates: 0 })
  const { postgres, redis, database, upstream } = fleet
  const jwt = await userJwt()
  const startReplica = async (env: Readonly<Record<string, string>> = {}): Promise<Replica> => {
    const links = {
      postgres: await startFaultProxy(t, postgres.port),
      redis: await startFaultProxy(t, redis.port)
    }
    const gate = await fleet.startGate({
      DATABASE_URL: database.url.replace(String(postgres.port), String(links.postgres.port)),
      REDIS_URL: redis.url.replace(String(redis.port), String(links.redis.port)),
      ...env
    })
    return { gate, ...links }
  }
  const replicas = await Promise.all([startReplica(), startReplica(), startReplica()])
  const [first, second, third] = replicas
  const use = (gate: GateProcess, token: string) => call(gate.url + PATH, { bearer: token })
  const revoke = (gate: GateProcess, id: string) =>
    call(`${gate.url}${TOKENS}/${id}`, { method: 'DELETE', bearer: jwt })
  const isHealed = async ({ gate }: Replica) => {
    const made = await call(gate.url + TOKENS, {
      method: 'POST',
      bearer: jwt,
      body: { name: 'health' }
    })
    if (made.status !== 201) return false
    const { barrier } = (await revoke(gate, String(made.json['id']))).json
    return isComplete(barrier)
  }
  return {
    replicas,
    gates: [first.gate, second.gate, third.gate],
    upstream,
    postgres,
    redis,
    database,
    jwt,
    startReplica,
    use,
    revoke,
    async healed() {
      for (const replica of replicas) {
        await eventually('a revocation is acknowledged by all', () => isHealed(replica))
      }
    }
  }
}

export interface Receipt {
  readonly replicas: number
  readonly acknowledged: number
  readonly waitedMs: number
}

/** Of an answer to DELETE or rotate; throws where there is none. */
export function receiptOf({ status, json, text }: Answer): Receipt {
  const { barrier } = json
  if (!isReceipt(barrier)) throw new Error(`no receipt: ${status} ${text}`)
  return barrier
}

function isReceipt(value: unknown): value is Receipt {
  return typeof value === 'object' && value !== null && 'acknowledged' in value
}

function isComplete(value: unknown): boolean {
  return isReceipt(value) && value.acknowledged === value.replicas
}

/** The revoker waited until no lease could run any more. */
export function waitedForLeases(t: Test, answer: Answer, replicas = 3): void {
  t.equal(answer.status, 200, answer.text)
  const receipt = receiptOf(answer)
  t.match(receipt, { replicas })
  t.ok(receipt.acknowledged < replicas, `${receipt.acknowledged} acknowledged`)
  t.ok(receipt.waitedMs >= WAIT_MS, `waited ${receipt.waitedMs} ms`)
}

/** Every replica said that it applied the change, long before the leases ended. */
export function wasAcknowledged(t: Test, answer: Answer, replicas = 3): void {
  t.equal(answer.status, 200, answer.text)
  const receipt = receiptOf(answer)
  t.match(receipt, { replicas, acknowledged: replicas })
}

/**
 * Asked on every replica now, after the answer: none accepts it, and the upstream sees no request.
 * `allowed`: what a replica in trouble may say besides.
 */
export async function isDeadEverywhere(
  t: Test,
  { gates, upstream }: LinkedFleet,
  token: string,
  allowed: readonly string[] = ['401']
): Promise<void> {
  const target = `${PATH}?after=${crypto.randomUUID()}`
  const answers = await Promise.all(gates.map(gate => call(gate.url + target, { bearer: token })))
  const seen = answers.map(({ status }) => String(status))
  t.same(
    seen.filter(status => !allowed.includes(status)),
    [],
    `after the answer: ${seen.join(' ')}`
  )
  t.notOk(
    upstream.requests.some(request => request.target === target),
    'the upstream saw none of them'
  )
}

export interface Load {
  /** Ends it; gives how often each status was seen. */
  stop(): Promise<Readonly<Record<string, number>>>
}

/** One client a gate uses a living token all the time. */
export function startLoad(
  gates: readonly GateProcess[],
  token: string,
  { pauseMs = 5 }: { readonly pauseMs?: number } = {}
): Load {
  const seen: Record<string, number> = {}
  let isOn = true
  const clients = gates.map(async gate => {
    while (isOn) {
      const status = await call(gate.url + PATH, { bearer: token }).then(
        answer => String(answer.status),
        () => 'broken'
      )
      seen[status] = (seen[status] ?? 0) + 1
      await sleep(pauseMs)
    }
  })
  return {
    async stop() {
      isOn = false
      await Promise.all(clients)
      return seen
    }
  }
}

/**
 * Nobody who holds a living token was refused by a verdict, and hardly anybody had to ask again: on a
 * machine that is starved of time, a lease may lapse.
 */
export function noticedNothing(t: Test, seen: Readonly<Record<string, number>>): void {
  const { 200: good = 0, 503: faults = 0, ...rest } = seen
  t.same(rest, {}, 'nothing but 200 and 503')
  t.ok(faults <= good / 20, JSON.stringify(seen))
}
