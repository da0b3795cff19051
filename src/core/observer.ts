/**
 * The names of everything that is counted, timed or gauged; telemetry/metrics.ts gives each its
 * help text, labels and buckets and is checked against this list by the compiler. `tollgate_` is
 * put before each name. Durations are in seconds, sizes in bytes.
 */
export type CounterName =
  | 'requests_total'
  | 'decisions_total'
  | 'signatures_total'
  | 'signature_forms_total'
  | 'tokens_refused_total'
  | 'would_deny_total'
  | 'routes_reloads_total'
  | 'bytes_total'
  | 'aborted_total'
  | 'store_errors_total'
  | 'nonce_epoch_changes_total'
  | 'upstream_errors_total'
  | 'upstream_retries_total'
  | 'key_set_fetches_total'
  | 'shed_total'
  | 'log_lines_dropped_total'
  | 'audit_dropped_total'
  | 'last_used_dropped_total'
  | 'dropped_bodies_total'
  | 'lease_renewals_total'
  | 'lease_lapses_total'
  | 'history_changes_total'
  | 'revocations_reapplied_total'
  | 'invalidations_applied_total'
  | 'cache_clears_total'
  | 'cache_lookups_total'
  | 'reads_discarded_total'
  | 'dispatch_rechecks_failed_total'
  | 'barriers_total'
  | 'replicas_removed_total'
  | 'streams_closed_total'

export type HistogramName =
  | 'request_seconds'
  | 'upstream_seconds'
  | 'overhead_seconds'
  | 'store_seconds'
  | 'signature_lead_seconds'
  | 'lease_renewal_seconds'
  | 'invalidation_lag_seconds'
  | 'token_query_seconds'
  | 'token_query_batch_size'
  | 'barrier_seconds'

export type GaugeName =
  | 'in_flight'
  | 'client_connections'
  | 'streams'
  | 'held_body_bytes'
  | 'draining'
  | 'store_up'
  | 'upstream_connections'
  | 'upstream_exposed'
  | 'event_loop_lag_seconds'
  | 'report_mode_rules'
  | 'routes_info'
  | 'routes_loaded_timestamp_seconds'
  | 'routes_last_reload_success'
  | 'lease_valid'
  | 'lease_age_seconds'
  | 'applied_seq'
  | 'replicas'
  | 'clock_offset_seconds'
  | 'clock_trusted'
  | 'cache_entries'

/** Values come from closed lists: codes, kinds, rule keys. Never a path, token, user or address. */
export type Labels = Readonly<Record<string, string>>

/** Never throws. */
export interface Observer {
  count(name: CounterName, labels?: Labels, by?: number): void
  measure(name: HistogramName, value: number, labels?: Labels): void
  gauge(name: GaugeName, value: number, labels?: Labels): void
}

/** For a process that nobody watches. */
export const NO_OBSERVER: Observer = {
  count: () => undefined,
  measure: () => undefined,
  gauge: () => undefined
}
