/**
 * The chart under real helm: clean to `lint --strict`, the same objects from both majors, a sentence
 * for what is wrong. `UPDATE_HELM=1 node test/helm/render.test.ts` writes the golden files.
 */
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { parse, stringify } from 'yaml'
import { DRAIN_SECONDS, gateContainer, gateVolumes } from '../../src/inject/container.ts'
import { effort } from '../support/effort.ts'
import {
  at,
  caseFile,
  CASES,
  CHART,
  find,
  findHelms,
  helm,
  type Helm,
  idOf,
  listAt,
  render,
  type Rendering
} from '../support/helm.ts'
import { loadText } from '../support/routes.ts'
import { invalidity, misspellings } from './schemas.ts'

const helms = await findHelms(t)
const [four, three] = helms

const GOLDEN = join(import.meta.dirname, 'golden')
const KUBE_VERSIONS = ['1.30.0', '1.33.0', '1.36.0']

/** Two at a time: helm is one process each, and so are the cores. */
async function forEach<T>(items: readonly T[], run: (item: T) => Promise<void>): Promise<void> {
  const left = [...items]
  const worker = async () => {
    for (let item = left.shift(); item !== undefined; item = left.shift()) await run(item)
  }
  await Promise.all([worker(), worker()])
}

function folder(t: { teardown(release: () => unknown): void }): string {
  const path = mkdtempSync(join(tmpdir(), 'tollgate-helm-'))
  t.teardown(() => rmSync(path, { recursive: true, force: true }))
  return path
}

t.test('lint --strict has nothing to say about the defaults and the examples', async t => {
  const lint = async (tool: Helm, values: readonly string[]) => {
    const { code, stdout } = await helm(tool, 'lint', { values, args: ['--strict'] })
    const what = `helm ${tool.major} ${values[0] ?? 'defaults'}`
    t.equal(code, 0, `${what}\n${stdout}`)
    t.notMatch(stdout, /\[(?:WARNING|ERROR)\]/, what)
  }
  const files = CASES.map(name => [caseFile(name)])
  await forEach([[], ...files], values => lint(four, values))
  await forEach([[], ...files.slice(0, effort(2, files.length))], values => lint(three, values))
})

t.test('both majors render the same objects, whatever the version of Kubernetes', async t => {
  const versions = KUBE_VERSIONS.slice(0, effort(1, KUBE_VERSIONS.length))
  const renderings = CASES.flatMap(name => versions.map(version => ({ name, version })))
  await forEach(renderings, async ({ name, version }) => {
    const rendering = { values: [caseFile(name)], args: ['--kube-version', version] }
    const [new4, old3] = await Promise.all([render(four, rendering), render(three, rendering)])
    t.ok(new4.length > 0)
    t.same(new4, old3, `${name} ${version}`)
  })
})

t.test('older clusters are refused', async t => {
  const { code, stderr } = await helm(four, 'template', {
    values: [caseFile('minimal-values.yaml')],
    args: ['--kube-version', '1.29.9']
  })
  t.equal(code, 1)
  t.match(stderr, 'chart requires kubeVersion: >=1.30.0-0')
})

for (const name of ['minimal', 'sidecar']) {
  t.test(`what ${name} renders is what it was`, async t => {
    const objects = await render(four, { values: [caseFile(`${name}-values.yaml`)] })
    const text = objects
      .toSorted((a, b) => (idOf(a) < idOf(b) ? -1 : 1))
      .map(object => stringify(object, { lineWidth: 0, aliasDuplicateObjects: false }))
      .join('---\n')
    const file = join(GOLDEN, `${name}.yaml`)
    if (process.env['UPDATE_HELM']) writeFileSync(file, text)
    t.equal(text, readFileSync(file, 'utf8'))
  })
}

t.test('the route files of the examples load', async t => {
  for (const name of CASES) {
    const files = at(parse(readFileSync(caseFile(name), 'utf8')), 'routes', 'files')
    if (typeof files !== 'object' || files === null) continue
    const { 'routes.yaml': main, ...fragments } = { 'routes.yaml': '', ...files }
    const texts = [main, ...Object.values(fragments)].map(String)
    t.doesNotThrow(() => loadText(...texts), name)
  }
})

const POD = ['spec', 'template', 'spec'] as const

const COMPLETE = [caseFile('minimal-values.yaml')]

interface Wrong {
  readonly set: readonly string[]
  readonly values?: readonly string[]
  /** What helm 4 says, and helm 3 where its words are its own. */
  readonly says: readonly [string, string?]
}

