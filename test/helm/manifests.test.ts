/** What the chart's examples render: valid to Kubernetes, as hard as they can be, and about each other. */
import t from 'tap'
import {
  at,
  caseFile,
  CASES,
  find,
  findHelms,
  idOf,
  isRecord,
  listAt,
  render
} from '../support/helm.ts'
import { invalidity, misspellings } from './schemas.ts'

const [tool] = await findHelms(t)

type Manifest = Record<string, unknown>

const GATE = ['spec', 'template', 'spec', 'containers', 0] as const

/** By the example's name, without its ending. */
const rendered: ReadonlyMap<string, readonly Manifest[]> = new Map(
  await Promise.all(
    CASES.map(
      async name =>
        [
          name.replace('-values.yaml', ''),
          await render(tool, { values: [caseFile(name)] })
        ] as const
    )
  )
)
const manifests = [...rendered.values()].flat()

function of(example: string): readonly Manifest[] {
  const found = rendered.get(example)
  if (!found) throw new Error(`no example ${example}`)
  return found
}

/** What a workload makes pods of, or the pod itself. */
function podOf(manifest: Manifest): unknown {
  switch (manifest['kind']) {
    case 'Deployment':
    case 'Job':
      return at(manifest, 'spec', 'template')
    case 'Pod':
      return manifest
    default:
      return undefined
  }
}

const pods = [...rendered].flatMap(([example, objects]) =>
  objects.flatMap(object => {
    const pod = podOf(object)
    return pod === undefined ? [] : [{ where: `${example} ${idOf(object)}`, pod }]
  })
)
const containers = pods.flatMap(({ where, pod }) =>
  ['initContainers', 'containers'].flatMap(list =>
    listAt(pod, 'spec', list).map(container => ({
      where: `${where} ${String(at(container, 'name'))}`,
      container
    }))
  )
)

t.test('there is an example of everything', async t => {
  t.ok(CASES.length >= 12)
  const kinds = new Set(manifests.map(({ kind }) => String(kind)))
  t.same([...kinds].toSorted(), [
    'ConfigMap',
    'Deployment',
    'HorizontalPodAutoscaler',
    'Ingress',
    'Job',
    'NetworkPolicy',
    'Pod',
    'PodDisruptionBudget',
    'PodMonitor',
    'PrometheusRule',
    'Service',
    'ServiceAccount',
    'ServiceMonitor'
  ])
})

t.test('every object is one of Kubernetes, to the last key', async t => {
  const distinct = [...new Map(manifests.map(object => [JSON.stringify(object), object])).values()]
  for (const object of distinct) t.equal(invalidity(object), undefined)
  t.equal(await misspellings(distinct), '')
})

t.test('the schemas find a wrong type, a wrong word and a misspelt key', async t => {
  const deployment = find(of('minimal'), 'Deployment/gate-tollgate')
  const copy = (): Manifest => structuredClone(deployment)
  const text = copy()
  Object.assign(listAt(text, 'spec', 'template', 'spec', 'containers')[0] ?? {}, {
    terminationMessagePolicy: 7
  })
  t.match(invalidity(text), 'terminationMessagePolicy')
  const word = copy()
  Object.assign(at(word, 'spec', 'strategy') ?? {}, { type: 'Rolling' })
  const misspelt = copy()
  Object.assign(listAt(misspelt, 'spec', 'template', 'spec', 'containers')[0] ?? {}, {
    readynessProbe: {}
  })
  t.equal(invalidity(misspelt), undefined, 'which the validators let pass')
  const named = await misspellings([deployment, word, misspelt])
  t.match(named, '"readynessProbe"')
  t.match(named, '"Rolling"')
  t.equal(named.split('error TS').length - 1, 2)
})

t.test('every container is as hard as it can be', async t => {
  t.ok(containers.length > 2 * CASES.length)
  for (const { where, container } of containers) {
    t.same(
      at(container, 'securityContext'),
      {
        runAsNonRoot: true,
        runAsUser: 65_532,
        runAsGroup: 65_532,
        readOnlyRootFilesystem: true,
        allowPrivilegeEscalation: false,
        capabilities: { drop: ['ALL'] },
        seccompProfile: { type: 'RuntimeDefault' }
      },
      where
    )
    t.match(at(container, 'resources'), {
      requests: { cpu: String, memory: String },
      limits: { memory: String }
    })
    t.equal(at(container, 'resources', 'limits', 'cpu'), undefined, `${where}: no CPU limit`)
    t.notMatch(at(container, 'image'), /:latest$/, where)
    t.match(at(container, 'image'), /[:@]./, where)
    for (const mount of listAt(container, 'volumeMounts')) {
      t.match(mount, { readOnly: true }, where)
      t.equal(at(mount, 'subPath'), undefined, where)
    }
  }
})

