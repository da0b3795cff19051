/** Log and metrics of one gate, and what the metrics tell of the route file in force. */
import type { RouteTable } from '../core/rule.ts'
import type { AccessMode } from './access.ts'
import { createLog, type GateLog, type LogLevel } from './log.ts'
import { createMetrics, type Metrics } from './metrics.ts'

export interface Telemetry {
  readonly log: GateLog
  readonly observer: Metrics
}

export interface TelemetryOptions {
  /** Of the product. */
  readonly version: string
  readonly table: RouteTable
  readonly level: LogLevel
  readonly accessLog: AccessMode
  readonly routeLimit: number
}

export function openTelemetry(options: TelemetryOptions): Telemetry {
  const { version, table, level, accessLog, routeLimit } = options
  const observer = createMetrics({ version, routeLimit })
  reportRoutes(observer, table)
  const onDropped = (lines: number) => observer.count('log_lines_dropped_total', {}, lines)
  return { observer, log: createLog({ level, accessLog, onDropped }) }
}

/** Another table is in force. How often that went well is counted by who puts it there. */
export function reportRoutes(metrics: Metrics, { rules, hash }: RouteTable): void {
  metrics.setRoutes(rules.map(({ key }) => key))
  metrics.gauge('routes_info', 1, { hash })
  metrics.gauge('routes_last_reload_success', 1)
  metrics.gauge('routes_loaded_timestamp_seconds', Date.now() / 1000)
  metrics.gauge('report_mode_rules', rules.filter(({ mode }) => mode === 'report').length)
}
