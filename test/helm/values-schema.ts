/**
 * helm/values.schema.json, made of two tables: the settings (src/config/schema.ts), which `config` takes
 * by their own names, and the chart's other values below. Draft 7. Nothing unknown is allowed but in
 * `global` and in fragments that Kubernetes itself defines and checks.
 *
 * What the user alone can know is not `required` here: `helm lint` passes on the defaults, and the
 * templates stop with a sentence.
 */
import { SETTINGS } from '../../src/config/schema.ts'
import type { JsonShape, Setting } from '../../src/config/kinds.ts'

type Schema = Readonly<Record<string, unknown>>

const text: Schema = { type: 'string' }
const flag: Schema = { type: 'boolean' }
/** A fragment that goes to Kubernetes as it is. */
const map: Schema = { type: 'object' }
const list: Schema = { type: 'array', items: { type: 'object' } }
const texts: Schema = { type: 'object', additionalProperties: text }
const count = (minimum: number, maximum: number): Schema => ({ type: 'integer', minimum, maximum })
/** Go reads `5m30s`; Prometheus reads that too. */
const duration: Schema = { type: 'string', pattern: '^([0-9]+(ms|s|m|h|d))+$' }

function object(properties: Readonly<Record<string, Schema>>): Schema {
  return { type: 'object', additionalProperties: false, properties }
}

const secret = object({
  name: text,
  // Kubernetes' own rule for keys of a Secret.
  key: { type: 'string', pattern: '^[-._a-zA-Z0-9]{1,253}$' }
})

/** YAML 1.1, which Helm reads, takes `on` and `off` for booleans: the templates turn them back. */
function choiceOf(values: readonly (string | number)[]): Schema {
  const booleans = values.flatMap(value =>
    value === 'on' ? [true] : value === 'off' ? [false] : []
  )
  return { enum: [...values, ...booleans] }
}

function settingSchema({ json, about, range, unit }: Setting<unknown>): Schema {
  const shape: JsonShape | Schema = json.enum ? choiceOf(json.enum) : json
  return { ...shape, description: `${about} (${unit === undefined ? range : `${range} ${unit}`})` }
}

/**
 * `owners`: settings that `config` may not hold, and what sets them. The sentence stands as the only
 * value that would be allowed, so that Helm's message has it.
 */
export function valuesSchema(owners: Readonly<Record<string, string>>): Schema {
  const config = Object.entries<Setting<unknown>>(SETTINGS).map(([name, setting]) => {
    const owner = owners[name]
    return [name, owner === undefined ? settingSchema(setting) : { enum: [owner] }]
  })
  const monitor = { enabled: flag, interval: duration, labels: texts }
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'Values of the Tollgate chart',
    ...object({
      mode: { enum: ['standalone', 'sidecar'] },
      enabled: flag,
      global: map,
      // Helm puts the library chart's values here, which are none.
      'tollgate-lib': map,
      nameOverride: text,
      fullnameOverride: text,
      image: object({
        repository: { type: 'string', minLength: 1 },
        tag: text,
        digest: { type: 'string', pattern: '^(sha256:[0-9a-f]{64})?$' },
        pullPolicy: { enum: ['Always', 'IfNotPresent', 'Never'] }
      }),
      imagePullSecrets: list,
      upstream: object({
        url: { type: 'string', pattern: '^(https?://[^/?#@\\s]+/?|unix:/[^?#\\s]+)?$' },
        exposure: choiceOf(['refuse', 'warn', 'off'])
      }),
      config: {
        type: 'object',
        additionalProperties: false,
        properties: Object.fromEntries(config)
      },
      secrets: object({ database: secret, redis: secret, jwt: secret }),
      routes: object({
        files: {
          type: 'object',
          propertyNames: { pattern: '^[-._a-zA-Z0-9]{1,253}$' },
          additionalProperties: text
        },
        existingConfigMap: text,
        rollout: { enum: ['hot', 'restart'] }
      }),
      replicas: count(0, 10_000),
      listenAddress: { type: 'string', minLength: 1 },
      service: object({
        type: { enum: ['ClusterIP', 'NodePort', 'LoadBalancer'] },
        port: count(1, 65_535),
        annotations: texts
      }),
      resources: object({ requests: map, limits: map }),
      nodeOptions: text,
      drainDelaySeconds: count(0, 600),
      shutdownGraceSeconds: count(0, 3600),
      autoscaling: object({
        enabled: flag,
        minReplicas: count(1, 10_000),
        maxReplicas: count(1, 10_000),
        targetCPU: count(1, 1000)
      }),
      pdb: object({ enabled: flag }),
      networkPolicy: object({
        enabled: flag,
        clients: list,
        adminFrom: list,
        upstreamPods: texts,
        podSelector: texts
      }),
      migrations: object({ mode: choiceOf(['hook', 'init', 'auto', 'off']), database: secret }),
      monitoring: object({
        podMonitor: object(monitor),
        serviceMonitor: object(monitor),
        prometheusRule: object({ enabled: flag, labels: texts, runbookBase: text }),
        grafanaDashboard: object({ enabled: flag, labels: texts, annotations: texts })
      }),
      serviceAccount: object({ create: flag, name: text }),
      test: object({ enabled: flag, gateUrl: text, closed: text }),
      podLabels: texts,
      podAnnotations: texts,
      nodeSelector: texts,
      tolerations: list,
      affinity: map,
      topologySpreadConstraints: list,
      priorityClassName: text,
      extraEnv: list,
      extraVolumes: list,
      extraVolumeMounts: list,
      extraObjects: { type: 'array', items: { type: ['object', 'string'] } }
    })
  }
}
