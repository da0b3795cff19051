/**
 * Clients of a Service: each picks one of its endpoints for every request, over kept and over new
 * connections, and notes whatever does not come back whole. Bounded by `stop`.
 */
import { Agent, request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'

export interface Clients {
  /** Replaces the endpoints; requests that run go on. */
  setEndpoints(urls: readonly string[]): void
  /** How many requests came back whole, by endpoint. */
  readonly answered: ReadonlyMap<string, number>
  readonly failures: readonly string[]
  stop(): Promise<void>
}

interface Kind {
  readonly method: 'GET' | 'POST'
  readonly path: string
  readonly body: Buffer
  readonly isKept: boolean
}

const UPLOAD = Buffer.alloc(200_000, 'x')
const NONE = Buffer.alloc(0)
/** Two keep-alive clients, one that connects anew, one that reads an event stream, one that uploads. */
const KINDS: readonly Kind[] = [
  { method: 'GET', path: '/api/scans', body: NONE, isKept: true },
  { method: 'GET', path: '/api/scans?page=2', body: NONE, isKept: true },
  { method: 'GET', path: '/api/scans', body: NONE, isKept: false },
  { method: 'GET', path: '/api/scans/dashboard', body: NONE, isKept: true },
  { method: 'POST', path: '/api/scans/trigger/prod', body: UPLOAD, isKept: true }
]
/** So that a test on a busy machine is no load test. */
const PAUSE_MS = 10

export function startClients(token: string, endpoints: readonly string[]): Clients {
  let urls = endpoints
  let isStopped = false
  const answered = new Map<string, number>()
  const failures: string[] = []
  const run = async (kind: Kind, first: number) => {
    const agent = new Agent({ keepAlive: kind.isKept, maxSockets: 1 })
    for (let i = first; !isStopped; i++) {
      const url = urls[i % urls.length] ?? ''
      const failure = await ask(url, kind, token, agent)
      if (failure === undefined) answered.set(url, (answered.get(url) ?? 0) + 1)
      else failures.push(`${kind.method} ${url}${kind.path}: ${failure}`)
      await sleep(PAUSE_MS)
    }
    agent.destroy()
  }
  const running = KINDS.map((kind, i) => run(kind, i))
  return {
    setEndpoints: next => void (urls = next),
    answered,
    failures,
    async stop() {
      isStopped = true
      await Promise.all(running)
    }
  }
}

/** Undefined: 200, and the body came whole. */
function ask(
  url: string,
  { method, path, body }: Kind,
  token: string,
  agent: Agent
): Promise<string | undefined> {
  return new Promise(resolve => {
    const headers = { authorization: `Bearer ${token}`, 'content-length': body.length }
    const sent = request(url + path, { method, headers, agent }, response => {
      response.resume()
      response.once('close', () => {
        const isWhole = response.complete && response.statusCode === 200
        resolve(isWhole ? undefined : `${response.statusCode}, whole: ${response.complete}`)
      })
    })
    sent.once('error', cause => {
      // A kept connection that closed while idle is dialled anew, as every HTTP client does.
      const isIdleReset =
        sent.reusedSocket && method === 'GET' && 'code' in cause && cause.code === 'ECONNRESET'
      if (isIdleReset) resolve(ask(url, { method, path, body, isKept: true }, token, agent))
      else resolve(cause.message)
    })
    sent.end(body)
  })
}
