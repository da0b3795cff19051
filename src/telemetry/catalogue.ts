/**
 * Every metric, once: help text, labels with all their values, buckets. The compiler compares the
 * names with those of core/observer.ts. `tollgate_` is put before each; units are seconds and bytes.
 *
 * A label takes its value from a closed list, so that no caller can make series: what is not in the
 * list counts as `other`. Histograms never carry `route`.
 */
import type { CounterName, GaugeName, HistogramName } from '../core/observer.ts'
import { CODES, UPSTREAM_CODES, type Values } from './labels.ts'

export interface Metric {
  readonly help: string
  readonly labels: Readonly<Record<string, Values>>
}

export interface HistogramMetric extends Metric {
  readonly buckets: readonly number[]
}

const STORES = ['postgres', 'redis']

/** Waits of other people's making. */
const WAIT_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]
/** The gate's own time. */
const OWN_SECONDS = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1
]
/** A client's clock against ours: behind and ahead, up to the widest signature window. */
const LEAD_SECONDS = [-300, -60, -10, -5, -1, 0, 1, 5, 10, 60, 300]
/** Up to the largest batch. */
const BATCH_SIZES = [1, 2, 4, 8, 16, 32, 64, 128, 256]

const none = {}

export const COUNTERS = {
  requests_total: {
    help: 'Requests that ended',
    labels: { route: 'routes', code: CODES, class: ['1xx', '2xx', '3xx', '4xx', '5xx'] }
  },
  decisions_total: {
    help: 'Decisions of the gate',
    labels: { auth: ['cli-token', 'jwt', 'none'], result: ['allow', 'deny', 'fault'] }
  },
  signatures_total: {
    help: 'Requests by ci_ tokens, by what their signature was worth',
    labels: {
      result: [
        'unsigned',
        'required',
        'valid',
        'malformed',
        'stale',
        'mismatch',
        'replayed',
        'fault'
      ]
    }
  },
  signature_forms_total: {
    help: 'Valid signatures by what was signed: tells when the strict settings are safe',
    labels: { target: ['full', 'path'], body: ['none', 'raw', 'canonical'] }
  },
  tokens_refused_total: {
    help: 'Refused ci_ tokens',
    labels: { reason: ['malformed', 'unknown', 'revoked', 'expired'] }
  },
  would_deny_total: {
    help: 'Requests that report mode let through',
    labels: { route: 'routes', code: CODES }
  },
  routes_reloads_total: {
    help: 'Changes of the route file that were seen',
    labels: { result: ['ok', 'error'] }
  },
  bytes_total: { help: 'Bytes of bodies and streams', labels: { direction: ['in', 'out'] } },
  aborted_total: {
    help: 'Requests that broke off',
    labels: { by: ['client', 'upstream', 'grace'] }
  },
  store_errors_total: {
    help: 'Failed operations on Postgres and Redis',
    labels: {
      store: STORES,
      reason: [
        'timeout',
        'refused',
        'reset',
        'standby',
        'readonly',
        'full',
        'loading',
        'too_many',
        'other'
      ]
    }
  },
  nonce_epoch_changes_total: {
    help: 'Times the nonce store forgot, or may have',
    labels: { cause: ['missing', 'server'] }
  },
  upstream_errors_total: {
    help: 'Requests that an upstream did not answer',
    labels: { upstream: 'upstreams', code: UPSTREAM_CODES }
  },
  upstream_retries_total: { help: 'Requests sent once more', labels: none },
  key_set_fetches_total: {
    help: 'Fetches of the key set of user JWTs',
    labels: { result: ['ok', 'error', 'cooldown'] }
  },
  shed_total: {
    help: 'Requests and connections refused because of load',
    labels: {
      reason: ['lag', 'in_flight', 'lookups', 'nonces', 'held_bodies', 'connections']
    }
  },
  log_lines_dropped_total: { help: 'Log lines without room or reader', labels: none },
  audit_dropped_total: { help: 'Audit rows that were lost', labels: none },
  last_used_dropped_total: { help: 'Times of last use that were lost', labels: none },
  dropped_bodies_total: { help: 'Bodies of GET and HEAD, read and dropped', labels: none },
  lease_renewals_total: {
    help: 'Polls of the database that renew the lease',
    labels: {
      cause: ['timer', 'request', 'nudge'],
      result: ['ok', 'timeout', 'error', 'standby', 'not_member']
    }
  },
  lease_lapses_total: { help: 'Times the lease ran out', labels: none },
  history_changes_total: { help: 'Failovers and restores that were noticed', labels: none },
  revocations_reapplied_total: { help: 'Revocations that came back undone', labels: none },
  invalidations_applied_total: { help: 'Applied events', labels: { via: ['poll', 'nudge'] } },
  cache_clears_total: {
    help: 'Times the whole token cache was dropped',
    labels: { cause: ['gap', 'history', 'rejoined'] }
  },
  cache_lookups_total: {
    help: 'Look-ups in the token cache',
    labels: { result: ['hit', 'miss', 'negative'] }
  },
  reads_discarded_total: {
    help: 'Rows that were read and may not be used',
    labels: {
      cause: ['stale', 'invalidated', 'not_member', 'standby', 'history', 'generation']
    }
  },
  dispatch_rechecks_failed_total: {
    help: 'Permits that lapsed before their first byte was sent',
    labels: { cause: ['lease', 'entry', 'expired'] }
  },
  barriers_total: {
    help: 'Barriers of revocations',
    labels: { end: ['acks', 'deadline', 'unconfirmed'] }
  },
  replicas_removed_total: { help: 'Rows of dead replicas that were removed', labels: none },
  streams_closed_total: {
    help: 'Tunnels and event streams closed by the gate',
    labels: { cause: ['revoked', 'expired', 'lease', 'drain'] }
  }
} as const satisfies Record<CounterName, Metric>

