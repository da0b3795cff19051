/**
 * A TCP proxy that breaks a link on command: one per link under test.
 *
 * A mode holds for open and new connections alike until the next mode is set. Bytes keep their
 * order in every mode. What a mode swallows is lost, as on a broken network; `hold` alone keeps it.
 */
import { once } from 'node:events'
import { createServer, type AddressInfo, type Server, type Socket, connect } from 'node:net'
import { performance } from 'node:perf_hooks'

export interface FaultProxy {
  readonly host: '127.0.0.1'
  /** The same for the life of the proxy, whatever happens to its listener. */
  readonly port: number
  /** Both directions, unhindered. Opens the listener again after `refuse`. */
  pass(): Promise<void>
  /** Each chunk arrives this much later than it was sent, in each direction. */
  delay(ms: number): void
  /** Keeps all bytes and the ends of streams until `release`. */
  hold(): void
  /** Delivers what was held, in order, and passes from now on. */
  release(): void
  /** Requests arrive, replies are lost; a connection that lost one ends with the next mode. */
  oneWay(): void
  /** Ends open connections with RST, and new ones as soon as they are accepted. */
  reset(): void
  /** The same with FIN. */
  close(): void
  /** Open connections end with RST and the port is closed: connecting is refused. */
  refuse(): Promise<void>
  /** Passes this many bytes of replies in all, then ends every connection with RST. */
  cutAfter(bytes: number): void
  throttle(bytesPerSecond: number): void
  /** New connections go to this port; open ones end with RST, as at a failover. */
  target(port: number): void
  /** Since the start: what went through, in chunks as the kernel delivered them. */
  readonly seen: Readonly<Traffic>
  /** Open at the moment. */
  openConnections(): number
  stop(): Promise<void>
}

export interface Traffic {
  connections: number
  chunksUp: number
  chunksDown: number
  bytesUp: number
  bytesDown: number
}

interface Teardown {
  teardown(release: () => unknown): void
}

type Mode =
  | { readonly kind: 'pass' | 'hold' | 'one-way' | 'reset' | 'close' | 'refuse' }
  | { readonly kind: 'delay'; readonly ms: number }
  | { readonly kind: 'throttle'; readonly bytesPerSecond: number }
  | { readonly kind: 'cut'; left: number }

/** Reading stops above this: a proxy that swallows everything would hide missing backpressure. */
const QUEUE_LIMIT_BYTES = 1_048_576

interface State {
  mode: Mode
  targetPort: number
  readonly seen: Traffic
  readonly links: Set<Link>
  /** Called when the mode changes: whoever waits looks again. */
  readonly waiting: Set<() => void>
}

interface Link {
  readonly client: Socket
  readonly upstream: Socket
}

/** Passes to `targetPort` on 127.0.0.1 until told otherwise; stopped at the end of the test. */
export async function startFaultProxy(t: Teardown, targetPort: number): Promise<FaultProxy> {
  const seen = { connections: 0, chunksUp: 0, chunksDown: 0, bytesUp: 0, bytesDown: 0 }
  const state: State = {
    mode: { kind: 'pass' },
    targetPort,
    seen,
    links: new Set(),
    waiting: new Set()
  }
  let server: Server | undefined = await listen(state, 0)
  const { port } = addressOf(server)

  const set = (mode: Mode) => {
    state.mode = mode
    for (const wake of state.waiting) wake()
  }
  const stopListening = async () => {
    if (!server) return
    const closed = once(server, 'close')
    server.close()
    server = undefined
    resetAll(state)
    await closed
  }
  const proxy: FaultProxy = {
    host: '127.0.0.1',
    port,
    seen,
    pass: async () => {
      set({ kind: 'pass' })
      server ??= await listen(state, port)
    },
    delay: ms => set({ kind: 'delay', ms }),
    hold: () => set({ kind: 'hold' }),
    release: () => set({ kind: 'pass' }),
    oneWay: () => set({ kind: 'one-way' }),
    reset: () => {
      set({ kind: 'reset' })
      resetAll(state)
    },
    close: () => {
      set({ kind: 'close' })
      for (const { client, upstream } of state.links) {
        client.end()
        upstream.end()
      }
    },
    refuse: async () => {
      set({ kind: 'refuse' })
      await stopListening()
    },
    cutAfter: bytes => set({ kind: 'cut', left: bytes }),
    throttle: bytesPerSecond => set({ kind: 'throttle', bytesPerSecond }),
    target: newPort => {
      state.targetPort = newPort
      resetAll(state)
    },
    openConnections: () => state.links.size,
    stop: async () => {
      set({ kind: 'reset' })
      await stopListening()
    }
  }
  t.teardown(() => proxy.stop())
  return proxy
}

async function listen(state: State, port: number): Promise<Server> {
  const server = createServer({ allowHalfOpen: true, noDelay: true }, client =>
    accept(client, state)
  )
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  return server
}

function addressOf(server: Server): AddressInfo {
  const address = server.address()
  if (address === null || typeof address === 'string') throw new TypeError('not a TCP listener')
  return address
}