const WRONG: readonly Wrong[] = [
  {
    set: ['upstream.url='],
    says: [
      'upstream.url is empty: the gate has to know the service it stands in front of. Example: --set upstream.url=http://api.default.svc:3000'
    ]
  },
  {
    set: ['secrets.database.name='],
    says: [
      'secrets.database.name is empty: tokens are kept in Postgres. Example: kubectl create secret generic tollgate --from-literal=DATABASE_URL=postgres://… and --set secrets.database.name=tollgate'
    ]
  },
  {
    set: ['secrets.redis.name='],
    says: [
      'secrets.redis.name is empty: nonces of signed requests are kept in Redis. Example: kubectl create secret generic tollgate --from-literal=REDIS_URL=redis://… and --set secrets.redis.name=tollgate'
    ]
  },
  {
    set: ['secrets.jwt.name='],
    says: [
      'secrets.jwt.name is empty: user JWTs need a key to be checked with. Example: --set secrets.jwt.name=tollgate, or --set config.JWT_JWKS_URL=https://login.example.com/.well-known/jwks.json'
    ]
  },
  {
    set: ['config.JWT_JWKS_URL=https://login.example.com/keys'],
    says: [
      'secrets.jwt.name is set together with config.JWT_JWKS_URL: keys come from one of them. Example: --set secrets.jwt.name='
    ]
  },
  {
    set: ['routes.existingConfigMap=rules'],
    says: [
      'routes.files is set together with routes.existingConfigMap: the rules come from one of them. Example: --set routes.existingConfigMap='
    ]
  },
  {
    set: ['routes.files=null'],
    says: [
      String.raw`routes.files is empty, and so is routes.existingConfigMap: without rules every request is refused. Example: --set-file routes.files.routes\.yaml=config/routes.yaml`
    ]
  },
  {
    values: [caseFile('existing-configmap-values.yaml')],
    set: ['routes.existingConfigMap=', String.raw`routes.files.rules\.yaml=x`],
    says: [
      String.raw`routes.files has no routes.yaml: the gate reads that one first, and those it includes. Example: --set-file routes.files.routes\.yaml=config/routes.yaml`
    ]
  },
  {
    set: ['monitoring.podMonitor.enabled=true'],
    says: [
      String.raw`networkPolicy.adminFrom is empty, and a monitor is on: the policy would keep Prometheus from scraping. Example: --set networkPolicy.adminFrom[0].namespaceSelector.matchLabels.kubernetes\.io/metadata\.name=monitoring`
    ]
  },
  {
    set: ['autoscaling.enabled=true', 'autoscaling.minReplicas=12'],
    says: [
      'autoscaling.minReplicas is above autoscaling.maxReplicas: there is no such number of pods. Example: --set autoscaling.maxReplicas=12'
    ]
  },
  {
    set: ['extraEnv[0].name=HOST', 'extraEnv[0].value=127.0.0.1'],
    says: [
      'extraEnv repeats HOST: the container has it already, and server-side apply refuses a name twice. Example: --set config.LOG_LEVEL=debug, or the value that sets it'
    ]
  },
  {
    set: ['config.LOG_LEVEL=debug', 'extraEnv[0].name=LOG_LEVEL', 'extraEnv[0].value=info'],
    says: [
      'extraEnv repeats LOG_LEVEL: the container has it already, and server-side apply refuses a name twice. Example: --set config.LOG_LEVEL=debug, or the value that sets it'
    ]
  },
  {
    set: ['extraEnv[0].name=JWT_SECRET', 'extraEnv[0].value=x'],
    says: [
      "extraEnv has JWT_SECRET: a secret in the pod's description is read by everybody who may read pods. Example: --set secrets.jwt.name=tollgate"
    ]
  },
  {
    set: ['config.CACHE_MAX_TOKENS=20000', 'resources.limits.memory=300M'],
    says: [
      'resources.limits.memory is 300M: what config.CACHE_MAX_TOKENS needs is added to it, and only whole Mi and Gi can be added to. Example: --set resources.limits.memory=512Mi'
    ]
  },
  {
    set: ['test.closed=api'],
    says: [
      'test.closed has no port: a connection needs one. Example: --set test.closed=api.default.svc:3000'
    ]
  },
  {
    values: [caseFile('sidecar-values.yaml')],
    set: ['networkPolicy.podSelector=null'],
    says: [
      'networkPolicy.podSelector is empty, and mode is sidecar: the policy and the PodMonitor have to know the pods that hold the gate. Example: --set networkPolicy.podSelector.app=api'
    ]
  },
  {
    values: [caseFile('sidecar-values.yaml')],
    set: ['migrations.mode=init'],
    says: [
      'migrations.mode is init, and mode is sidecar: the chart has no pod to put it into. Example: --set migrations.mode=hook'
    ]
  },
  {
    values: [caseFile('sidecar-values.yaml')],
    set: ['secrets.database.name='],
    says: [
      "secrets.database.name is empty: the migration needs the database's address. Example: --set secrets.database.name=tollgate, or --set migrations.mode=auto"
    ]
  },
  {
    values: [caseFile('sidecar-values.yaml')],
    set: ['monitoring.serviceMonitor.enabled=true'],
    says: [
      'monitoring.serviceMonitor is on, and mode is sidecar: its Service would select pods of another chart. Example: --set monitoring.podMonitor.enabled=true'
    ]
  },
  // What the schema refuses, at `helm lint` already.
  {
    set: ['networkpolicy.enabled=false'],
    says: [
      "- at '': additional properties 'networkpolicy' not allowed",
      '- (root): Additional property networkpolicy is not allowed'
    ]
  },
  {
    set: ['config.LOG_LEVLE=debug'],
    says: [
      "- at '/config': additional properties 'LOG_LEVLE' not allowed",
      '- config: Additional property LOG_LEVLE is not allowed'
    ]
  },
  {
    set: ['config.LOG_LEVEL=loud'],
    says: [
      "- at '/config/LOG_LEVEL': value must be one of 'trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'",
      '- config.LOG_LEVEL: config.LOG_LEVEL must be one of the following: "trace", "debug", "info", "warn", "error", "fatal", "silent"'
    ]
  },
  {
    set: ['config.LEASE_MS=100'],
    says: [
      "- at '/config/LEASE_MS': minimum: got 100, want 200",
      '- config.LEASE_MS: Must be greater than or equal to 200'
    ]
  },
  {
    set: ['config.DATABASE_URL=postgres://db/x'],
    says: [
      "- at '/config/DATABASE_URL': value must be 'it is a secret, and secrets.database names the Secret that holds it'",
      '- config.DATABASE_URL: config.DATABASE_URL must be one of the following: "it is a secret, and secrets.database names the Secret that holds it"'
    ]
  },
  {
    set: ['config.MIGRATIONS=off'],
    says: [
      "- at '/config/MIGRATIONS': value must be 'migrations.mode sets it'",
      '- config.MIGRATIONS: config.MIGRATIONS must be one of the following: "migrations.mode sets it"'
    ]
  },
  {
    set: ['mode=proxy'],
    says: [
      "- at '/mode': value must be one of 'standalone', 'sidecar'",
      '- mode: mode must be one of the following: "standalone", "sidecar"'
    ]
  },
  {
    set: ['image.digest=sha256:abc'],
    says: [
      "- at '/image/digest': 'sha256:abc' does not match pattern '^(sha256:[0-9a-f]{64})?$'",
      "- image.digest: Does not match pattern '^(sha256:[0-9a-f]{64})?$'"
    ]
  },
  {
    set: ['replicas=two'],
    says: [
      "- at '/replicas': got string, want integer",
      '- replicas: Invalid type. Expected: integer, given: string'
    ]
  }
]