export const HISTOGRAMS = {
  request_seconds: {
    help: 'First byte in to last byte out',
    labels: { outcome: ['forwarded', 'refused', 'fault'] },
    buckets: WAIT_SECONDS
  },
  upstream_seconds: {
    help: "Sending to the head of the upstream's answer",
    labels: { upstream: 'upstreams' },
    buckets: WAIT_SECONDS
  },
  overhead_seconds: {
    help: 'Decision and own work before sending',
    labels: { signed: ['true', 'false'] },
    buckets: OWN_SECONDS
  },
  store_seconds: {
    help: 'Operations on Postgres and Redis',
    labels: { store: STORES, op: ['poll', 'lookup', 'api', 'audit', 'last_used', 'nonce'] },
    buckets: WAIT_SECONDS
  },
  signature_lead_seconds: {
    help: "A signature's timestamp minus now: clients whose clocks are off",
    labels: none,
    buckets: LEAD_SECONDS
  },
  lease_renewal_seconds: { help: 'Polls', labels: none, buckets: WAIT_SECONDS },
  invalidation_lag_seconds: {
    help: 'Commit of a change to its application here',
    labels: none,
    buckets: WAIT_SECONDS
  },
  token_query_seconds: { help: 'Batched look-ups', labels: none, buckets: WAIT_SECONDS },
  token_query_batch_size: { help: 'Tokens per look-up', labels: none, buckets: BATCH_SIZES },
  barrier_seconds: {
    help: 'How long a revocation waited',
    labels: { end: ['acks', 'deadline', 'unconfirmed'] },
    buckets: WAIT_SECONDS
  }
} as const satisfies Record<HistogramName, HistogramMetric>

export const GAUGES = {
  in_flight: { help: 'Requests and streams between permit and end', labels: none },
  client_connections: { help: 'Connections of clients', labels: none },
  streams: { help: 'Open streams', labels: { kind: ['tunnel', 'event_stream'] } },
  held_body_bytes: { help: 'Bodies held in memory', labels: none },
  draining: { help: '1 while the gate is stopping', labels: none },
  store_up: { help: '1 while the store answers', labels: { store: STORES } },
  upstream_connections: { help: 'Connections to upstreams', labels: { state: ['idle', 'busy'] } },
  upstream_exposed: { help: '1: the upstream answers past the gate', labels: none },
  event_loop_lag_seconds: { help: 'Longest delay in the last 10 s', labels: none },
  report_mode_rules: { help: 'Rules whose refusals are only recorded', labels: none },
  routes_info: { help: 'The route file in force', labels: { hash: 'newest' } },
  routes_loaded_timestamp_seconds: { help: 'When it was loaded', labels: none },
  routes_last_reload_success: { help: '0: the newest route file is not in force', labels: none },
  lease_valid: { help: '1 while the cache may be used', labels: none },
  lease_age_seconds: { help: 'Since the poll the lease rests on was sent', labels: none },
  applied_seq: { help: 'Number of the last applied event', labels: none },
  replicas: { help: 'Registered replicas', labels: none },
  clock_offset_seconds: { help: "The database's clock minus this machine's", labels: none },
  clock_trusted: { help: '0: the clocks differ by more than 30 s', labels: none },
  cache_entries: { help: 'Tokens in the cache', labels: none }
} as const satisfies Record<GaugeName, Metric>

/** Of the process itself; they are read when somebody asks. Gauges, but where the name says `_total`. */
export const PROCESS = {
  build_info: { help: 'What is running', labels: { version: 'newest', node: 'newest' } },
  process_cpu_seconds_total: { help: 'CPU time of the process', labels: none },
  process_resident_memory_bytes: { help: 'Resident memory of the process', labels: none },
  heap_used_bytes: { help: 'Heap in use', labels: none },
  open_fds: { help: 'Open file descriptors; 0 where the platform does not tell', labels: none }
} as const satisfies Readonly<Record<string, Metric>>
