/**
 * The gate's container as a native sidecar, and its volumes: what the library chart's templates make, for
 * those who do not use the chart. It meets PodSecurity `restricted`; ports are numbers everywhere,
 * because names of a sidecar's ports did not resolve in Services before Kubernetes 1.32.
 */
import type { Fields } from './fields.ts'

export const GATE = 'tollgate'
export const GATE_PORT = 8080
export const ADMIN_PORT = 9090
export const ROUTES_VOLUME = 'tollgate-routes'
/** How long the app goes on serving while endpoints disappear. */
export const DRAIN_SECONDS = 10
/** Drain, the usual time of an app, and what the gate needs after it. */
export const GRACE_SECONDS = 45

export interface SecretNames {
  readonly database: string
  readonly redis: string
  /** Undefined: JWT_JWKS_URL comes from elsewhere. */
  readonly jwt: string | undefined
}

export interface GateOptions {
  readonly image: string
  readonly appPort: number
  readonly exposure: 'refuse' | 'warn'
  readonly secrets: SecretNames
  readonly routesConfigMap: string
  /** `container/readiness` to the loopback URL that it asked before. */
  readonly appProbes: Readonly<Record<string, string>>
}

interface SecretFile {
  readonly volume: string
  readonly secretName: string
  readonly key: string
}

function secretFiles({ database, redis, jwt }: SecretNames): readonly SecretFile[] {
  return [
    { volume: 'tollgate-database', secretName: database, key: 'DATABASE_URL' },
    { volume: 'tollgate-redis', secretName: redis, key: 'REDIS_URL' },
    ...(jwt === undefined ? [] : [{ volume: 'tollgate-jwt', secretName: jwt, key: 'JWT_SECRET' }])
  ]
}

function folderOf({ volume }: SecretFile): string {
  return `/etc/tollgate/secrets/${volume.replace('tollgate-', '')}`
}

export function gateContainer(options: GateOptions): Fields {
  const { image, appPort, exposure, secrets, appProbes } = options
  const files = secretFiles(secrets)
  const probe = (path: string) => ({ httpGet: { port: ADMIN_PORT, path } })
  const hasProbes = Object.keys(appProbes).length > 0
  return {
    name: GATE,
    image,
    imagePullPolicy: 'IfNotPresent',
    restartPolicy: 'Always',
    env: [
      { name: 'HOST', value: '0.0.0.0' },
      { name: 'ADMIN_HOST', value: '0.0.0.0' },
      { name: 'UPSTREAM_URL', value: `http://127.0.0.1:${appPort}` },
      { name: 'ROUTES_FILE', value: '/etc/tollgate/routes/routes.yaml' },
      ...files.map(file => ({ name: `${file.key}_FILE`, value: `${folderOf(file)}/${file.key}` })),
      { name: 'POD_IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
      { name: 'UPSTREAM_EXPOSURE', value: exposure },
      // When SIGTERM comes the app has ended: nothing is left to serve.
      { name: 'DRAIN_DELAY_MS', value: '0' },
      { name: 'SHUTDOWN_GRACE_MS', value: '3000' },
      { name: 'MIGRATIONS', value: 'off' },
      { name: 'NODE_OPTIONS', value: '--max-old-space-size-percentage=50 --max-semi-space-size=8' },
      ...(hasProbes ? [{ name: 'APP_PROBES', value: JSON.stringify(appProbes) }] : [])
    ],
    ports: [{ containerPort: GATE_PORT }, { containerPort: ADMIN_PORT }],
    startupProbe: { ...probe('/startupz'), periodSeconds: 1, failureThreshold: 60 },
    readinessProbe: {
      ...probe('/readyz'),
      periodSeconds: 5,
      timeoutSeconds: 2,
      failureThreshold: 2
    },
    livenessProbe: {
      ...probe('/livez'),
      periodSeconds: 10,
      timeoutSeconds: 5,
      failureThreshold: 6
    },
    lifecycle: {
      preStop: { exec: { command: ['/nodejs/bin/node', '-e', "process.kill(1,'SIGUSR2')"] } }
    },
    resources: { requests: { cpu: '100m', memory: '160Mi' }, limits: { memory: '256Mi' } },
    securityContext: {
      runAsNonRoot: true,
      runAsUser: 65_532,
      runAsGroup: 65_532,
      readOnlyRootFilesystem: true,
      allowPrivilegeEscalation: false,
      capabilities: { drop: ['ALL'] },
      seccompProfile: { type: 'RuntimeDefault' }
    },
    terminationMessagePolicy: 'FallbackToLogsOnError',
    volumeMounts: [
      { name: ROUTES_VOLUME, mountPath: '/etc/tollgate/routes', readOnly: true },
      ...files.map(file => ({ name: file.volume, mountPath: folderOf(file), readOnly: true }))
    ]
  }
}

export function gateVolumes({ secrets, routesConfigMap }: GateOptions): readonly Fields[] {
  return [
    { name: ROUTES_VOLUME, configMap: { name: routesConfigMap } },
    ...secretFiles(secrets).map(({ volume, secretName, key }) => ({
      name: volume,
      secret: { secretName, items: [{ key, path: key }] }
    }))
  ]
}