t.test('every wrong value is refused with a sentence', async t => {
  const isSaid = async (tool: Helm, { values = COMPLETE, set, says }: Wrong) => {
    const args = set.flatMap(text => ['--set', text])
    const { code, stdout, stderr } = await helm(tool, 'template', { values, args })
    const sentence = (tool.major === 3 ? says[1] : undefined) ?? says[0]
    t.equal(code, 1, set.join(' '))
    t.equal(stdout, '', 'and nothing is rendered')
    t.ok(stderr.split('\n').includes(sentence), `helm ${tool.major}: ${sentence}\n${stderr}`)
  }
  await forEach(WRONG, wrong => isSaid(four, wrong))
  await forEach(
    WRONG.filter(({ says }) => says.length === 2).slice(0, effort(2, WRONG.length)),
    wrong => isSaid(three, wrong)
  )
})

t.test('the command of the README installs a guarded service', async t => {
  const root = join(CHART, '..')
  const readme = readFileSync(join(root, 'README.md'), 'utf8')
  const [, command = ''] = /^helm install gate \.\/helm ((?:.*\\\n)*.*)$/m.exec(readme) ?? []
  const words = command
    .replaceAll('\\\n', ' ')
    .split(/\s+/)
    .map(word => word.replace(/^'(.*)'$/, '$1'))
  const args = words.map(word => word.replace('=config/', `=${root}/config/`))
  t.ok(args.length > 10)
  const objects = await render(four, { args })
  t.match(at(find(objects, 'Deployment/gate-tollgate'), ...POD, 'containers', 0), {
    image: 'registry.example.com/tollgate:0.1.0'
  })
  t.ok(find(objects, 'NetworkPolicy/gate-tollgate-upstream'))
  t.ok(find(objects, 'Pod/gate-tollgate-test'))
})

