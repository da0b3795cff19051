/**
 * The route file changes while the gate runs: as Kubernetes swaps a ConfigMap, as editors write, and
 * as things go wrong. What was good stays in force until something good is there.
 */
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync
} from 'node:fs'
import { Agent, get, type IncomingMessage } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { effort } from '../support/effort.ts'
import { startFleet } from '../support/fleet.ts'
import { call, createToken, eventually, type GateProcess, userJwt } from '../support/gate.ts'
import { startUpstream } from '../support/upstream.ts'

/** 5 s are promised, from the moment the good file is there; a busy machine gets more, and each time is shown. */
const WITHIN_MS = 30_000

const root = mkdtempSync(join(tmpdir(), 'tollgate-routes-'))
t.teardown(() => rmSync(root, { recursive: true, force: true }))
const mount = join(root, 'mount')
const path = join(mount, 'routes.yaml')
let version = 0

/** As kubelet does it: a new directory, and one rename of the link to it. */
function publish(text: string): void {
  const data = `..${(version += 1)}`
  mkdirSync(join(mount, data), { recursive: true })
  writeFileSync(join(mount, data, 'routes.yaml'), text)
  symlinkSync(data, join(mount, '..next'))
  renameSync(join(mount, '..next'), join(mount, '..data'))
}

function mountAgain(text: string): void {
  mkdirSync(mount, { recursive: true })
  symlinkSync('..data/routes.yaml', path)
  publish(text)
}

interface FileParts {
  readonly routes: readonly string[]
  readonly scopes?: readonly string[]
  readonly upstreams?: Readonly<Record<string, string>>
  readonly tests?: readonly string[]
}

function routeFile({ routes, scopes = [], upstreams = {}, tests = [] }: FileParts): string {
  const named = Object.entries(upstreams)
  return [
    'version: 1',
    ...(named.length > 0 ? ['upstreams:'] : []),
    ...named.map(([name, url]) => `  ${name}: { url: "${url}" }`),
    'scopes:',
    ...['scans:read', ...scopes].map(name => `  ${name}: { title: Some }`),
    'routes:',
    ...routes.map(rule => `  ${rule}`),
    ...(tests.length > 0 ? ['tests:', ...tests.map(test => `  - ${test}`)] : [])
  ].join('\n')
}

const ALWAYS = 'GET /always: public'
const GOOD = routeFile({ routes: [ALWAYS] })
mountAgain(GOOD)

const slow: (() => void)[] = []
const { gates, upstream } = await startFleet(t, {
  env: { ROUTES_FILE: path, ACCESS_LOG: 'off' },
  upstream: {
    respond: ({ target }, response) => {
      if (target === '/slow') slow.push(() => response.end('late'))
      else response.end('ok')
    }
  }
})
const [only] = gates
if (!only) throw new Error('no gate')
const gate: GateProcess = only

async function metric(name: string): Promise<number> {
  const { text } = await call(`${gate.adminUrl}/metrics`)
  const line = text.split('\n').find(found => found.startsWith(`tollgate_${name} `))
  return Number(line?.split(' ').at(-1))
}

async function statusOf(target: string): Promise<number> {
  return (await call(gate.url + target)).status
}

async function inForce(): Promise<string> {
  return String((await call(`${gate.adminUrl}/replicas`)).json['routesHash'])
}

/** Resolves when the rule is in force; the time it took, in ms. */
async function taken(target: string, deadlineMs = WITHIN_MS): Promise<number> {
  const startedMs = performance.now()
  await eventually(`${target} passes`, async () => (await statusOf(target)) === 200, deadlineMs)
  return performance.now() - startedMs
}

t.test('a swapped ConfigMap is in force at once, everywhere', async t => {
  const before = await inForce()
  const jwt = await userJwt()
  const make = (scope: string) =>
    call(`${gate.url}/api/auth/cli-tokens`, {
      method: 'POST',
      bearer: jwt,
      body: { name: 'ci', scopes: [scope] }
    })
  t.equal((await make('new:read')).status, 400)
  t.equal(await statusOf('/new'), 403)
  publish(
    routeFile({ routes: ['GET /new: public', 'GET /scoped: new:read'], scopes: ['new:read'] })
  )
  t.comment(`in force after ${Math.round(await taken('/new'))} ms`)
  t.equal(await statusOf('/always'), 403, 'a rule that is gone')
  const { token } = await createToken(gate, { scopes: ['new:read'] })
  t.equal((await call(`${gate.url}/scoped`, { bearer: token })).status, 200)
  const hash = await inForce()
  t.not(hash, before)
  const catalogue = await call(`${gate.url}/settings/api-tokens/catalogue`, { bearer: jwt })
  t.equal(catalogue.json['hash'], hash)
  t.match((await call(`${gate.adminUrl}/metrics`)).text, `tollgate_routes_info{hash="${hash}"} 1`)
  t.match(await metric('routes_last_reload_success'), 1)
  await gate.printed(
    new RegExp(
      `"from":"${before}","to":"${hash}","rules":2,"rulesBefore":1,"widened":2,"narrowed":1`
    )
  )
  t.match((await call(`${gate.adminUrl}/coverage`)).json, {
    routesHash: hash,
    rules: [{ key: 'GET /new' }, { key: 'GET /scoped', requests: 1 }],
    tokens: [{ granted: ['new:read'], needed: ['new:read'] }]
  })
})

