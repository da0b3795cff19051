/** The files of the image, started as the image starts them, where nothing can be written. */
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join, relative } from 'node:path'
import { once } from 'node:events'
import t from 'tap'
import { effort } from '../support/effort.ts'
import { call, createToken, JWT_SECRET, runTollgate, startGate } from '../support/gate.ts'
import { assembleImage, runtimePackages } from '../support/image.ts'
import { startPostgres } from '../support/postgres.ts'
import { startRedis } from '../support/redis.ts'
import { startUpstream } from '../support/upstream.ts'

const MIB = 2 ** 20
const USER = 65_532
const ROOT = join(import.meta.dirname, '../..')
const LOCK = join(ROOT, 'package-lock.json')
const KEPT_CODE = join(ROOT, 'src/kept-code.ts')
const VALUES = join(ROOT, 'helm/values.yaml')
const isRoot = process.getuid?.() === 0
const user = isRoot ? USER : undefined

const [postgres, redis, upstream] = await Promise.all([
  startPostgres(t),
  startRedis(t),
  startUpstream()
])
t.teardown(() => upstream.close())
const database = await postgres.createDatabase()

const image = assembleImage(t)
const { root, app, entrypoint, cmd } = image

/** Every file with its size, mode and time of change. */
function snapshot(): readonly string[] {
  const entries = readdirSync(root, { recursive: true, encoding: 'utf8' })
  return entries.toSorted().map(path => {
    const { size, mode, mtimeMs } = statSync(join(root, path))
    return `${path} ${size} ${mode.toString(8)} ${mtimeMs}`
  })
}

const before = snapshot()

t.test('the layer of the application is at most 40 MiB', async t => {
  t.comment(`${(image.appBytes / MIB).toFixed(1)} MiB`)
  t.ok(image.appBytes <= 40 * MIB, `${image.appBytes} bytes`)
})

t.test('it holds the runtime dependencies of the lock file, and no other package', async t => {
  const { packages } = JSON.parse(readFileSync(LOCK, 'utf8'))
  const wanted = runtimePackages(packages).map(path => relative('node_modules', path))
  const require = createRequire(join(app, 'dist/cli.js'))
  for (const name of ['typescript', 'tap', 'fast-check', 'oxlint', 'knip', 'playwright-core']) {
    t.throws(() => require.resolve(`${name}/package.json`), { code: 'MODULE_NOT_FOUND' }, name)
  }
  const found = readdirSync(join(app, 'node_modules'), { recursive: true, encoding: 'utf8' })
    .filter(path => path.endsWith('package.json'))
    .map(path => path.slice(0, -'/package.json'.length))
    .filter(path => /(?:^|node_modules\/)(?:@[^/]+\/)?[^/@]+$/.test(path))
  t.same(found.toSorted(), wanted.toSorted())
})

t.test('nobody but its owner can write any of it', async t => {
  const writable = before.filter(line => {
    const mode = Number.parseInt(line.split(' ')[2] ?? '', 8)
    return (mode & 0o022) !== 0
  })
  t.same(writable, [])
})

t.test('other commands than serve run by their name', async t => {
  const { child, output } = runTollgate({ entrypoint, args: ['validate'], cwd: app, user })
  t.same(await once(child, 'exit'), [0, null], output())
})

