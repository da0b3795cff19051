/**
 * A client of its own process that asks at a fixed rate, whatever the answers do, and tells how long they
 * took: a closed loop would ask less just when it becomes slow. It has to cost less than what it measures,
 * or it would measure itself, so it is made of bare sockets and reads no more of an answer than status and
 * length. Arguments: URL, requests a second, seconds, bearer token. Prints one line of JSON; latencies in
 * ms are those of accepted requests (200) after the first second, in which its own code is cold, from
 * writing to the last byte; `late` is how far it fell behind its rate by itself at most then, in ms.
 */
import { connect, type Socket } from 'node:net'
import { percentile } from '../test/support/percentile.ts'

const [url = '', rate = '1000', seconds = '5', token = ''] = process.argv.slice(2)
const { hostname, port, host, pathname } = new URL(url)
const credential = token === '' ? '' : `Authorization: Bearer ${token}\r\n`
const REQUEST = `GET ${pathname} HTTP/1.1\r\nHost: ${host}\r\n${credential}\r\n`
/** Opened before it begins; a request that finds none of them free was never offered: `unsent`. */
const LINES = Math.min(2000, 16 + Math.ceil(Number(rate) / 4))
const OPENED_TOGETHER = 32
const WARM_UP_MS = 1000

interface Line {
  readonly socket: Socket
  sentMs: number
  isBusy: boolean
  /** Read of an answer that is not complete. */
  text: string
}

let idle: Line[] = []
const latenciesMs: number[] = []
const statuses: Record<string, number> = {}
let running = 0

function ask(): void {
  const line = idle.pop()
  if (!line) {
    count('unsent')
    return
  }
  running += 1
  line.isBusy = true
  line.sentMs = performance.now()
  line.socket.write(REQUEST, 'latin1')
}

function open(): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: hostname, port: Number(port), noDelay: true })
    const line = { socket, sentMs: 0, isBusy: false, text: '' }
    socket.setEncoding('latin1')
    socket.on('data', (text: string) => read(line, text))
    socket.on('error', reject)
    socket.on('close', () => {
      if (line.isBusy) done(line, 'broken')
      idle = idle.filter(other => other !== line)
    })
    socket.once('connect', () => {
      idle.push(line)
      resolve()
    })
  })
}

function read(line: Line, text: string): void {
  line.text += text
  const end = line.text.indexOf('\r\n\r\n')
  if (end < 0) return
  const length = /\r\ncontent-length: (\d+)/i.exec(line.text)?.[1]
  if (line.text.length < end + 4 + Number(length ?? 0)) return
  const status = line.text.slice(9, 12)
  const isKept = !/\r\nconnection: close/i.test(line.text.slice(0, end))
  line.text = ''
  if (status === '200' && isWarm(line.sentMs)) latenciesMs.push(performance.now() - line.sentMs)
  done(line, status)
  if (isKept) idle.push(line)
  else line.socket.destroy()
}

function done(line: Line, status: string): void {
  line.isBusy = false
  running -= 1
  count(status)
}

function count(status: string): void {
  statuses[status] = (statuses[status] ?? 0) + 1
}

function isWarm(atMs: number): boolean {
  return atMs - startMs > WARM_UP_MS
}

for (let opened = 0; opened < LINES; opened += OPENED_TOGETHER) {
  await Promise.all(Array.from({ length: OPENED_TOGETHER }, open))
}
const startMs = performance.now()
const total = Number(rate) * Number(seconds)
let sent = 0
let lateMs = 0
let lastMs = startMs
const timer = setInterval(() => {
  const nowMs = performance.now()
  const due = Math.min(total, Math.floor(((nowMs - startMs) / 1000) * Number(rate)))
  if (sent < total && isWarm(nowMs)) lateMs = Math.max(lateMs, nowMs - lastMs - 1)
  lastMs = nowMs
  // Measured from when it is sent: this process's own lateness is not the server's.
  for (; sent < due; sent++) ask()
  if (sent < total || running > 0) return
  clearInterval(timer)
  for (const { socket } of idle) socket.destroy()
  const [p50, p99] = [percentile(latenciesMs, 0.5), percentile(latenciesMs, 0.99)]
  process.stdout.write(`${JSON.stringify({ count: sent, statuses, p50, p99, late: lateMs })}\n`)
}, 1)