t.test('everything that is missing is told at once', async t => {
  const { code, stderr } = await helm(four, 'template', {})
  t.equal(code, 1)
  const names = ['upstream.url', 'secrets.database', 'secrets.redis', 'secrets.jwt', 'routes.files']
  for (const name of names) t.match(stderr, name)
})

t.test('the notes name what is not safe yet, and nothing else', async t => {
  const notes = async (rendering: Rendering) => {
    // `template` prints no notes, and `install --dry-run=client` asks no cluster.
    const { stdout, stderr } = await installed(four, rendering)
    t.equal(stderr.includes('Error'), false, stderr)
    return stdout.slice(stdout.indexOf('NOTES:'))
  }
  const minimal = await notes({ values: COMPLETE })
  t.match(minimal, 'http://gate-tollgate.default.svc:80')
  t.match(minimal, 'curl -i http://127.0.0.1:8080/api/auth/cli-tokens')
  t.match(minimal, 'tokens create --user USER --name first')
  t.match(minimal, 'networkPolicy.upstreamPods is empty')
  t.match(minimal, 'No monitor is on')
  const report = 'version: 1\nmode: report\nscopes: {}\nroutes: {}\n'
  const off = await notes({
    values: COMPLETE,
    args: ['--set', 'networkPolicy.enabled=false', '--set-string', `${ROUTES}=${report}`]
  })
  t.match(off, 'networkPolicy is off')
  t.match(off, 'routes.yaml has report mode')
  const safe = await notes({
    values: [caseFile('monitoring-values.yaml')],
    args: ['--set', 'networkPolicy.upstreamPods.app=api']
  })
  t.notMatch(safe, 'Not safe yet')
  const warned = await notes({
    values: [caseFile('sidecar-values.yaml')],
    args: ['--set', 'upstream.exposure=warn']
  })
  t.match(warned, 'upstream.exposure is warn')
  t.match(warned, 'ContainerResource')
})

const ROUTES = String.raw`routes.files.routes\.yaml`

function installed(tool: Helm, rendering: Rendering) {
  return helm(tool, 'install', {
    ...rendering,
    args: ['--dry-run=client', ...(rendering.args ?? [])]
  })
}

t.test('as a subchart it takes the parent’s global and can be left out', async t => {
  const parent = folder(t)
  cpSync(CHART, join(parent, 'charts/tollgate'), { recursive: true })
  writeFileSync(
    join(parent, 'Chart.yaml'),
    'apiVersion: v2\nname: shop\nversion: 1.0.0\ndependencies:\n- { name: tollgate, version: 0.1.0, condition: tollgate.enabled }\n'
  )
  const values: unknown = parse(readFileSync(COMPLETE[0] ?? '', 'utf8'))
  writeFileSync(
    join(parent, 'values.yaml'),
    stringify({ global: { region: 'here' }, tollgate: values })
  )
  for (const tool of helms) {
    const objects = await render(tool, { chart: parent })
    t.ok(find(objects, 'Deployment/gate-tollgate'))
    t.same(
      await render(tool, { chart: parent, args: ['--set', 'tollgate.enabled=false'] }),
      [],
      'nothing of it is left'
    )
  }
})

/** A stranger's chart that has the library in its `charts/`. */
function ownChart(t: { teardown(release: () => unknown): void }): string {
  const own = folder(t)
  cpSync(join(CHART, 'charts/tollgate-lib'), join(own, 'charts/tollgate-lib'), { recursive: true })
  writeFileSync(
    join(own, 'Chart.yaml'),
    'apiVersion: v2\nname: api\nversion: 7.0.0\nappVersion: 7.0.0\ndependencies:\n- { name: tollgate-lib, version: 0.1.0 }\n'
  )
  mkdirSync(join(own, 'templates'))
  cpSync(
    join(import.meta.dirname, 'own-deployment.yaml.tpl'),
    join(own, 'templates/deployment.yaml')
  )
  return own
}