t.test('the code of each file is kept, and taken with the flags that the chart sets', async t => {
  const files = readdirSync(join(app, 'dist')).filter(name => name.endsWith('.cjs'))
  t.ok(files.length > 20, `${files.length} files`)
  for (const name of files) {
    const text = readFileSync(join(app, 'dist', name), 'utf8')
    t.ok(/^(?:\/\/[^\n]*\n)*["']use strict["']/.test(text), `${name} is strict`)
  }
  const paths = files.map(name => join(app, 'dist', name))
  const script = `import { compileKept } from ${JSON.stringify(KEPT_CODE)}
    for (const path of ${JSON.stringify(paths)}) {
      if (compileKept(path).cachedDataRejected !== false) console.log(path)
    }`
  const [node = '', ...flags] = entrypoint.slice(0, -1)
  const [, options = ''] = /^nodeOptions: (.+)$/m.exec(readFileSync(VALUES, 'utf8')) ?? []
  for (const NODE_OPTIONS of ['', options]) {
    const env = { ...process.env, NODE_OPTIONS }
    const args = [...flags, '--input-type=module', '--eval', script]
    t.equal(execFileSync(node, args, { encoding: 'utf8', env }), '', NODE_OPTIONS)
  }
})

const production = {
  ...image.env,
  DATABASE_URL: database.url,
  REDIS_URL: redis.url,
  UPSTREAM_URL: upstream.url,
  JWT_SECRET,
  HOME: '/nonexistent',
  TMPDIR: '/nonexistent'
}

/** It may read the image and reach the network: no writing, no processes, no threads, no add-ons. */
const [node, ...flags] = entrypoint
const confined = [node, '--permission', `--allow-fs-read=${root}`, '--allow-net', ...flags] as const

const WAYS = [
  { title: 'confined by the runtime', entrypoint: confined, user: undefined, skip: false },
  { title: `as user ${USER}`, entrypoint, user: USER, skip: !isRoot && 'not as root' }
]
for (const { title, entrypoint, user, skip } of WAYS) {
  t.test(`production serves ${title} and writes nothing`, { skip }, async t => {
    const gate = await startGate({ entrypoint, args: cmd, cwd: app, env: production, user })
    t.teardown(() => gate.stop('SIGKILL'))
    const { token } = await createToken(gate)
    const answer = await call(`${gate.url}/api/scans/dashboard`, { bearer: token })
    t.equal(answer.status, 200)
    t.equal(upstream.last().target, '/api/scans/dashboard')
    t.equal((await call(`${gate.url}/api/scans/dashboard`)).status, 401)
    t.equal((await call(`${gate.url}/settings/api-tokens`)).status, 200)
    t.equal((await call(`${gate.adminUrl}/readyz`)).status, 200)
    t.match((await call(`${gate.adminUrl}/metrics`)).text, /^tollgate_lease_valid 1$/m)
    t.equal(await gate.stop(), 0)
    t.notMatch(gate.output(), /ERR_ACCESS_DENIED|EACCES|EROFS/)
    t.same(snapshot(), before)
  })
}

t.test('with nothing configured production says what is missing', async t => {
  const { child, output } = runTollgate({ entrypoint, args: cmd, cwd: app, env: image.env, user })
  t.same(await once(child, 'exit'), [2, null])
  t.match(output(), 'DATABASE_URL must be set in production, unless TOLLGATE_ALLOW_EMBEDDED=true')
})

/** As anybody else it could write; and the start takes seconds. */
const skipsEmbedded = !isRoot ? 'not as root' : effort(1, 0) === 1 && 'only in test:full'

t.test(
  'embedded parts that are asked for live in memory, and the banner says so',
  { skip: skipsEmbedded },
  async t => {
    const env = { ...image.env, TOLLGATE_ALLOW_EMBEDDED: 'true', PORT: '0', ADMIN_PORT: '0' }
    const { child, output } = runTollgate({ entrypoint, args: cmd, cwd: app, env, user: USER })
    t.teardown(() => child.kill('SIGKILL'))
    const exited = once(child, 'exit')
    while (!output().includes('Ctrl-C ends it.')) {
      if (child.exitCode !== null) throw new Error(output())
      await new Promise(resolve => setTimeout(resolve, 50))
    }
    t.match(output(), /^Database +embedded Postgres in memory alone/m)
    t.match(output(), /^User JWTs +generated secret in memory alone/m)
    const port = /^Tollgate \S+ on http:\/\/[^:]+:(\d+),/m.exec(output())?.[1]
    const bearer = /^Demo token +(ci_\w{36})$/m.exec(output())?.[1]
    const answer = await call(`http://127.0.0.1:${port}/api/scans/dashboard`, { bearer })
    t.equal(answer.status, 200)
    child.kill('SIGTERM')
    t.same(await exited, [0, null])
    t.same(snapshot(), before)
  }
)