function accept(client: Socket, state: State): void {
  state.seen.connections += 1
  // A socket that was reset reports it; that is what this proxy is for.
  client.on('error', () => {})
  if (state.mode.kind === 'reset') {
    reset(client)
    return
  }
  if (state.mode.kind === 'close') {
    client.destroySoon()
    return
  }
  const upstream = connect({ host: '127.0.0.1', port: state.targetPort, allowHalfOpen: true })
  upstream.setNoDelay(true)
  const link = { client, upstream }
  state.links.add(link)
  upstream.on('error', () => reset(client))
  for (const [socket, other] of [
    [client, upstream],
    [upstream, client]
  ] as const) {
    socket.on('close', hadError => {
      state.links.delete(link)
      if (hadError || !other.writableEnded) reset(other)
    })
  }
  carry(client, upstream, state, 'up')
  carry(upstream, client, state, 'down')
}

/**
 * RST, but where the end of the stream is on its way: libuv refuses to reset such a socket, Node then
 * leaves it open, and the process spins at its exit.
 */
function reset(socket: Socket): void {
  if (socket.writableEnded) socket.destroy()
  else socket.resetAndDestroy()
}

function resetAll(state: State): void {
  for (const { client, upstream } of state.links) {
    reset(client)
    reset(upstream)
  }
}

interface Piece {
  /** Undefined: the end of the stream. */
  readonly chunk: Buffer | undefined
  readonly atMs: number
}

/** One direction of one connection: a queue, emptied in order as the mode allows. */
function carry(from: Socket, to: Socket, state: State, direction: 'up' | 'down'): void {
  const queue: Piece[] = []
  let queuedBytes = 0
  let isBusy = false

  const push = (chunk: Buffer | undefined) => {
    queue.push({ chunk, atMs: performance.now() })
    queuedBytes += chunk?.length ?? 0
    if (queuedBytes > QUEUE_LIMIT_BYTES) from.pause()
    if (!isBusy) void drain()
  }
  from.on('data', chunk => {
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk
    state.seen[direction === 'up' ? 'chunksUp' : 'chunksDown'] += 1
    state.seen[direction === 'up' ? 'bytesUp' : 'bytesDown'] += bytes.length
    push(bytes)
  })
  from.on('end', () => push(undefined))

  async function drain(): Promise<void> {
    isBusy = true
    for (let piece = queue[0]; piece !== undefined && !to.destroyed; piece = queue[0]) {
      await deliver(piece, to, state, direction)
      queue.shift()
      queuedBytes -= piece.chunk?.length ?? 0
      if (from.isPaused() && queuedBytes <= QUEUE_LIMIT_BYTES) from.resume()
    }
    isBusy = false
  }
}

async function deliver(piece: Piece, to: Socket, state: State, direction: 'up' | 'down') {
  let rest = piece.chunk
  for (;;) {
    const { mode } = state
    if (to.destroyed) return
    if (mode.kind === 'hold') {
      await changeOrTimeout(state, to)
      continue
    }
    if (mode.kind === 'delay') {
      const leftMs = piece.atMs + mode.ms - performance.now()
      if (leftMs > 0) {
        await changeOrTimeout(state, to, leftMs)
        continue
      }
    }
    if (rest === undefined) {
      to.end()
      return
    }
    if (mode.kind === 'one-way' && direction === 'down') {
      await changeOrTimeout(state, to)
      // TCP delivers no stream with a hole in it: what has lost a reply is at its end.
      reset(to)
      return
    }
    if (mode.kind === 'cut' && direction === 'down') {
      const part = rest.subarray(0, mode.left)
      mode.left -= part.length
      await write(to, part)
      if (mode.left === 0) resetAll(state)
      return
    }
    if (mode.kind === 'throttle') {
      // Ten slices a second: smooth enough to look slow, coarse enough to be cheap.
      const slice = rest.subarray(0, Math.max(1, Math.floor(mode.bytesPerSecond / 10)))
      rest = rest.subarray(slice.length)
      await write(to, slice)
      await changeOrTimeout(state, to, (slice.length / mode.bytesPerSecond) * 1000)
      if (rest.length === 0) return
      continue
    }
    await write(to, rest)
    return
  }
}

/** Until the mode changes, the socket closes, or the time is over. */
function changeOrTimeout(state: State, socket: Socket, ms?: number): Promise<void> {
  return new Promise(resolve => {
    const timer = ms === undefined ? undefined : setTimeout(done, ms)
    function done(): void {
      clearTimeout(timer)
      state.waiting.delete(done)
      socket.off('close', done)
      resolve()
    }
    state.waiting.add(done)
    socket.once('close', done)
  })
}

/** Waits until the receiver reads again, so that a slow reader slows the sender through us. */
async function write(to: Socket, bytes: Uint8Array): Promise<void> {
  if (bytes.length === 0 || to.write(bytes)) return
  await new Promise<void>(resolve => {
    const done = () => {
      to.off('drain', done)
      to.off('close', done)
      resolve()
    }
    to.once('drain', done)
    to.once('close', done)
  })
}
