/** Who uses the gates during a soak, each in its own loop, and what each of them is due. */
import { randomBytes } from 'node:crypto'
import { get } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { makeToken } from '../../src/core/token.ts'
import { makeTokens } from '../../test/support/clients.ts'
import {
  type Answer,
  call,
  createToken,
  type GateProcess,
  userJwt
} from '../../test/support/gate.ts'
import type { TestDatabase } from '../../test/support/postgres.ts'
import { signedHeaders } from '../../test/support/signer.ts'
import { BROKEN, type Book, wordOf } from './book.ts'

export interface SoakClients {
  stop(): Promise<void>
}

export interface SoakClientsOptions {
  readonly gates: readonly GateProcess[]
  readonly database: TestDatabase
  readonly book: Book
  readonly nowMs: () => number
}

const PATH = '/api/scans/dashboard'
const TRIGGER = '/api/scans/trigger/repo-1'
const HOT_TOKENS = 50
const COLD_BATCH = 2000
/** Between two requests of one loop. */
const PAUSE_MS = 25

interface Request {
  readonly kind: string
  readonly due: readonly number[]
  send(gate: GateProcess): Promise<Answer>
}

export async function startSoakClients(options: SoakClientsOptions): Promise<SoakClients> {
  const { gates, database, book, nowMs } = options
  const [first] = gates
  if (!first) throw new Error('no gate')
  const hot = await Promise.all(
    Array.from({ length: HOT_TOKENS }, () =>
      createToken(first, { scopes: ['scans:read', 'scans:trigger'] })
    )
  )
  const cold: string[] = []
  const jwt = await userJwt({}, undefined)
  const anyHot = () => hot[Math.floor(Math.random() * hot.length)]?.token ?? ''
  const anyGate = () => gates[Math.floor(Math.random() * gates.length)] ?? first
  const upload = Buffer.alloc(100_000, 'x').toString()
  const requests: readonly Request[] = [
    { kind: 'unsigned', due: [200], send: ({ url }) => call(url + PATH, { bearer: anyHot() }) },
    {
      kind: 'signed',
      due: [200],
      send({ url }) {
        const token = anyHot()
        const body = JSON.stringify({ ref: 'main', at: Math.random() })
        const headers = signedHeaders({ token, method: 'POST', path: TRIGGER, body })
        return call(url + TRIGGER, { method: 'POST', bearer: token, headers, body })
      }
    },
    {
      kind: 'cold',
      due: [200],
      async send({ url }) {
        if (cold.length === 0) return call(url + PATH, { bearer: anyHot() })
        return call(url + PATH, { bearer: cold.pop() })
      }
    },
    { kind: 'jwt', due: [200], send: ({ url }) => call(url + PATH, { bearer: jwt }) },
    {
      kind: 'upload',
      due: [200],
      send: ({ url }) => call(url + TRIGGER, { method: 'POST', bearer: anyHot(), body: upload })
    },
    {
      kind: 'unknown token',
      due: [401],
      send: ({ url }) => call(url + PATH, { bearer: makeToken(randomBytes) })
    },
    { kind: 'no rule', due: [403], send: ({ url }) => call(`${url}/x/${Math.random()}`) },
    {
      kind: 'leaves early',
      due: [0],
      async send({ url }) {
        // On a connection of its own: one that was opened and never used is closed with 408 after 10 s,
        // and whoever takes it from a shared pool at that moment reads it as an answer.
        const signal = AbortSignal.timeout(1 + Math.floor(Math.random() * 5))
        const headers = { authorization: `Bearer ${anyHot()}` }
        const request = get(url + PATH, { headers, signal, agent: false }, answer =>
          answer.resume()
        )
        request.on('error', () => undefined)
        await new Promise(resolve => request.once('close', resolve))
        return { status: 0, headers: new Map<string, string>(), text: '', json: {} }
      }
    }
  ]
  const ended = new AbortController()
  const isOn = () => !ended.signal.aborted
  const ask = async (gate: GateProcess, request: Request): Promise<number> => {
    const { kind, due } = request
    const startedMs = nowMs()
    const answer = await request.send(gate).catch(() => undefined)
    const code = answer?.json['code']
    const status = answer?.status ?? -1
    const word = answer ? wordOf(status, code) : BROKEN
    book.note({ kind, word, isDue: due.includes(status), startedMs, endedMs: nowMs() })
    return status
  }
  const loops = requests.map(async request => {
    while (isOn()) {
      await ask(anyGate(), request)
      await sleep(PAUSE_MS)
    }
  })
  const fill = async () => {
    while (isOn()) {
      // Also the database of this soak is away at times.
      if (cold.length < COLD_BATCH / 2) {
        cold.push(...(await makeTokens(database, COLD_BATCH).catch(() => [])))
      }
      await sleep(500)
    }
  }
  /** A life of a token: made, used everywhere, ended, refused everywhere. */
  const lives = async () => {
    while (isOn()) {
      const bearer = await userJwt({ sub: 'revoker' })
      const made = await createToken(anyGate(), {}, bearer).catch(() => undefined)
      if (made) {
        const use = (kind: string, due: readonly number[]) =>
          Promise.all(
            gates.map(gate =>
              ask(gate, { kind, due, send: ({ url }) => call(url + PATH, { bearer: made.token }) })
            )
          )
        await use('short life', [200])
        const status = await ask(anyGate(), {
          kind: 'revoke',
          due: [200],
          send: ({ url }) =>
            call(`${url}/api/auth/cli-tokens/${made.id}`, { method: 'DELETE', bearer })
        })
        if (status === 200) await use('after revoke', [401])
      }
      await sleep(100)
    }
  }
  const all = [...loops, fill(), lives()]
  return {
    async stop() {
      ended.abort()
      await Promise.all(all)
    }
  }
}
