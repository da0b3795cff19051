/**
 * The upstream's answer on its way to the client, chunk by chunk as it comes, with backpressure. An
 * answer that breaks off breaks the client's transfer off: it never ends cleanly. An event stream is
 * passed on only while its token is good. Who makes no progress is found by `tick`.
 */
import type { Dispatcher } from 'undici'
import { deny, type Permit } from '../core/decision.ts'
import type { Aborted } from '../telemetry/access.ts'
import type { BodyStream } from './body.ts'
import type { Connections } from './connections.ts'
import type { Exchange } from './exchange.ts'
import { type StreamEnd, StreamGuard } from './guard.ts'
import { responseHeaders, valueOf } from './headers.ts'
import { type Answers, endWith } from './problem.ts'
import type { Observer } from '../core/observer.ts'

export interface RelayDeps {
  readonly connections: Connections
  readonly answers: Answers
  readonly observer: Observer
  readonly isDraining: () => boolean
}

/** Without progress of the client's, or of the upstream's; in seconds, as ticks come. */
const CLIENT_LIMIT_TICKS = 60
const UPSTREAM_LIMIT_TICKS = 300
/** A body up to here leaves in one write with its head, if it came in one read. */
const WHOLE_LIMIT_BYTES = 16_384
/** After an answer that did not wait for the whole body; in ms. */
const LINGER_MS = 1000

export type Stalled = 'upload' | 'answer' | 'upstream'

export class Relay {
  readonly #exchange: Exchange
  readonly #deps: RelayDeps
  #permit: Permit
  #controller: Dispatcher.DispatchController | undefined
  #guard: StreamGuard | undefined
  #body: BodyStream | undefined
  /** Of an event stream that rests. */
  #kept: Buffer[] = []
  /** The first bytes of the body, until more comes or the turn is over. */
  #first: Buffer | undefined
  #isFlushed = false
  #hasEnded = false
  #isWaiting = false
  #chunks = 0
  #seen: readonly number[] = []
  #idleTicks = 0

  constructor(exchange: Exchange, permit: Permit, deps: RelayDeps) {
    this.#exchange = exchange
    this.#permit = permit
    this.#deps = deps
  }

  /** The request was decided again. */
  renew(permit: Permit): void {
    this.#permit = permit
  }

  watchUpload(body: BodyStream): void {
    this.#body = body
  }

  begin(controller: Dispatcher.DispatchController, status: number, reason: string): void {
    this.#controller = controller
    const { response } = this.#exchange
    const headers = responseHeaders(controller.rawHeaders)
    if (this.#permit.wouldDeny) headers.push('x-tollgate-would-deny', this.#permit.wouldDeny.code)
    if (this.#deps.isDraining() || !response.shouldKeepAlive) headers.push('Connection', 'close')
    if (isEventStream(headers)) this.#startGuard()
    response.writeHead(status, reason, headers)
    // A head that travels with its first bytes saves a write; it must not wait for late ones.
    process.nextTick(flush, this)
  }

  /** What one read of the upstream has brought is there: the rest has not come yet. */
  flush(): void {
    if (this.#exchange.hasLeft || this.#hasEnded) return
    this.#isFlushed = true
    this.#writeFirst()
    if (this.#chunks === 0) this.#exchange.response.flushHeaders()
  }

  pass(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#chunks += 1
    if (this.#guard && !this.#guard.mayPass()) {
      this.#kept.push(chunk)
      controller.pause()
      return
    }
    // An event stream holds none: what rests with it would overtake this.
    const mayBeWhole = this.#chunks === 1 && !this.#isFlushed && !this.#guard
    if (mayBeWhole && chunk.length <= WHOLE_LIMIT_BYTES) {
      this.#first = chunk
      return
    }
    this.#writeFirst()
    this.#write(chunk)
  }

  #writeFirst(): void {
    const first = this.#first
    this.#first = undefined
    if (first) this.#write(first)
  }

  #write(chunk: Buffer): void {
    const { response, stage } = this.#exchange
    stage.bytesOut += chunk.length
    if (response.write(chunk) || this.#isWaiting) return
    this.#isWaiting = true
    this.#controller?.pause()
    response.once('drain', () => this.#drained())
  }

  #drained(): void {
    this.#isWaiting = false
    if (this.#kept.length === 0) this.#controller?.resume()
  }

  end(): void {
    this.#hasEnded = true
    if (this.#kept.length > 0) return
    const { request, response, stage } = this.#exchange
    const whole = this.#first
    if (whole === undefined) response.end()
    else {
      this.#first = undefined
      stage.bytesOut += whole.length
      endWith(response, whole)
    }
    if (this.#body === undefined || request.complete) return
    // The upstream did not want the rest. Whoever goes on sending it is heard out for a moment.
    const timer = setTimeout(() => request.destroy(), LINGER_MS)
    request.once('end', () => clearTimeout(timer))
    request.once('close', () => clearTimeout(timer)).resume()
  }

  /** Breaks the client's transfer off. */
  cut(by: Aborted): void {
    this.#exchange.stage.aborted ??= by
    this.#exchange.response.destroy()
  }

  /** The client stopped sending its body. */
  timeOut(): void {
    this.#deps.answers.deny(this.#exchange, deny('REQUEST_TIMEOUT', { reason: 'body' }))
  }

  #startGuard(): void {
    this.#guard = new StreamGuard(this.#permit, {
      pause: () => this.#controller?.pause(),
      resume: () => this.#resumeStream(),
      end: cause => this.#endStream(cause)
    })
    this.#deps.connections.open('event_stream', this.#guard)
  }

  #resumeStream(): void {
    for (const chunk of this.#kept.splice(0)) this.#write(chunk)
    if (this.#hasEnded) this.end()
    else if (!this.#isWaiting) this.#controller?.resume()
  }

  #endStream(cause: StreamEnd): void {
    this.#deps.observer.count('streams_closed_total', { cause })
    this.cut(cause)
    this.#controller?.abort(new Error(`the stream's end: ${cause}`))
  }

  /** Once a second; says who has kept the others waiting for too long. */
  tick(hasStarted: boolean): Stalled | undefined {
    const { response } = this.#exchange
    const sign = [this.#body?.taken ?? 0, this.#chunks, response.socket?.writableLength ?? 0]
    const hasMoved = sign.some((value, i) => value !== this.#seen[i])
    this.#seen = sign
    this.#idleTicks = hasMoved ? 0 : this.#idleTicks + 1
    if (this.#isWaiting) return this.#idleTicks >= CLIENT_LIMIT_TICKS ? 'answer' : undefined
    if (hasStarted && this.#body && !this.#body.readableEnded) {
      return this.#idleTicks >= CLIENT_LIMIT_TICKS ? 'upload' : undefined
    }
    const isOpenEnded = this.#guard !== undefined || this.#controller === undefined
    return !isOpenEnded && this.#idleTicks >= UPSTREAM_LIMIT_TICKS ? 'upstream' : undefined
  }

  release(): void {
    if (this.#guard) this.#deps.connections.close('event_stream', this.#guard)
  }
}

function flush(relay: Relay): void {
  relay.flush()
}

function isEventStream(headers: readonly string[]): boolean {
  return /^text\/event-stream\b/i.test(valueOf(headers, 'content-type') ?? '')
}
