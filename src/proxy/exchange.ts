/**
 * One request and its answer, from the first look to the last byte: who sent it, what was decided,
 * how it ended. Ends in one log line and its metrics, whatever happens.
 */
import { randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Denial, Permit } from '../core/decision.ts'
import { valuesOf } from '../core/header-name.ts'
import type { Observer } from '../core/observer.ts'
import { NOBODY, type Principal } from '../core/principal.ts'
import type { Aborted, AccessLine } from '../telemetry/access.ts'
import type { RequestTrace, Traces } from '../telemetry/traces.ts'
import { endingOf, IN, labelOf, OUT, OUTCOMES, outcomeOf, SIGNED } from './ending.ts'
import { type HeldBytes, RequestBody } from './body.ts'
import type { Client, ReadClient } from './client-address.ts'

export interface ExchangeDeps {
  readonly observer: Observer
  readonly access: (line: AccessLine) => void
  readonly held: HeldBytes
  readonly readClient: ReadClient
  readonly traces?: Traces | undefined
}

export interface Arrived {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly rawTarget: string
  /** The parser has let go of the connection, so that it may become a tunnel. */
  readonly isDetached: boolean
}

export interface Stage {
  /** The rule's key; `own`; `none`. */
  route: string
  /** `OK`, or the code of the refusal. */
  code: string
  principal: Principal
  /** Undefined: not permitted, so it says nothing. */
  signed: boolean | undefined
  /** Which of several causes with one public answer it was. */
  reason: string | undefined
  shape: string | undefined
  upstream: string | undefined
  upstreamMs: number | undefined
  bytesOut: number
  retried: boolean
  aborted: Aborted | undefined
}

const REQUEST_ID = /^(?!.*ci_)[A-Za-z0-9._-]{1,128}$/i

