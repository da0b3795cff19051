/**
 * A supervisor that plays kubelet for one pod: an injected manifest is taken apart, its gate started
 * exactly as it says (environment, files, probes), the app after it, and both are stopped in the order
 * of native sidecars. Ports are the system's choice, and the ten seconds of the app's preStop are two.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { stringify } from 'yaml'
import { injected, objectsIn, OPTIONS } from '../../inject/manifests.ts'
import { call, eventually, freePort, JWT_SECRET, runTollgate } from '../../support/gate.ts'
import { at, listAt } from '../../support/helm.ts'

const ROOT = join(import.meta.dirname, '../../..')
/** What the pod's own address is played by: an app on 127.0.0.1 does not answer there. */
const POD_IP = '127.0.0.2'
const APP_PRESTOP_MS = 2000
const APP_GRACE_MS = 3000

export interface PodOptions {
  readonly databaseUrl: string
  readonly redisUrl: string
  readonly routesFile?: string
  /** Where the app listens. */
  readonly appHost?: string
  readonly ignoresTerm?: boolean
  /** False: the gate is not told that draining begins. */
  readonly hasPreStop?: boolean
}

export interface Pod {
  readonly url: string
  readonly adminUrl: string
  /** Of the gate. */
  output(): string
  /** `/readyz`: status and parts. */
  readiness(): Promise<{ status: number; parts: unknown }>
  ready(): Promise<void>
  /** Through the gate's admin port, as kubelet asks. */
  probeApp(): Promise<number>
  startApp(): Promise<void>
  killApp(): Promise<void>
  startGate(): Promise<void>
  killGate(): Promise<void>
  /** As kubelet does it; gives the gate's exit code and how long it took. */
  stop(): Promise<{ gateExit: number | null; tookMs: number }>
  /** SIGTERM and SIGKILL at once, to both. */
  lose(): Promise<void>
}

interface Teardown {
  teardown(release: () => unknown): void
}

/** The gate runs and `/startupz` has answered; then the app was started. */
export async function startPod(t: Teardown, options: PodOptions): Promise<Pod> {
  const [appPort, gatePort, adminPort] = await Promise.all([freePort(), freePort(), freePort()])
  const folder = mkdtempSync(join(tmpdir(), 'tollgate-pod-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const gate = gateOf(appPort)
  const files = {
    '/etc/tollgate/secrets/database/DATABASE_URL': options.databaseUrl,
    '/etc/tollgate/secrets/redis/REDIS_URL': options.redisUrl,
    '/etc/tollgate/secrets/jwt/JWT_SECRET': JWT_SECRET
  }
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), text)
  }
  const env = {
    ...environmentOf(gate, folder),
    ROUTES_FILE: options.routesFile ?? join(ROOT, 'config/routes.yaml'),
    NODE_ENV: 'production',
    PORT: String(gatePort),
    ADMIN_PORT: String(adminPort)
  }
  const adminUrl = `http://127.0.0.1:${adminPort}`
  const get = (path: string) => call(adminUrl + path).catch(() => undefined)
  let gateRun: ReturnType<typeof runTollgate> | undefined
  let app: ChildProcess | undefined
  t.teardown(() => {
    gateRun?.child.kill('SIGKILL')
    app?.kill('SIGKILL')
  })
  const startGate = async () => {
    gateRun = runTollgate({ cwd: folder, env })
    const { child, output } = gateRun
    await eventually('the gate has started', async () => {
      if (child.exitCode !== null) throw new Error(output())
      return (await get('/startupz'))?.status === 200
    })
  }
  const startApp = async () => {
    const started = spawn(
      process.execPath,
      [join(import.meta.dirname, '../../support/pod-app.mjs')],
      {
        env: {
          HOST: options.appHost ?? '127.0.0.1',
          PORT: String(appPort),
          NAME: String(gatePort),
          ...(options.ignoresTerm ? { IGNORES_TERM: '1' } : {})
        },
        stdio: ['ignore', 'pipe', 'inherit']
      }
    )
    app = started
    await once(started.stdout, 'data')
  }
  await startGate()
  await startApp()
  return {
    url: `http://127.0.0.1:${gatePort}`,
    adminUrl,
    output: () => gateRun?.output() ?? '',
    async readiness() {
      const answer = await get('/readyz')
      return { status: answer?.status ?? 0, parts: answer?.json['parts'] }
    },
    ready: async () => {
      await eventually('the pod is ready', async () => (await get('/readyz'))?.status === 200)
    },
    probeApp: async () => (await get('/app-probe/app/readiness'))?.status ?? 0,
    startApp,
    killApp: () => end(app, 'SIGKILL').then(() => undefined),
    startGate,
    killGate: () => end(gateRun?.child, 'SIGKILL').then(() => undefined),
    async stop() {
      const begunAtMs = performance.now()
      if (options.hasPreStop ?? true) gateRun?.child.kill('SIGUSR2')
      await sleep(APP_PRESTOP_MS)
      const patience = sleep(APP_GRACE_MS, undefined, { ref: false }).then(() =>
        app?.kill('SIGKILL')
      )
      await Promise.race([end(app, 'SIGTERM'), patience.then(() => end(app, 'SIGKILL'))])
      const gateExit = await end(gateRun?.child, 'SIGTERM')
      return { gateExit, tookMs: performance.now() - begunAtMs }
    },
    async lose() {
      gateRun?.child.kill('SIGTERM')
      app?.kill('SIGTERM')
      await Promise.all([end(gateRun?.child, 'SIGKILL'), end(app, 'SIGKILL')])
    }
  }
}

/** Null: it ended by a signal. */
async function end(
  child: ChildProcess | undefined,
  signal: NodeJS.Signals
): Promise<number | null> {
  if (!child) return null
  if (child.exitCode === null && child.signalCode === null) {
    const ended = once(child, 'exit')
    child.kill(signal)
    await ended
  }
  return child.exitCode
}

/** The container that inject makes for this app. */
function gateOf(appPort: number): unknown {
  const app = {
    name: 'app',
    image: 'app:1',
    ports: [{ containerPort: appPort }],
    readinessProbe: { httpGet: { path: '/healthz', port: appPort } }
  }
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'app', labels: { app: 'app' } },
    spec: { containers: [app] }
  }
  const [object] = objectsIn(injected(stringify(pod), OPTIONS).text)
  return listAt(object, 'spec', 'initContainers')[0]
}

function environmentOf(gate: unknown, folder: string): Readonly<Record<string, string>> {
  const entries = listAt(gate, 'env').map(entry => {
    const isAddress = at(entry, 'valueFrom', 'fieldRef', 'fieldPath') === 'status.podIP'
    const value = isAddress ? POD_IP : String(at(entry, 'value'))
    return [
      String(at(entry, 'name')),
      value.replace(/^\/etc\/tollgate\//, `${folder}/etc/tollgate/`)
    ]
  })
  return Object.fromEntries(entries)
}
