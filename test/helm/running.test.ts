/**
 * What the chart renders, runs: the migration and the gate are started from the image's files with
 * exactly the environment, arguments and files that the manifests give them, beside a private Postgres
 * and Redis. Ports are the one thing that is changed, since others may have 8080.
 */
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { stringify } from 'yaml'
import {
  call,
  createToken,
  eventually,
  JWT_SECRET,
  runTollgate,
  startGate
} from '../support/gate.ts'
import { at, caseFile, find, findHelms, isRecord, listAt, render } from '../support/helm.ts'
import { assembleImage } from '../support/image.ts'
import { type Content, describe, mountVolumes, writeContent } from '../support/kubelet.ts'
import { startPostgres } from '../support/postgres.ts'
import { startRedis } from '../support/redis.ts'
import { startUpstream } from '../support/upstream.ts'

const [tool] = await findHelms(t)

const user = process.getuid?.() === 0 ? 65_532 : undefined
const postgres = await startPostgres(t)
const [database, redis, upstream] = await Promise.all([
  postgres.createDatabase({ isEmpty: true }),
  startRedis(t),
  startUpstream()
])
t.teardown(() => upstream.close())
const image = assembleImage(t)
const { root } = image

const values = join(root, 'values.yaml')
writeFileSync(
  values,
  stringify({
    upstream: { url: upstream.url },
    config: { LEASE_MS: 1000, ACCESS_LOG: 'off' },
    drainDelaySeconds: 1
  })
)
const objects = await render(tool, { values: [caseFile('minimal-values.yaml'), values] })
const routes = contentOf(find(objects, 'ConfigMap/gate-tollgate-routes'))
const cluster = {
  configMaps: { 'gate-tollgate-routes': routes },
  secrets: {
    tollgate: { DATABASE_URL: `${database.url}\n`, REDIS_URL: redis.url, JWT_SECRET }
  }
}

function contentOf(configMap: unknown): Content {
  const data = at(configMap, 'data')
  if (!isRecord(data)) throw new Error('no data')
  return Object.fromEntries(Object.entries(data).map(([name, text]) => [name, String(text)]))
}

/** The first container of what makes pods. */
function placed(id: string) {
  const pod = at(find(objects, id), 'spec', 'template')
  const container = at(pod, 'spec', 'containers', 0)
  const folders = mountVolumes(pod, container, { root, cluster })
  return { pod, container, folders, ...describe(container, { root, podIp: '127.0.0.1' }) }
}

const common = { entrypoint: image.entrypoint, cwd: image.app, user }

t.test('the migration that the hook runs makes the schema', async t => {
  const { env, args } = placed('Job/gate-tollgate-migrate')
  const { child, output } = runTollgate({
    ...common,
    args: args ?? [],
    env: { ...image.env, ...env }
  })
  t.same(await once(child, 'exit'), [0, null], output())
  t.match(output(), /^Applied: \d+\.$/m)
})

t.test(
  'the gate starts as the Deployment says, serves, and follows a change of its rules',
  async t => {
    const { pod, container, folders, env, args } = placed('Deployment/gate-tollgate')
    t.equal(args, undefined, 'the image says what runs')
    const gate = await startGate({ ...common, args: image.cmd, env: { ...image.env, ...env } })
    t.teardown(() => gate.stop('SIGKILL'))

    for (const probe of ['startupProbe', 'readinessProbe', 'livenessProbe']) {
      t.equal(at(container, probe, 'httpGet', 'port'), 9090, 'the default of ADMIN_PORT')
      const path = String(at(container, probe, 'httpGet', 'path'))
      t.equal((await call(gate.adminUrl + path)).status, 200, path)
    }
    const { token } = await createToken(gate)
    const scans = () => call(`${gate.url}/api/scans`, { bearer: token })
    t.equal((await scans()).status, 200)
    t.equal(upstream.last().target, '/api/scans')
    t.equal((await call(`${gate.url}/api/scans`)).status, 401)

    await t.test('at rest it needs less memory than it asks the cluster for', async t => {
      const requested = /^(\d+)Mi$/.exec(String(at(container, 'resources', 'requests', 'memory')))
      if (process.platform !== 'linux') return t.comment('read from /proc')
      const status = readFileSync(`/proc/${gate.pid}/status`, 'utf8')
      const mebibytes = (name: string) =>
        Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]) / 1024
      const [all, own] = [mebibytes('VmRSS'), mebibytes('RssAnon')]
      t.comment(`resident ${all.toFixed(1)} MiB, anonymous ${own.toFixed(1)} MiB`)
      t.ok(all > 0 && all < Number(requested?.[1]), `${all} MiB`)
    })

    await t.test('helm test asks what it is told to ask', async t => {
      const test = find(objects, 'Pod/gate-tollgate-test')
      const given = listAt(test, 'spec', 'containers', 0, 'args').map(String)
      t.same(given, ['doctor', '--gate', 'http://gate-tollgate:80'])
      const asked = given.map(word => (word.startsWith('http:') ? gate.url : word))
      const { child, output } = runTollgate({ ...common, args: asked, env: image.env })
      t.same(await once(child, 'exit'), [0, null], output())
    })

    await t.test('a new ConfigMap is in force without a restart', async t => {
      const folder = folders.get('tollgate-routes')
      if (folder === undefined) throw new Error('no routes are mounted')
      const closed = String(routes['routes.yaml']).replace(
        /GET \/api\/scans:.*/,
        'GET /api/scans: deny'
      )
      writeContent(folder, { 'routes.yaml': closed })
      await eventually('the rule is another', async () => (await scans()).status === 403)
      t.match((await scans()).json, { code: 'ROUTE_DENIED' })
    })

    const began = performance.now()
    t.equal(await gate.stop(), 0)
    const graceMs = Number(at(pod, 'spec', 'terminationGracePeriodSeconds')) * 1000
    t.ok(performance.now() - began < graceMs, 'within the grace period')
  }
)
