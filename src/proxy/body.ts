/**
 * The body of one request: held up to a limit where it decides something, read and dropped where it
 * must not go on (GET, HEAD), else streamed with backpressure. A body is read in one of these ways,
 * once. `100 Continue` is sent when reading begins, so never to a request that is refused unread.
 * Source: RFC 9110 sections 10.1.1 (Expect) and 9.3.1 (content of GET).
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import { Fault } from '../core/decision.ts'
import type { Observer } from '../core/observer.ts'
import type { BodyHolder } from '../core/ports.ts'

/** Bytes that this process may hold in all bodies together. */
export interface HeldBytes {
  /** False: there is no room. */
  reserve(bytes: number): boolean
  release(bytes: number): void
}

const HELD_LIMIT_BYTES = 33_554_432
const HOLD_DEADLINE_MS = 30_000

export function createHeldBytes(observer: Observer, limitBytes = HELD_LIMIT_BYTES): HeldBytes {
  let held = 0
  const add = (bytes: number) => {
    held += bytes
    observer.gauge('held_body_bytes', held)
  }
  return {
    reserve(bytes) {
      if (held + bytes > limitBytes) return false
      add(bytes)
      return true
    },
    release: bytes => add(-bytes)
  }
}

/** At random, so that those who were refused together do not come back together. */
export function overloaded(): Fault {
  return new Fault('OVERLOADED', { retryAfterSeconds: 1 + Math.floor(Math.random() * 3) })
}

type Held = Uint8Array | 'too-large' | 'too-slow' | 'cut-off'

export interface RequestBodyDeps {
  readonly held: HeldBytes
  readonly observer: Observer
}

const NO_BYTES = new Uint8Array()

export class RequestBody implements BodyHolder {
  readonly #request: IncomingMessage
  readonly #response: ServerResponse
  readonly #deps: RequestBodyDeps
  #held: Promise<Held> | undefined
  #reserved = 0
  /** Read so far. */
  bytes = 0

  constructor(request: IncomingMessage, response: ServerResponse, deps: RequestBodyDeps) {
    this.#request = request
    this.#response = response
    this.#deps = deps
  }

  hold(limitBytes: number): Promise<Held> {
    this.#held ??= this.#hold(limitBytes)
    return this.#held
  }

  async #hold(limitBytes: number): Promise<Held> {
    const declared = this.#declaredBytes()
    if (declared === 0) return NO_BYTES
    if (declared !== undefined && declared > limitBytes) return 'too-large'
    const { held, observer } = this.#deps
    // Without a length it may become as large as the limit, so that much is taken.
    const wanted = declared ?? limitBytes
    if (!held.reserve(wanted)) {
      observer.count('shed_total', { reason: 'held_bodies' })
      throw overloaded()
    }
    this.#reserved = wanted
    const chunks: Buffer[] = []
    const end = await this.#read(limitBytes, chunk => chunks.push(chunk))
    if (end !== 'end') return end
    held.release(this.#reserved - this.bytes)
    this.#reserved = this.bytes
    return Buffer.concat(chunks)
  }

  /** Reads and drops it. `end`: it is gone, and the connection may go on. */
  async drop(limitBytes: number): Promise<'end' | 'too-large' | 'too-slow' | 'cut-off'> {
    const declared = this.#declaredBytes()
    if (declared === 0) return 'end'
    if (declared !== undefined && declared > limitBytes) return 'too-large'
    this.#deps.observer.count('dropped_bodies_total')
    return this.#read(limitBytes, () => undefined)
  }

  /** Undefined: chunked. */
  #declaredBytes(): number | undefined {
    const { headers } = this.#request
    if (headers['transfer-encoding'] !== undefined) return undefined
    return Number(headers['content-length'] ?? 0)
  }

  #begin(): void {
    const { headers, httpVersion } = this.#request
    // An HTTP/1.0 client would take it for its answer.
    if (headers.expect !== undefined && httpVersion === '1.1') this.#response.writeContinue()
  }

  #read(
    limitBytes: number,
    keep: (chunk: Buffer) => void
  ): Promise<'end' | 'too-large' | 'too-slow' | 'cut-off'> {
    const request = this.#request
    if (request.destroyed && !request.complete) return Promise.resolve('cut-off')
    this.#begin()
    return new Promise(resolve => {
      const settle = (end: 'end' | 'too-large' | 'too-slow' | 'cut-off') => {
        clearTimeout(timer)
        request.off('data', onData).off('end', onEnd).off('close', onClose)
        request.pause()
        resolve(end)
      }
      const onData = (chunk: Buffer) => {
        this.bytes += chunk.length
        if (this.bytes > limitBytes) settle('too-large')
        else keep(chunk)
      }
      const onEnd = () => settle('end')
      const onClose = () => settle('cut-off')
      const timer = setTimeout(() => settle('too-slow'), HOLD_DEADLINE_MS)
      request.on('error', () => undefined)
      request.on('data', onData).on('end', onEnd).on('close', onClose)
    })
  }

  /** `admit` is asked in the same turn as the first byte goes on; false: nothing goes on. */
  stream(admit: () => boolean): BodyStream {
    return new BodyStream(this.#request, {
      begin: () => this.#begin(),
      admit,
      count: bytes => (this.bytes += bytes)
    })
  }

  /** The bytes are not needed any more. */
  release(): void {
    this.#deps.held.release(this.#reserved)
    this.#reserved = 0
  }
}

interface StreamHooks {
  readonly begin: () => void
  readonly admit: () => boolean
  readonly count: (bytes: number) => void
}

/**
 * The body on its way, apart from the request: undici destroys what it is given, and the client's
 * connection must outlive that to get an answer. Nothing is read before `open`.
 */
export class BodyStream extends Readable {
  readonly #source: IncomingMessage
  readonly #hooks: StreamHooks
  #isOpen = false
  #isAdmitted = false
  /** Bytes read from the client: what was taken cannot be taken again. */
  taken = 0

  constructor(source: IncomingMessage, hooks: StreamHooks) {
    super()
    this.#source = source
    this.#hooks = hooks
  }

  open(): void {
    if (this.#isOpen) return
    this.#isOpen = true
    this.#hooks.begin()
    this.#source.on('data', this.#onData).on('end', this.#onEnd).on('close', this.#onClose)
  }

  override _read(): void {
    if (this.#isOpen) this.#source.resume()
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#source.off('data', this.#onData).off('end', this.#onEnd).off('close', this.#onClose)
    this.#source.pause()
    done(error)
  }

  readonly #onData = (chunk: Buffer) => {
    this.taken += chunk.length
    this.#hooks.count(chunk.length)
    if (!this.#admit()) return
    if (!this.push(chunk)) this.#source.pause()
  }

  readonly #onEnd = () => {
    if (this.#admit()) this.push(null)
  }

  readonly #onClose = () => {
    if (!this.#source.complete) this.destroy(new Error('the client left'))
  }

  #admit(): boolean {
    this.#isAdmitted ||= this.#hooks.admit()
    return this.#isAdmitted
  }
}