export class Exchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  /** As it was received. */
  readonly rawTarget: string
  readonly isDetached: boolean
  readonly client: Client
  readonly requestId: string
  readonly body: RequestBody
  readonly trace: RequestTrace | undefined
  readonly startedMs = performance.now()
  readonly stage: Stage = {
    route: 'none',
    code: 'OK',
    principal: NOBODY,
    signed: undefined,
    reason: undefined,
    shape: undefined,
    upstream: undefined,
    upstreamMs: undefined,
    bytesOut: 0,
    retried: false,
    aborted: undefined
  }
  readonly #deps: ExchangeDeps
  #sentMs: number | undefined
  #tunnel: { readonly openedMs: number; end: string | undefined } | undefined
  #onLeft: (() => void) | undefined
  #onClosed: (() => void) | undefined

  constructor(arrived: Arrived, deps: ExchangeDeps) {
    const { request, response, rawTarget, isDetached } = arrived
    this.request = request
    this.response = response
    this.rawTarget = rawTarget
    this.isDetached = isDetached
    this.#deps = deps
    this.client = deps.readClient(request.socket.remoteAddress, request.rawHeaders)
    this.requestId = readRequestId(request) ?? randomUUID()
    this.body = new RequestBody(request, response, deps)
    this.trace = deps.traces?.begin(request.method ?? '', request.rawHeaders)
    // Writing to a client that has just left is no reason to end the process.
    response.on('error', ignore)
    response.on('close', () => this.#close())
  }

  /** The client's connection is gone; what is written now reaches nobody. */
  get hasLeft(): boolean {
    return this.response.destroyed || this.response.closed
  }

  /** Called once if the client leaves before its answer is complete. */
  onLeft(listener: () => void): void {
    this.#onLeft = listener
  }

  /** Called once, when everything about the exchange is over. */
  onClosed(listener: () => void): void {
    this.#onClosed = listener
  }

  permitted({ principal, rule, signed }: Permit): void {
    const { stage } = this
    stage.principal = principal
    stage.route = rule?.key ?? 'none'
    stage.signed = signed
  }

  refused({ code, reason, rule, principal }: Denial): void {
    const { stage } = this
    stage.code = code
    stage.reason = reason
    if (rule) stage.route = rule.key
    if (principal) stage.principal = principal
  }

  /** The request is about to be written. */
  sending(upstream: string): void {
    const nowMs = performance.now()
    this.stage.upstream = upstream
    if (this.#sentMs === undefined) {
      const labels = this.stage.signed ? SIGNED.true : SIGNED.false
      this.#deps.observer.measure('overhead_seconds', (nowMs - this.startedMs) / 1000, labels)
    }
    this.#sentMs = nowMs
  }

  answered(upstream: string, status: number): void {
    this.trace?.answered(status)
    if (this.#sentMs === undefined) return
    this.stage.upstreamMs = performance.now() - this.#sentMs
    this.#deps.observer.measure('upstream_seconds', this.stage.upstreamMs / 1000, labelOf(upstream))
  }

  /** The answer was 101: a line now, and one at the end. */
  tunnelOpened(): void {
    this.#tunnel = { openedMs: performance.now(), end: undefined }
    this.#deps.access(this.#line())
  }

  /** Who ended it; what follows from that ends it, too. */
  tunnelEnded(by: string): void {
    if (this.#tunnel) this.#tunnel.end ??= by
  }

  #line(): AccessLine {
    const { stage } = this
    const { auth, tokenId, userId, orgId, signed, repositories } = describe(stage)
    return {
      requestId: this.requestId,
      method: this.request.method ?? '',
      status: this.response.statusCode,
      route: stage.route,
      code: stage.code,
      reason: stage.reason,
      auth,
      tokenId,
      userId,
      orgId,
      signed,
      repositories,
      upstream: stage.upstream,
      upstreamMs: stage.upstreamMs,
      totalMs: performance.now() - this.startedMs,
      bytesIn: this.body.bytes,
      bytesOut: stage.bytesOut,
      ip: this.client.ip,
      retried: stage.retried || undefined,
      aborted: stage.aborted,
      shape: stage.shape
    }
  }

  #lastLine(): AccessLine {
    if (!this.#tunnel) return this.#line()
    const { openedMs, end } = this.#tunnel
    return {
      ...this.#line(),
      seconds: (performance.now() - openedMs) / 1000,
      cause: end ?? 'client'
    }
  }

  #close(): void {
    const { stage, response } = this
    const { observer, access } = this.#deps
    if (this.#tunnel) this.#onLeft?.()
    else if (!response.writableFinished) {
      stage.aborted ??= 'client'
      this.#onLeft?.()
    }
    this.body.release()
    if (isCounted(stage.aborted)) observer.count('aborted_total', { by: stage.aborted })
    const line = this.#lastLine()
    observer.count('requests_total', endingOf(line))
    observer.measure('request_seconds', line.totalMs / 1000, OUTCOMES[outcomeOf(line)])
    if (line.bytesIn > 0) observer.count('bytes_total', IN, line.bytesIn)
    if (line.bytesOut > 0) observer.count('bytes_total', OUT, line.bytesOut)
    this.trace?.ended(line)
    access(line)
    this.#onClosed?.()
  }
}

function ignore(): void {}

/** Streams that the gate itself ended are counted where that happens. */
function isCounted(by: Aborted | undefined): by is 'client' | 'upstream' | 'grace' {
  return by === 'client' || by === 'upstream' || by === 'grace'
}

/** The client's own, if it can do no harm in a log or a path, and holds no token; each copy counts. */
function readRequestId({ rawHeaders }: IncomingMessage): string | undefined {
  const given = valuesOf(rawHeaders, 'x-request-id')
  return given.length === 1 && REQUEST_ID.test(given[0] ?? '') ? given[0] : undefined
}

function describe({ principal, signed }: Stage): Pick<AccessLine, 'auth'> & Partial<AccessLine> {
  switch (principal.kind) {
    case 'none':
      return { auth: 'none' }
    case 'jwt': {
      const { userId, orgId } = principal.user
      return { auth: 'jwt', userId, orgId: orgId ?? undefined }
    }
    case 'cli-token': {
      const { id, userId, orgId, repositories } = principal.token
      return {
        auth: 'cli-token',
        tokenId: id,
        userId,
        orgId: orgId ?? undefined,
        signed,
        repositories: repositories === null ? '*' : repositories.length
      }
    }
  }
}
