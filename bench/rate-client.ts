/**
 * A client of its own process that asks at a fixed rate, whatever the answers do, and tells how long they
 * took: a closed loop would ask less just when it becomes slow. Arguments: URL, requests a second, seconds,
 * bearer token. Prints one line of JSON; latencies in ms are those of accepted requests (200).
 */
import { Agent, request } from 'node:http'
import { percentile } from '../test/support/percentile.ts'

const [url = '', rate = '1000', seconds = '5', token = ''] = process.argv.slice(2)
const agent = new Agent({ keepAlive: true, maxSockets: Infinity })
const headers = token === '' ? {} : { authorization: `Bearer ${token}` }
const latenciesMs: number[] = []
const statuses: Record<string, number> = {}
let running = 0

function ask(dueMs: number): void {
  running += 1
  const done = (status: string) => {
    running -= 1
    statuses[status] = (statuses[status] ?? 0) + 1
    if (status === '200') latenciesMs.push(performance.now() - dueMs)
  }
  request(url, { agent, headers }, answer => {
    answer.resume()
    answer.once('end', () => done(String(answer.statusCode)))
  })
    .once('error', () => done('broken'))
    .end()
}

const startMs = performance.now()
const total = Number(rate) * Number(seconds)
let sent = 0
const timer = setInterval(() => {
  const nowMs = performance.now()
  const due = Math.min(total, Math.floor(((nowMs - startMs) / 1000) * Number(rate)))
  // Measured from when it is sent: this process's own lateness is not the server's.
  while (sent < due) {
    sent += 1
    ask(performance.now())
  }
  if (sent < total || running > 0) return
  clearInterval(timer)
  agent.destroy()
  const [p50, p99] = [percentile(latenciesMs, 0.5), percentile(latenciesMs, 0.99)]
  process.stdout.write(`${JSON.stringify({ count: sent, statuses, p50, p99 })}\n`)
}, 1)