t.test('no name stands twice in an environment, and no port has a name', async t => {
  for (const { where, container } of containers) {
    const names = listAt(container, 'env').map(entry => String(at(entry, 'name')))
    t.same(names, [...new Set(names)], where)
    for (const port of listAt(container, 'ports')) {
      t.equal(at(port, 'name'), undefined, where)
      t.equal(at(port, 'hostPort'), undefined, where)
    }
    for (const probe of ['startupProbe', 'readinessProbe', 'livenessProbe']) {
      const port = at(container, probe, 'httpGet', 'port')
      if (port !== undefined) t.equal(port, 9090, `${where} ${probe}`)
    }
  }
  for (const object of manifests.filter(({ kind }) => kind === 'Service')) {
    for (const port of listAt(object, 'spec', 'ports')) t.type(at(port, 'targetPort'), 'number')
  }
})

t.test(
  'no pod gets a token of the cluster, a share of its host or a list of its services',
  async t => {
    for (const { where, pod } of pods) {
      t.match(
        at(pod, 'spec'),
        { automountServiceAccountToken: false, enableServiceLinks: false },
        where
      )
      for (const share of ['hostNetwork', 'hostPID', 'hostIPC', 'shareProcessNamespace']) {
        t.equal(at(pod, 'spec', share), undefined, where)
      }
    }
  }
)

