/**
 * The settings of running the gate: logs, metrics, traces, stopping, Kubernetes. Part of the table
 * in schema.ts, which says what a setting is.
 */
import { address, choice, flag, fraction, integer, line, type Setting } from './kinds.ts'
import { probes, url } from './urls.ts'

export const OPERATION_SETTINGS = {
  LOG_LEVEL: choice({
    of: ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'],
    default: 'info',
    about: 'lowest level that is logged',
    why: 'requests are logged at info'
  }),
  ACCESS_LOG: choice({
    of: ['all', 'refused', 'off'],
    default: 'all',
    about: 'which requests get a line; refused: 4xx and 5xx made here',
    why: 'unsigned use is promised to be logged'
  }),
  DRAIN_DELAY_MS: integer({
    unit: 'ms',
    min: 0,
    max: 600_000,
    default: 0,
    about: 'how long new requests are still accepted after SIGTERM',
    why: 'a balancer that is told late needs it; a process by itself does not'
  }),
  SHUTDOWN_GRACE_MS: integer({
    unit: 'ms',
    min: 0,
    max: 3_600_000,
    default: 25_000,
    about: 'how long running requests may finish',
    why: 'with the delay before it, less than the usual grace of 45 s'
  }),
  AUDIT_RETENTION_DAYS: integer({
    unit: 'days',
    hasZero: true,
    min: 30,
    max: 36_500,
    default: 400,
    about: 'how long the audit trail is kept; 0: for ever',
    why: 'a year and the time to look at it'
  }),
  METRICS_ROUTES: integer({
    min: 0,
    max: 1000,
    default: 200,
    about: 'values of the metrics label `route`; later rules count as `other`',
    why: 'each costs one series per status code'
  }),
  UPSTREAM_EXPOSURE: choice({
    of: ['warn', 'refuse', 'off'],
    default: 'warn',
    about: 'when the upstream answers on POD_IP, past the gate: warn, or be not ready',
    why: 'the sidecar container sets refuse'
  }),
  POD_IP: address({
    default: undefined,
    about: "the pod's address, from the downward API",
    why: 'nobody but Kubernetes knows it'
  }),
  APP_PROBES: probes({
    default: Object.freeze({}),
    about: 'probes of the application that are answered on the admin port',
    why: 'kubelet cannot reach an application on loopback'
  }),
  OTEL_EXPORTER_OTLP_ENDPOINT: url({
    schemes: ['https', 'http'],
    isSecret: false,
    default: undefined,
    about: 'collector of traces',
    why: 'missing: no tracing, and nothing of it is loaded'
  }),
  OTEL_SERVICE_NAME: line({
    range: 'one line of text',
    default: 'tollgate',
    about: 'name in traces',
    why: 'the product'
  }),
  OTEL_TRACES_SAMPLER_ARG: fraction({
    default: 0.01,
    about: 'share of root traces that is kept',
    why: 'one in a hundred shows the shape'
  }),
  NODE_ENV: line({
    range: 'one line of text',
    default: undefined,
    about: '`production`: no embedded part steps in',
    why: 'the image sets it'
  }),
  TOLLGATE_ALLOW_EMBEDDED: flag({
    default: false,
    about: 'embedded parts in production too',
    why: 'they are lost with the machine'
  })
} as const satisfies Readonly<Record<string, Setting<unknown>>>
