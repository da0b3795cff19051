/**
 * Tunnels and event streams of a soak. Some stay open from the first minute until the gates are told to
 * end; others lose their token while bytes are on their way, and must end with it. Whatever the
 * upstream says carries its time, so that a byte sent after DELETE was answered is seen for what it is.
 */
import { once } from 'node:events'
import { get, type IncomingMessage, type ServerResponse } from 'node:http'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { WebSocket, WebSocketServer } from 'ws'
import { call, createToken, type GateProcess, userJwt } from '../../test/support/gate.ts'
import type { UpstreamOptions } from '../../test/support/upstream.ts'
import { BROKEN, type Book, wordOf } from './book.ts'

const EVENTS = '/soak/events'
const SOCKET = '/soak/socket'

/** What the route file needs besides. */
export const STREAM_ROUTES = `  GET ${EVENTS}: scans:read
  GET ${SOCKET}: { scope: scans:read, upgrade: websocket }
`

/** On each gate, of each kind. */
const KEPT = 5
const BEAT_MS = 500
const LIFE_PAUSE_MS = 500
/** A gate that is stopped for 3 s ends its streams when it wakes. */
const END_MS = 6000
const FLOW_MS = 10_000

/** What is behind the gates: it beats on every stream, and answers the rest once its body is there. */
export function soakUpstream(
  nowMs: () => number
): Required<Pick<UpstreamOptions, 'handle' | 'upgrade'>> & { stop(): void } {
  const sockets = new WebSocketServer({ noServer: true })
  const events = new Set<ServerResponse>()
  const beating = setInterval(() => {
    for (const peer of sockets.clients) peer.send(String(nowMs()))
    for (const response of events) response.write(`data: ${nowMs()}\n\n`)
  }, BEAT_MS)
  return {
    handle(request, response) {
      if (request.url === EVENTS) {
        response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders()
        events.add(response)
        response.once('close', () => events.delete(response))
        return
      }
      request.resume().once('end', () => {
        response.writeHead(200, { 'content-type': 'application/json' }).end('{"ok":true}')
      })
    },
    upgrade(request, socket, early) {
      sockets.handleUpgrade(request, socket, early, peer => {
        peer.on('error', () => undefined)
        peer.send(String(nowMs()))
      })
    },
    stop: () => clearInterval(beating)
  }
}

interface Stream {
  readonly kind: string
  /** When the upstream said what came last; 0: nothing came. */
  readonly saidMs: () => number
  readonly isClosed: () => boolean
  leave(): void
}

/** An open stream, or the answer that came instead. */
type Opened = Stream | string

/** Reads the times of the upstream. */
function createEar(kind: string, leave: () => void) {
  let saidMs = 0
  let isClosed = false
  return {
    hear: (said: string) => (saidMs = Number(/[\d.]+/.exec(said)?.[0] ?? saidMs)),
    close: () => (isClosed = true),
    stream: { kind, saidMs: () => saidMs, isClosed: () => isClosed, leave }
  }
}

async function openEvents({ url }: GateProcess, token: string): Promise<Opened> {
  const headers = { authorization: `Bearer ${token}` }
  const request = get(url + EVENTS, { headers, agent: false })
  const [response] = await once(request, 'response')
  request.on('error', () => undefined)
  if (response.statusCode !== 200) return refusal(response)
  const ear = createEar('event stream', () => request.destroy())
  response.setEncoding('utf8').on('data', ear.hear).on('close', ear.close)
  response.on('error', () => undefined)
  return ear.stream
}

async function openSocket({ port }: GateProcess, token: string): Promise<Opened> {
  const headers = { authorization: `Bearer ${token}` }
  const socket = new WebSocket(`ws://127.0.0.1:${port}${SOCKET}`, { headers })
  const ear = createEar('tunnel', () => socket.terminate())
  socket.on('message', (data: Buffer) => ear.hear(data.toString())).on('close', ear.close)
  return new Promise((resolve, reject) => {
    socket.on('error', reject).once('open', () => resolve(ear.stream))
    socket.once('unexpected-response', (_request, response) => resolve(refusal(response)))
  })
}

async function refusal(response: IncomingMessage): Promise<string> {
  const body: unknown = JSON.parse(await text(response))
  const code = typeof body === 'object' && body !== null && 'code' in body ? body.code : undefined
  return wordOf(response.statusCode ?? 0, code)
}

export interface SoakStreams {
  /** One line for the report. */
  stop(): Promise<string>
}

export interface SoakStreamsOptions {
  readonly gates: readonly GateProcess[]
  readonly book: Book
  readonly nowMs: () => number
}

