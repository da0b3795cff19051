/**
 * The sender: the bytes that were authorised out to the upstream, its answer back, backpressure and
 * breaking off in both directions. A permit is looked at once more in the very turn in which the
 * first byte is written, at each attempt; what lapsed is decided again, once.
 *
 * A request is written once. It goes out a second time only if nothing of it was written, or if it
 * was a GET or HEAD without a body on a reused connection that broke before any byte of an answer.
 * Source: RFC 9112 section 9.3.1 (retrying); undici's Dispatcher.
 */
import { STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Dispatcher } from 'undici'
import { asFault, Fault, type Permit } from '../core/decision.ts'
import { dropsBody, hasBody } from '../core/head.ts'
import type { Observer } from '../core/observer.ts'
import { type BodyStream, overloaded } from './body.ts'
import type { Connections, Flow } from './connections.ts'
import type { Exchange } from './exchange.ts'
import { isPassable } from './headers.ts'
import { isRepeatable, outgoing } from './outgoing.ts'
import type { Answers } from './problem.ts'
import { Relay } from './relay.ts'
import { upgradeToTunnel } from './tunnel.ts'
import { isConnectionLost, isRefused, upstreamFault } from './upstream-errors.ts'
import type { ConnectionAware, Upstream, Upstreams } from './upstreams.ts'

export interface ForwardDeps {
  readonly upstreams: Upstreams
  readonly connections: Connections
  readonly answers: Answers
  readonly observer: Observer
  /** No connection is kept any more. */
  readonly isDraining: () => boolean
}

/** Sends what is permitted, and answers; never throws. */
export type Forward = (exchange: Exchange, permit: Permit) => void

export function createForward(deps: ForwardDeps): Forward {
  return (exchange, permit) => {
    const sending = new Sending(exchange, permit, deps)
    if (deps.connections.enter(sending)) sending.start()
    else deps.answers.fail(exchange, overloaded())
  }
}

const REFUSED_PAUSE_MS = 100

class Sending implements ConnectionAware, Flow {
  place = -1
  readonly #exchange: Exchange
  readonly #deps: ForwardDeps
  readonly #upstream: Upstream
  readonly #relay: Relay
  #permit: Permit
  #body: BodyStream | undefined
  #controller: Dispatcher.DispatchController | undefined
  /** Set by the dispatcher that takes the request. */
  connection: ConnectionAware['connection'] = undefined
  /** On a connection that had served before. */
  #isReused = false
  #hasStarted = false
  #hasAnswer = false
  #hasLapsed = false
  #hasDecidedAgain = false
  #hasRetried = false
  /** By us: how it ended is said already. */
  #isCut = false

  constructor(exchange: Exchange, permit: Permit, deps: ForwardDeps) {
    this.#exchange = exchange
    this.#permit = permit
    this.#deps = deps
    this.#upstream = deps.upstreams.get(permit.rule?.upstream ?? 'default', permit.table)
    this.#relay = new Relay(exchange, permit, deps)
  }

