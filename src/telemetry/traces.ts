/**
 * Traces, where a collector is named: one SERVER span a request, one CLIENT span a sending. The only
 * file that knows OpenTelemetry, and its packages are loaded by the call alone: without a collector
 * they cost nothing. No path, query or header value goes into a span.
 * Source: W3C Trace Context; OpenTelemetry semantic conventions for HTTP.
 */
import type { Context, Span, TextMapGetter, TextMapSetter } from '@opentelemetry/api'
import type { SpanExporter } from '@opentelemetry/sdk-trace'
import { valuesOf } from '../core/header-name.ts'
import type { Log } from '../core/ports.ts'
import type { AccessLine } from './access.ts'

export interface Traces extends AsyncDisposable {
  /** A request came; its headers are name and value in turn. */
  begin(method: string, rawHeaders: readonly string[]): RequestTrace
}

/** Never throws. */
export interface RequestTrace {
  /**
   * A sending begins; the one before it, if there was any, has failed. Gives the headers that name
   * its span, name and value in turn.
   */
  sending(): readonly string[]
  answered(status: number): void
  ended(line: AccessLine): void
}

export interface TracesOptions {
  readonly settings: {
    /** Of the collector; undefined: no traces. */
    readonly OTEL_EXPORTER_OTLP_ENDPOINT: string | undefined
    readonly OTEL_SERVICE_NAME: string
    /** Of the traces that begin here, 0 to 1. */
    readonly OTEL_TRACES_SAMPLER_ARG: number
  }
  /** Of the product. */
  readonly version: string
  readonly log: Log
}

/** Spans that wait for the collector; later ones are dropped. */
const QUEUE = 2048
/** What a stop waits for the collector. */
const CLOSE_MS = 1000

/** Undefined without an endpoint. Throws where the packages cannot be loaded. */
export async function openTraces(options: TracesOptions): Promise<Traces | undefined> {
  const { settings, version, log } = options
  const { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_SERVICE_NAME: serviceName } = settings
  if (endpoint === undefined) return undefined
  const [api, sdk, resources, core, { OTLPTraceExporter }] = await Promise.all([
    import('@opentelemetry/api'),
    import('@opentelemetry/sdk-trace'),
    import('@opentelemetry/resources'),
    import('@opentelemetry/core'),
    import('@opentelemetry/exporter-trace-otlp-http')
  ])
  const { ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } = api
  const exporter = new OTLPTraceExporter({ url: `${endpoint.replace(/\/+$/, '')}/v1/traces` })
  const provider = new sdk.TracerProvider({
    resource: resources.detectResources({ detectors: [resources.envDetector] }).merge(
      resources.resourceFromAttributes({
        'service.name': serviceName,
        'service.version': version
      })
    ),
    sampler: new sdk.ParentBasedSampler({
      root: new sdk.TraceIdRatioBasedSampler(settings.OTEL_TRACES_SAMPLER_ARG)
    }),
    spanProcessors: [
      new sdk.BatchSpanProcessor({ exporter: telling(exporter, log), maxQueueSize: QUEUE })
    ]
  })
  const tracer = provider.getTracer('tollgate', version)
  const propagator = new core.W3CTraceContextPropagator()

  class Request implements RequestTrace {
    readonly #method: string
    readonly #span: Span
    readonly #context: Context
    #sending: Span | undefined
    #status: number | undefined

    constructor(method: string, parent: Context) {
      this.#method = method
      const attributes = { 'http.request.method': method }
      this.#span = tracer.startSpan(method, { kind: SpanKind.SERVER, attributes }, parent)
      this.#context = trace.setSpan(parent, this.#span)
    }

    sending(): readonly string[] {
      this.#endSending()
      const attributes = { 'http.request.method': this.#method }
      const kind = SpanKind.CLIENT
      this.#sending = tracer.startSpan(this.#method, { kind, attributes }, this.#context)
      const headers: string[] = []
      propagator.inject(trace.setSpan(this.#context, this.#sending), headers, INTO)
      return headers
    }

    answered(status: number): void {
      this.#status = status
    }

    ended(line: AccessLine): void {
      this.#endSending()
      if (!this.#span.isRecording()) return
      this.#span.setAttributes(attributesOf(line))
      if (hasRule(line)) this.#span.updateName(line.route)
      if (line.status >= 500) this.#span.setStatus({ code: SpanStatusCode.ERROR })
      this.#span.end()
    }

    #endSending(): void {
      const span = this.#sending
      const status = this.#status
      this.#sending = undefined
      this.#status = undefined
      if (!span?.isRecording()) return
      if (status !== undefined) span.setAttribute('http.response.status_code', status)
      if (status === undefined || status >= 400) span.setStatus({ code: SpanStatusCode.ERROR })
      span.end()
    }
  }

  return {
    begin: (method, rawHeaders) =>
      new Request(method, propagator.extract(ROOT_CONTEXT, rawHeaders, FROM)),
    async [Symbol.asyncDispose]() {
      const late = Promise.withResolvers<void>()
      const timer = setTimeout(late.resolve, CLOSE_MS)
      // What is lost is told by the exporter.
      await Promise.race([provider.shutdown().catch(() => undefined), late.promise])
      clearTimeout(timer)
    }
  }
}

const FROM: TextMapGetter<readonly string[]> = {
  keys: () => [],
  get(rawHeaders, name) {
    const values = valuesOf(rawHeaders, name)
    // Of two parents none is the parent; a list may come in pieces.
    if (values.length === 0 || (name === 'traceparent' && values.length > 1)) return undefined
    return values.join(',')
  }
}

const INTO: TextMapSetter<string[]> = {
  set: (headers, name, value) => void headers.push(name, value)
}

function hasRule({ route }: AccessLine): boolean {
  return route !== 'none' && route !== 'own'
}

function attributesOf(line: AccessLine): Readonly<Record<string, string | number | boolean>> {
  const { status, code, route, tokenId, signed } = line
  return {
    'http.response.status_code': status,
    'tollgate.code': code,
    ...(hasRule(line) ? { 'http.route': route } : {}),
    ...(tokenId === undefined ? {} : { 'tollgate.token_id': tokenId }),
    ...(signed === undefined ? {} : { 'tollgate.signed': signed })
  }
}

/** Says that spans were lost; the log keeps that to one line in 10 s. */
function telling(exporter: SpanExporter, log: Log): SpanExporter {
  return {
    export: (spans, done) =>
      exporter.export(spans, result => {
        if (result.error) {
          const { name } = result.error
          log.error('the collector did not take the spans', {
            code: 'TRACES_LOST',
            reason: name,
            spans: spans.length
          })
        }
        done(result)
      }),
    shutdown: () => exporter.shutdown()
  }
}