export async function startSoakStreams(options: SoakStreamsOptions): Promise<SoakStreams> {
  const { gates, book, nowMs } = options
  const [first] = gates
  if (!first) throw new Error('no gate')
  const ended = new AbortController()
  const isOn = () => !ended.signal.aborted
  const counts = { opened: 0, ended: 0 }
  const note = (kind: string, word: string, isDue: boolean, startedMs: number) =>
    book.note({ kind, word, isDue, startedMs, endedMs: nowMs() })

  const open = async (how: typeof openEvents, kind: string, gate: GateProcess, token: string) => {
    const startedMs = nowMs()
    const opened = await how(gate, token).catch(() => BROKEN)
    const isOpen = typeof opened !== 'string'
    note(kind, isOpen ? 'open' : opened, isOpen, startedMs)
    if (isOpen) counts.opened += 1
    return isOpen ? [opened] : []
  }
  const openBoth = async (gate: GateProcess, token: string) => {
    const [events, sockets] = [
      open(openEvents, 'event stream', gate, token),
      open(openSocket, 'tunnel', gate, token)
    ]
    return [...(await events), ...(await sockets)]
  }
  const openEverywhere = async (token: string) =>
    (await Promise.all(gates.map(gate => openBoth(gate, token)))).flat()
  /** False: not in time. */
  const becomes = async (isSo: () => boolean, withinMs: number) => {
    for (const untilMs = nowMs() + withinMs; !isSo() && nowMs() < untilMs;) await sleep(20)
    return isSo()
  }

  const { token } = await createToken(first, { scopes: ['scans:read'] })
  const kept: readonly Stream[] = (
    await Promise.all(Array.from({ length: KEPT }, () => openEverywhere(token)))
  ).flat()
  if (kept.length < 2 * KEPT * gates.length) throw new Error('no streams')

  /** The moment a kept one ends is known, so that it stands beside the fault of that moment. */
  const watchKept = async () => {
    const left = new Set(kept)
    while (isOn()) {
      for (const stream of left) {
        if (!stream.isClosed()) continue
        left.delete(stream)
        note(`kept ${stream.kind}`, 'ended early', false, nowMs())
      }
      await sleep(100, undefined, { signal: ended.signal }).catch(() => undefined)
    }
  }

  const endOne = async (stream: Stream, answeredMs: number) => {
    const isClosed = await becomes(stream.isClosed, END_MS)
    const isLate = stream.saidMs() > answeredMs
    const word = isLate ? 'a byte after DELETE' : isClosed ? 'ended' : 'outlived its token'
    note(`${stream.kind} of a revoked token`, word, word === 'ended', answeredMs)
    if (word === 'ended') counts.ended += 1
    stream.leave()
  }
  const lives = async () => {
    const bearer = await userJwt({ sub: 'streams' })
    for (let round = 0; isOn(); round++) {
      await sleep(LIFE_PAUSE_MS)
      const made = await createToken(first, {}, bearer).catch(() => undefined)
      if (!made) continue
      const streams = await openEverywhere(made.token)
      const flow = await becomes(() => streams.every(({ saidMs }) => saidMs() > 0), FLOW_MS)
      const revoker = gates[round % gates.length] ?? first
      const url = `${revoker.url}/api/auth/cli-tokens/${made.id}`
      const startedMs = nowMs()
      const answer = await call(url, { method: 'DELETE', bearer }).catch(() => undefined)
      const answeredMs = nowMs()
      const word = answer ? wordOf(answer.status, answer.json['code']) : BROKEN
      note('revoke', word, answer?.status === 200, startedMs)
      if (!flow) note('streams', 'nothing came', false, startedMs)
      if (answer?.status === 200) {
        await Promise.all(streams.map(stream => endOne(stream, answeredMs)))
      } else for (const stream of streams) stream.leave()
    }
  }
  const all = [watchKept(), lives()]

  return {
    async stop() {
      ended.abort()
      await Promise.all(all)
      const fromMs = nowMs()
      await becomes(() => kept.every(({ saidMs }) => saidMs() > fromMs), FLOW_MS)
      const flowing = kept.filter(stream => !stream.isClosed() && stream.saidMs() > fromMs).length
      for (let i = flowing; i < kept.length; i++) {
        note('kept stream', 'silent at the end', false, fromMs)
      }
      const exits = await Promise.all(gates.map(gate => gate.stop()))
      await becomes(() => kept.every(stream => stream.isClosed()), END_MS)
      const left = kept.filter(stream => !stream.isClosed()).length
      for (const exit of exits) note('stop of a gate', `exit ${exit}`, exit === 0, fromMs)
      for (let i = 0; i < left; i++) note('kept stream', 'outlived its gate', false, fromMs)
      return (
        `${flowing} of ${kept.length} streams were kept to the end and ${kept.length - left} ended with their gate; ` +
        `${counts.opened} opened in all, ${counts.ended} ended with their token`
      )
    }
  }
}