  start(): void {
    this.#exchange.onLeft(() => this.#abandon())
    this.#exchange.onClosed(() => {
      this.#relay.release()
      this.#deps.connections.leave(this)
    })
    this.#dispatch()
  }

  #dispatch(how: 'dispatch' | 'dispatchAfresh' = 'dispatch'): void {
    this.#hasStarted = false
    this.#isReused = false
    this.connection = undefined
    this.#hasLapsed = false
    this.#body = undefined
    const options = outgoing(this.#exchange, this.#permit, this.#bodyToSend())
    try {
      this.#upstream[how](options, this)
    } catch (thrown) {
      this.#answer(thrown)
    }
  }

  #bodyToSend(): Uint8Array | BodyStream | null {
    const { head, heldBody } = this.#permit
    if (heldBody || dropsBody(head) || !hasBody(head)) return heldBody ?? null
    this.#body = this.#exchange.body.stream(() => this.#mayWrite())
    this.#relay.watchUpload(this.#body)
    return this.#body
  }

  /** The last look, in the turn of the first write. */
  #mayWrite(): boolean {
    try {
      const lapse = this.#permit.lapse()
      if (lapse === undefined) return true
      this.#deps.observer.count('dispatch_rechecks_failed_total', { cause: lapse })
      this.#hasLapsed = true
      this.#controller?.abort(new Error('the permit lapsed'))
    } catch (thrown) {
      this.#controller?.abort(asFault(thrown))
    }
    return false
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    if (this.#exchange.hasLeft) controller.abort(new Error('the client left'))
    else if (this.#mayWrite()) {
      this.#hasStarted = true
      const connection = this.connection?.()
      if (connection) this.#isReused = connection.served++ > 0
      this.#exchange.sending(this.#upstream.name)
      this.#body?.open()
    }
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    _headers: unknown,
    reason = STATUS_CODES[status] ?? ''
  ): void {
    this.#hasAnswer = true
    // Informational answers concern this connection alone.
    if (status < 200) return
    if (isPassable(controller.rawHeaders)) {
      this.#exchange.answered(this.#upstream.name, status)
      this.#relay.begin(controller, status, reason)
    } else controller.abort(new Fault('UPSTREAM_INVALID'))
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#relay.pass(controller, chunk)
  }

  onResponseEnd(): void {
    this.#relay.end()
  }

  onRequestUpgrade(
    controller: Dispatcher.DispatchController,
    status: number,
    _headers: unknown,
    socket: Duplex
  ): void {
    this.#exchange.answered(this.#upstream.name, status)
    const upgraded = { status, rawHeaders: controller.rawHeaders, socket }
    const isOpen = upgradeToTunnel(this.#exchange, this.#permit, this.#deps, upgraded)
    if (!isOpen) this.#answer(new Fault('UPSTREAM_INVALID'))
  }

  onResponseError(_controller: unknown, error: Error): void {
    if (this.#exchange.hasLeft || this.#isCut) return
    if (this.#hasLapsed) void this.#decideAgain()
    else if (this.#exchange.response.headersSent) this.#relay.cut('upstream')
    else if (this.#mayRetry(error)) this.#retry(error)
    else this.#answer(upstreamFault(error, this.#hasStarted))
  }

  #answer(thrown: unknown): void {
    const { observer, answers } = this.#deps
    if (thrown instanceof Fault && thrown.code.startsWith('UPSTREAM_')) {
      const { name } = this.#upstream
      observer.count('upstream_errors_total', { upstream: name, code: thrown.code })
    }
    answers.fail(this.#exchange, thrown)
  }

  /** With the nonce that was claimed for it; once, and only if nothing of the body was taken. */
  async #decideAgain(): Promise<void> {
    if (this.#hasDecidedAgain || (this.#body?.taken ?? 0) > 0) {
      this.#answer(new Fault('TOKEN_STORE_UNAVAILABLE'))
      return
    }
    this.#hasDecidedAgain = true
    try {
      const decision = await this.#permit.again()
      if (decision.kind === 'denial') this.#deps.answers.deny(this.#exchange, decision)
      else if (decision.kind === 'permit') {
        this.#permit = decision
        this.#relay.renew(decision)
        this.#dispatch()
      } else throw new Error('a permit became a call of our own')
    } catch (thrown) {
      this.#answer(thrown)
    }
  }

  #mayRetry(error: Error): boolean {
    if (this.#hasRetried || (this.#body?.taken ?? 0) > 0 || !isConnectionLost(error)) return false
    if (!this.#hasStarted) return true
    return isRepeatable(this.#permit) && this.#isReused && !this.#hasAnswer
  }

  #retry(error: Error): void {
    this.#hasRetried = true
    this.#exchange.stage.retried = true
    this.#deps.observer.count('upstream_retries_total')
    if (isRefused(error)) setTimeout(() => this.#dispatch('dispatchAfresh'), REFUSED_PAUSE_MS)
    else this.#dispatch('dispatchAfresh')
  }

  /** The client is gone: so is the reason for the request. */
  #abandon(): void {
    this.#abort('the client left')
    this.#body?.destroy()
  }

  tick(): void {
    const stalled = this.#relay.tick(this.#hasStarted)
    if (stalled === undefined) return
    this.#abort('no progress')
    if (stalled === 'upload' && !this.#exchange.response.headersSent) this.#relay.timeOut()
    else this.#relay.cut(stalled === 'answer' ? 'client' : 'upstream')
  }

  cut(): void {
    this.#abort('the gate stops')
    this.#relay.cut('grace')
  }

  #abort(why: string): void {
    this.#isCut = true
    this.#controller?.abort(new Error(why))
  }
}