t.test('secrets are files of Secrets, and nothing else holds one', async t => {
  for (const { where, container } of containers) {
    for (const entry of listAt(container, 'env')) {
      t.notMatch(at(entry, 'name'), /^(?:DATABASE_URL|REDIS_URL|JWT_SECRET)$/, where)
      t.notMatch(at(entry, 'valueFrom', 'secretKeyRef'), {}, where)
    }
    t.notMatch(JSON.stringify(container), /(?:postgres|redis)s?:\/\//, where)
  }
  for (const object of manifests) {
    t.not(object['kind'], 'Secret')
    if (object['kind'] === 'ConfigMap') {
      t.notMatch(JSON.stringify(object['data']), /(?:postgres|rediss?):\/\/|JWT_SECRET/)
    }
  }
})

t.test('the rules are mounted as a directory, where the gate looks for them', async t => {
  for (const { where, container } of containers) {
    if (at(container, 'name') !== 'tollgate') continue
    const mounts = listAt(container, 'volumeMounts')
    t.match(
      mounts.find(mount => at(mount, 'name') === 'tollgate-routes'),
      { mountPath: '/etc/tollgate/routes' },
      where
    )
    const files = listAt(container, 'env').flatMap(entry => {
      const [name, value] = [String(at(entry, 'name')), String(at(entry, 'value'))]
      return name.endsWith('_FILE') ? [value] : []
    })
    for (const file of files) {
      const mount = mounts.find(mount => file.startsWith(`${String(at(mount, 'mountPath'))}/`))
      t.ok(mount, `${where}: ${file} lies in a volume`)
    }
  }
  for (const { where, pod } of pods) {
    const volumes = listAt(pod, 'spec', 'volumes').map(volume => String(at(volume, 'name')))
    const mounted = ['initContainers', 'containers'].flatMap(list =>
      listAt(pod, 'spec', list).flatMap(container =>
        listAt(container, 'volumeMounts').map(mount => String(at(mount, 'name')))
      )
    )
    t.same([...new Set(mounted)].toSorted(), volumes.toSorted(), `${where}: each volume is used`)
  }
})

t.test('a stop never uses the grace period up', async t => {
  for (const { where, pod } of pods) {
    const gate = listAt(pod, 'spec', 'containers').find(c => at(c, 'name') === 'tollgate')
    if (!gate) continue
    const ms = (name: string) =>
      Number(
        at(
          listAt(gate, 'env').find(entry => at(entry, 'name') === name),
          'value'
        )
      )
    const graceMs = Number(at(pod, 'spec', 'terminationGracePeriodSeconds')) * 1000
    t.equal(graceMs, ms('DRAIN_DELAY_MS') + ms('SHUTDOWN_GRACE_MS') + 10_000, where)
  }
})

/** Whether a selector of labels takes these. */
function selects(selector: unknown, labels: unknown): boolean {
  if (!isRecord(selector) || Object.keys(selector).length === 0) return false
  return Object.entries(selector).every(([name, value]) => at(labels, name) === value)
}

t.test('every selector takes the gate’s pods and no other', async t => {
  for (const [example, objects] of rendered) {
    const own = objects.flatMap(object => {
      const pod = podOf(object)
      return pod === undefined ? [] : [{ id: idOf(object), labels: at(pod, 'metadata', 'labels') }]
    })
    const taken = (selector: unknown) =>
      own.filter(({ labels }) => selects(selector, labels)).map(({ id }) => id)
    const gates = objects.filter(({ kind }) => kind === 'Deployment').map(idOf)
    for (const object of objects) {
      const where = `${example} ${idOf(object)}`
      const spec = object['spec']
      switch (object['kind']) {
        case 'Deployment':
        case 'PodDisruptionBudget':
          t.same(taken(at(spec, 'selector', 'matchLabels')), gates, where)
          break
        case 'Service':
          t.same(taken(at(spec, 'selector')), gates, where)
          break
        case 'PodMonitor':
          t.same(taken(at(spec, 'selector', 'matchLabels')), gates, where)
          t.match(listAt(spec, 'podMetricsEndpoints'), [{ portNumber: 9090 }])
          break
        case 'ServiceMonitor': {
          const services = objects.filter(
            other =>
              other['kind'] === 'Service' &&
              selects(at(spec, 'selector', 'matchLabels'), at(other, 'metadata', 'labels'))
          )
          t.same(services.map(idOf), ['Service/gate-tollgate-metrics'], where)
          t.equal(at(services[0], 'spec', 'ports', 0, 'targetPort'), 9090)
          t.equal(at(services[0], 'spec', 'clusterIP'), 'None')
          break
        }
        case 'HorizontalPodAutoscaler':
          t.same([`Deployment/${String(at(spec, 'scaleTargetRef', 'name'))}`], gates, where)
          break
        default:
      }
    }
  }
})

t.test('the admin port is closed to all but those who scrape', async t => {
  const rules = (example: string) =>
    listAt(find(of(example), 'NetworkPolicy/gate-tollgate'), 'spec', 'ingress')
  t.same(rules('minimal'), [{ ports: [{ port: 8080, protocol: 'TCP' }] }])
  const [clients, admin, ...more] = rules('monitoring')
  t.same(more, [])
  t.equal(listAt(clients, 'from').length, 2)
  t.match(admin, {
    ports: [{ port: 9090, protocol: 'TCP' }],
    from: [{ namespaceSelector: Object, podSelector: Object }]
  })
  const gate = listAt(find(of('minimal'), 'Service/gate-tollgate'), 'spec', 'ports')
  t.match(gate, [{ port: 80, targetPort: 8080 }])
  t.notOk(of('settings').some(({ kind }) => kind === 'NetworkPolicy'))
})

t.test('with upstreamPods only the gate reaches the service, and helm test looks', async t => {
  const objects = of('upstream-policy')
  const policy = find(objects, 'NetworkPolicy/gate-tollgate-upstream')
  t.same(at(policy, 'spec', 'podSelector'), { matchLabels: { app: 'api' } })
  const gate = at(find(objects, 'Deployment/gate-tollgate'), 'spec', 'selector')
  t.same(at(policy, 'spec', 'ingress'), [{ from: [{ podSelector: gate }] }])
  const args = (example: string) =>
    at(find(of(example), 'Pod/gate-tollgate-test'), 'spec', 'containers', 0, 'args')
  const own = ['doctor', '--gate', 'http://gate-tollgate:80']
  t.same(args('upstream-policy'), [...own, '--closed', 'api.shop.svc:3000'])
  t.same(args('ipv6'), [...own, '--closed', '[2001:db8::7]:3000'])
  t.same(args('minimal'), own)
  t.same(args('sidecar'), ['doctor', '--gate', 'http://api:80', '--closed', 'api-direct:3000'])
})

t.test('a disruption budget exists for more than one replica only', async t => {
  for (const [example, objects] of rendered) {
    const budgets = objects.filter(({ kind }) => kind === 'PodDisruptionBudget')
    const isExpected = !['single-replica', 'sidecar', 'settings'].includes(example)
    t.equal(budgets.length, isExpected ? 1 : 0, example)
  }
})

t.test('with an autoscaler the Deployment says no number', async t => {
  t.equal(at(find(of('autoscaling'), 'Deployment/gate-tollgate'), 'spec', 'replicas'), undefined)
  t.equal(at(find(of('minimal'), 'Deployment/gate-tollgate'), 'spec', 'replicas'), 2)
})

t.test('the schema is brought up to date in one of four ways', async t => {
  const gateOf = (example: string) => find(of(example), 'Deployment/gate-tollgate')
  const migrations = (example: string) =>
    listAt(gateOf(example), 'spec', 'template', 'spec', 'containers', 0, 'env').find(
      entry => at(entry, 'name') === 'MIGRATIONS'
    )
  const off = { name: 'MIGRATIONS', value: 'off' }
  const hasJob = (example: string) => of(example).some(({ kind }) => kind === 'Job')

  const job = find(of('minimal'), 'Job/gate-tollgate-migrate')
  t.same(at(job, 'metadata', 'annotations'), {
    'helm.sh/hook': 'pre-install,pre-upgrade',
    'helm.sh/hook-delete-policy': 'before-hook-creation,hook-succeeded'
  })
  t.match(job, { spec: { backoffLimit: 3, activeDeadlineSeconds: 300 } })
  t.equal(at(job, 'spec', 'template', 'spec', 'serviceAccountName'), undefined)
  t.same(at(job, 'spec', 'template', 'spec', 'containers', 0, 'args'), ['migrate'])
  t.same(migrations('minimal'), off)

  t.notOk(hasJob('migrations-init'))
  const pod = at(gateOf('migrations-init'), 'spec', 'template', 'spec')
  t.match(listAt(pod, 'initContainers'), [{ name: 'tollgate-migrate', args: ['migrate'] }])
  t.match(
    listAt(pod, 'volumes').find(volume => at(volume, 'name') === 'tollgate-migrate'),
    {
      secret: { secretName: 'tollgate-owner', items: [{ key: 'url', path: 'DATABASE_URL' }] }
    }
  )
  t.same(migrations('migrations-init'), off)

  t.notOk(hasJob('migrations-auto'))
  t.equal(migrations('migrations-auto'), undefined)
  t.notOk(hasJob('migrations-off'))
  t.same(migrations('migrations-off'), off)
})

t.test('settings become the texts that the gate reads', async t => {
  const env = listAt(find(of('settings'), 'Deployment/gate-tollgate'), ...GATE, 'env')
  const texts = Object.fromEntries(env.map(entry => [at(entry, 'name'), at(entry, 'value')]))
  t.match(texts, {
    ACCESS_LOG: 'off',
    AUDIT_RETENTION_DAYS: '0',
    CACHE_MAX_TOKENS: '1000000',
    DASHBOARD: 'off',
    // Kubernetes reads $$ as one.
    JWT_AUDIENCE: '$$(POD_IP) is no variable here',
    OTEL_TRACES_SAMPLER_ARG: '0.00001',
    SIGNED_BODY_LIMIT_BYTES: '33554432',
    TRUSTED_PROXIES: '10.0.0.0/8,2001:db8::/32'
  })
  t.notOk('NODE_OPTIONS' in texts)
  t.notOk('JWT_SECRET_FILE' in texts)
})

t.test('a larger cache gets its memory', async t => {
  const resources = (example: string) =>
    at(find(of(example), 'Deployment/gate-tollgate'), ...GATE, 'resources')
  t.same(resources('minimal'), {
    requests: { cpu: '100m', memory: '160Mi' },
    limits: { memory: '256Mi' }
  })
  // 990 000 tokens of 1 KiB more: 967 MiB.
  t.same(resources('settings'), {
    requests: { cpu: '100m', memory: '1127Mi' },
    limits: { memory: '2190Mi' }
  })
})