t.test(
  'C22: whatever is wrong with the newest file, the gate serves, says why, and recovers',
  async t => {
    const good = (name: string) => routeFile({ routes: [ALWAYS, `GET /${name}: public`] })
    const wrong: Readonly<
      Record<
        string,
        {
          readonly spoil: () => void
          readonly says: string
          readonly mend: () => void
        }
      >
    > = {
      broken: {
        spoil: () => publish(GOOD.replace('public', 'pubic')),
        says: 'Did you mean \\"public\\"?',
        mend: () => publish(good('broken'))
      },
      unknownKey: {
        spoil: () => publish(`${GOOD}\n  GET /refused: public\ndefault: allow`),
        says: 'default',
        mend: () => publish(good('unknownKey'))
      },
      empty: {
        spoil: () => publish(''),
        says: 'must be a map with the keys version, scopes and routes',
        mend: () => publish(good('empty'))
      },
      failing: {
        spoil: () =>
          publish(
            routeFile({ routes: [ALWAYS], tests: ['{ request: GET /other, expect: allow }'] })
          ),
        says: 'expected allow, got 403 ROUTE_DENIED',
        mend: () => publish(good('failing'))
      },
      halfWritten: {
        spoil: () => {
          publish(good('halfWritten'))
          writeFileSync(path, good('halfWritten').slice(0, -10))
        },
        says: 'need to be followed by map values',
        mend: () => writeFileSync(path, good('halfWritten'))
      },
      missing: {
        spoil: () => rmSync(path),
        says: 'route file refused (ENOENT), change',
        mend: () => {
          symlinkSync('..data/routes.yaml', path)
          publish(good('missing'))
        }
      },
      vanished: {
        spoil: () => rmSync(mount, { recursive: true }),
        says: 'routes.yaml cannot be read: ENOENT',
        mend: () => mountAgain(good('vanished'))
      }
    }
    publish(GOOD)
    await taken('/always')
    for (const [name, { spoil, says, mend }] of Object.entries(wrong)) {
      const refusals = await metric('routes_reloads_total{result="error"}')
      const printed = gate.output().length
      spoil()
      await eventually(
        `${name} is refused`,
        async () => (await metric('routes_reloads_total{result="error"}')) > refusals,
        10_000
      )
      t.equal(await metric('routes_last_reload_success'), 0, name)
      t.equal(await statusOf('/always'), 200, `${name}: served`)
      for (const target of ['/refused', '/other', `/${name}`]) {
        t.equal(await statusOf(target), 403, `${name}: ${target} is as closed as before`)
      }
      t.equal((await call(`${gate.adminUrl}/readyz`)).status, 200, `${name}: ready`)
      await eventually(`${name} is told`, () => gate.output().slice(printed).includes(says), 2000)
      mend()
      t.comment(`${name}: the good file after ${Math.round(await taken(`/${name}`))} ms`)
      t.equal(await metric('routes_last_reload_success'), 1, name)
    }
  }
)

function request(target: string, agent: Agent): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    get(gate.url + target, { agent }, resolve).on('error', reject)
  })
}

async function textOf(answer: IncomingMessage): Promise<string> {
  let text = ''
  for await (const chunk of answer) text += String(chunk)
  return text
}

t.test('a request ends under the rules and at the upstream that it began with', async t => {
  const late: (() => void)[] = []
  const closed = Promise.withResolvers<void>()
  const other = await startUpstream({
    handle: ({ url, socket }, response) => {
      socket.once('close', () => closed.resolve())
      if (url === '/late') late.push(() => response.end('from the other'))
      else response.end('other')
    },
    keepAliveMs: 60_000
  })
  t.teardown(() => other.close())
  const agent = new Agent({ keepAlive: true })
  t.teardown(() => agent.destroy())
  publish(
    routeFile({
      upstreams: { other: other.url },
      routes: [
        'GET /slow: public',
        'GET /late: { scope: public, upstream: other }',
        'GET /other: { scope: public, upstream: other }'
      ]
    })
  )
  await taken('/other')
  t.equal((await call(`${gate.url}/other`)).text, 'other', 'an upstream that is new')
  const running = [request('/slow', agent), request('/late', agent)]
  await eventually('both are under way', () => slow.length === 1 && late.length === 1)

  publish(routeFile({ routes: [ALWAYS] }))
  await taken('/always')
  t.equal(await statusOf('/slow'), 403)
  t.equal(await statusOf('/late'), 403)
  for (const answer of [...slow, ...late]) answer()
  const answers = await Promise.all(running)
  t.same(
    await Promise.all(answers.map(async answer => [answer.statusCode, await textOf(answer)])),
    [
      [200, 'late'],
      [200, 'from the other']
    ]
  )
  await closed.promise
  t.pass('the connections of the upstream that is gone are closed')
})