t.test('a chart of one’s own gets the same container from the library', async t => {
  const own = ownChart(t)
  const secrets = ['database', 'redis', 'jwt'].map(name => `tollgate.secrets.${name}.name=gate`)
  const args = ['tollgate.upstream.url=http://127.0.0.1:3000', ...secrets].flatMap(text => [
    '--set',
    text
  ])
  const [objects, older] = await Promise.all(helms.map(tool => render(tool, { chart: own, args })))
  t.same(objects, older)
  const [deployment] = objects ?? []
  if (!deployment) throw new Error('nothing was rendered')
  t.equal(invalidity(deployment), undefined)
  t.equal(await misspellings([deployment]), '')

  const pod = at(deployment, 'spec', 'template', 'spec')
  const gate = at(pod, 'initContainers', 0)
  t.match(gate, {
    name: 'tollgate',
    image: 'tollgate:0.1.0',
    restartPolicy: 'Always',
    lifecycle: {
      preStop: { exec: { command: ['/nodejs/bin/node', '-e', "process.kill(1,'SIGUSR2')"] } }
    }
  })
  const env = Object.fromEntries(
    listAt(gate, 'env').map(entry => [
      at(entry, 'name'),
      at(entry, 'value') ?? at(entry, 'valueFrom')
    ])
  )
  t.match(env, {
    UPSTREAM_URL: 'http://127.0.0.1:3000',
    UPSTREAM_EXPOSURE: 'refuse',
    POD_IP: { fieldRef: { fieldPath: 'status.podIP' } },
    DRAIN_DELAY_MS: '0',
    SHUTDOWN_GRACE_MS: '3000'
  })
  t.same(at(pod, 'containers', 0, 'lifecycle'), { preStop: { sleep: { seconds: 10 } } })

  // Beside what is the sidecar's own, it is the container of the application chart.
  const alone = await render(four, { values: COMPLETE })
  const standalone = at(find(alone, 'Deployment/gate-tollgate'), ...POD, 'containers', 0)
  const shared = (container: unknown) => {
    const {
      env: _env,
      lifecycle: _hook,
      restartPolicy: _always,
      ...rest
    } = { ...Object(container) }
    return rest
  }
  t.same(shared(gate), shared(standalone))

  const socket = await render(four, {
    chart: own,
    args: [...args, '--set', 'tollgate.upstream.url=unix:/run/app/http.sock']
  })
  const socketEnv = listAt(at(socket[0], ...POD, 'initContainers', 0), 'env')
  t.match(
    socketEnv.find(entry => at(entry, 'name') === 'UPSTREAM_URL'),
    { value: 'unix:/run/app/http.sock' }
  )

  const missing = await helm(four, 'template', { chart: own })
  t.equal(missing.code, 1)
  t.match(missing.stderr, 'upstream.url is empty')
  t.match(missing.stderr, '--set upstream.url=http://127.0.0.1:3000')
  const managed = await helm(four, 'template', {
    chart: own,
    args: [...args, '--set', 'tollgate.config.PORT=8081']
  })
  t.match(managed.stderr, 'config.PORT is refused: the gate listens on 8080 in a pod')
})

t.test('inject puts the container of the library into a pod', async t => {
  const own = ownChart(t)
  const options = {
    image: 'registry.example.com/tollgate:0.1.0',
    appPort: 3000,
    exposure: 'warn',
    secrets: { database: 'db', redis: 'cache', jwt: 'keys' },
    routesConfigMap: 'rules',
    appProbes: { 'api/readiness': 'http://127.0.0.1:3000/health' }
  } as const
  for (const { jwt, config } of [
    { jwt: 'keys', config: {} },
    // Without the key inject expects a key set from elsewhere; the chart says from where.
    { jwt: undefined, config: { JWT_JWKS_URL: 'https://login.example.com/keys' } }
  ]) {
    const values = join(own, 'values-of-inject.yaml')
    writeFileSync(
      values,
      stringify({
        tollgate: {
          image: { repository: 'registry.example.com/tollgate' },
          upstream: { url: 'http://127.0.0.1:3000', exposure: 'warn' },
          secrets: {
            database: { name: 'db' },
            redis: { name: 'cache' },
            jwt: { name: jwt ?? '' }
          },
          routes: { existingConfigMap: 'rules' },
          config: { APP_PROBES: options.appProbes, ...config }
        }
      })
    )
    const [deployment] = await render(four, { chart: own, values: [values] })
    const pod = at(deployment, ...POD)
    const injected = { ...options, secrets: { ...options.secrets, jwt } }
    const container = at(pod, 'initContainers', 0)
    const rest = listAt(container, 'env').filter(entry => at(entry, 'name') !== 'JWT_JWKS_URL')
    t.same({ ...Object(container), env: rest }, gateContainer(injected))
    t.same(at(pod, 'volumes'), gateVolumes(injected))
    t.equal(at(pod, 'containers', 0, 'lifecycle', 'preStop', 'sleep', 'seconds'), DRAIN_SECONDS)
  }
})