/** Requests without a pause until `end` is called, which gives what they saw. */
function startLoad(t: Test, target: string, clients: number) {
  const agent = new Agent({ keepAlive: true, maxSockets: clients })
  t.teardown(() => agent.destroy())
  const statuses = new Map<unknown, number>()
  const tookMs: number[] = []
  let isOver = false
  const running = Array.from({ length: clients }, async () => {
    while (!isOver) {
      const startedMs = performance.now()
      const status = await request(target, agent).then(
        async answer => {
          await textOf(answer)
          return answer.statusCode
        },
        (error: Error) => error.message
      )
      tookMs.push(performance.now() - startedMs)
      statuses.set(status, (statuses.get(status) ?? 0) + 1)
      await new Promise(resolve => setTimeout(resolve, 2))
    }
  })
  return {
    async end() {
      isOver = true
      await Promise.all(running)
      tookMs.sort((a, b) => a - b)
      const [slowest = 0] = tookMs.slice(-1)
      return { statuses: [...statuses.keys()], count: tookMs.length, slowestMs: slowest, tookMs }
    }
  }
}

async function residentMb(): Promise<number> {
  return Math.round((await metric('process_resident_memory_bytes')) / 1_000_000)
}

t.test('reloads under load fail no request and leave no memory behind', async t => {
  const rounds = effort(4, 100)
  const example = readFileSync(join(import.meta.dirname, '../../config/routes.yaml'), 'utf8')
  const load = startLoad(t, '/always', 4)
  const memory: number[] = []
  for (let round = 0; round < rounds; round++) {
    publish(
      example.replace('\nroutes:\n', `\nroutes:\n  ${ALWAYS}\n  GET /round/${round}: public\n`)
    )
    await taken(`/round/${round}`, 20_000)
    memory.push(await residentMb())
  }
  const { statuses, count } = await load.end()
  t.same(statuses, [200])
  const warm = memory[Math.floor(rounds / 4)] ?? 0
  const last = memory.at(-1) ?? 0
  t.comment(`${rounds} reloads, ${count} requests; resident after each, MB: ${memory.join(' ')}`)
  t.ok(last < warm + 100, `${warm} MB after a quarter of them, ${last} MB at the end`)
})

t.test('thousands of routes are taken while requests go on', async t => {
  const routes = [ALWAYS, 'GET /large: public']
  for (let i = 0; i < effort(1998, 9998); i++)
    routes.push(`GET /part${i % 50}/thing${i}/{id}: scans:read`)
  const load = startLoad(t, '/always', 4)
  publish(routeFile({ routes }))
  const seconds = (await taken('/large', 60_000)) / 1000
  const { statuses, count, slowestMs, tookMs } = await load.end()
  t.same(statuses, [200])
  const p99 = tookMs[Math.floor(tookMs.length * 0.99)] ?? 0
  t.comment(
    `in force after ${seconds.toFixed(1)} s; ${count} requests meanwhile, p99 ${p99.toFixed(1)} ms, slowest ${slowestMs.toFixed(1)} ms`
  )
})

t.test('SIGHUP reads the file at once, and a mistake in its certificates is told', async t => {
  const loaded = await metric('routes_reloads_total{result="ok"}')
  gate.signal('SIGHUP')
  await eventually(
    'it was read again',
    async () => (await metric('routes_reloads_total{result="ok"}')) > loaded,
    60_000
  )
  const file = join(root, 'ca.pem')
  const text = routeFile({ routes: [ALWAYS, 'GET /tls: { scope: public, upstream: tls }'] })
  publish(
    text.replace(
      'scopes:',
      `upstreams:\n  tls: { url: "https://127.0.0.1:1", caFile: ${file} }\nscopes:`
    )
  )
  await gate.printed('route file could not be put in force')
  t.equal(await statusOf('/tls'), 403)
  t.equal(await statusOf('/large'), 200)
  writeFileSync(file, '')
  gate.signal('SIGHUP')
  await eventually('the certificates are there', async () => (await statusOf('/tls')) === 502)
})

t.test('the upstream saw nothing of what was refused', async t => {
  const seen = new Set(upstream.requests.map(({ target }) => target))
  t.notOk([...seen].some(target => target === '/late' || target === '/tls'))
})
