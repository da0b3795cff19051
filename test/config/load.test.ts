import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Problem } from '../../src/config/file.ts'
import { formatProblems, loadSettings } from '../../src/config/load.ts'
import { SETTINGS, type Settings } from '../../src/config/schema.ts'

const EXAMPLE = join(import.meta.dirname, '../../config/tollgate.example.yaml')
const CONFIG = '/etc/tollgate.yaml'
const SECRET = 'this-is-the-secret-of-thirty-two!' // 33 bytes
const DATABASE = 'postgres://gate:hunter2@db/tollgate'

interface World {
  readonly env?: Readonly<Record<string, string | undefined>>
  readonly yaml?: string
  readonly files?: Readonly<Record<string, string>>
}

/** Loads from an environment, the text of a settings file and secret files. */
function load({ env = {}, yaml, files = {} }: World) {
  const all: Readonly<Record<string, string>> =
    yaml === undefined ? files : { ...files, [CONFIG]: yaml }
  return loadSettings({
    env: yaml === undefined ? env : { ...env, TOLLGATE_CONFIG: CONFIG },
    readFile: path => {
      const text = all[path]
      if (text === undefined) throw Object.assign(new Error(`no ${path}`), { code: 'ENOENT' })
      return text
    }
  })
}

function settingsOf(world: World): Settings {
  const loaded = load(world)
  if ('problems' in loaded) throw new Error(formatProblems(loaded.problems))
  return loaded.settings
}

function problemsOf(world: World): readonly Problem[] {
  const loaded = load(world)
  return 'problems' in loaded ? loaded.problems : []
}

const messages = (world: World) =>
  problemsOf(world).map(({ name, place, message }) => `${place} | ${name} | ${message}`)

t.test('without any setting, the documented defaults hold', async t => {
  const settings = settingsOf({})
  t.match(settings, {
    HOST: '127.0.0.1',
    PORT: 8080,
    ADMIN_HOST: '127.0.0.1',
    ADMIN_PORT: 9090,
    UPSTREAM_URL: undefined,
    DATABASE_URL: undefined,
    REDIS_URL: undefined,
    REDIS_MODE: 'single',
    ROUTES_FILE: 'config/routes.yaml',
    JWT_SECRET: undefined,
    JWT_USER_CLAIM: 'sub',
    JWT_ORG_CLAIM: 'orgId',
    CACHE_MAX_TOKENS: 10_000,
    LEASE_MS: 2000,
    SIGNATURE_WINDOW_MS: 300_000,
    NONCE_RECOVERY_MS: 2000,
    SIGNED_BODY_LIMIT_BYTES: 1_048_576,
    SIGNATURE_QUERY: 'either',
    SIGNATURE_BODY: 'raw-or-canonical',
    LOG_LEVEL: 'info',
    TRUSTED_PROXIES: [],
    SHUTDOWN_GRACE_MS: 25_000,
    MIGRATIONS: 'auto',
    ACCESS_LOG: 'all',
    AUDIT_RETENTION_DAYS: 400,
    METRICS_ROUTES: 200,
    MAX_IN_FLIGHT: 1024,
    UPSTREAM_KEEPALIVE_MS: 4000,
    UPSTREAM_CONNECT_TIMEOUT_MS: 2000,
    DASHBOARD: 'on',
    DASHBOARD_LOGIN_PATH: '/api/auth/login',
    OTEL_SERVICE_NAME: 'tollgate',
    OTEL_TRACES_SAMPLER_ARG: 0.01,
    DRAIN_DELAY_MS: 0,
    UPSTREAM_EXPOSURE: 'warn',
    POD_IP: undefined,
    APP_PROBES: {},
    TOLLGATE_ALLOW_EMBEDDED: false
  })
  t.same(Object.keys(settings), Object.keys(SETTINGS), 'every setting is there, none besides')
})

t.test('every default is a value its own setting would take, and says what for', async t => {
  for (const [name, { default: value, parse, about, why, range }] of Object.entries(SETTINGS)) {
    t.ok(about && why && range, name)
    if (typeof value !== 'object' && value !== undefined) t.equal(parse(String(value)), value, name)
  }
})

t.test('the environment wins over the file, and both mean the same', async t => {
  const yaml = 'PORT: 1234\nLOG_LEVEL: warn\nDASHBOARD: off\nTOLLGATE_ALLOW_EMBEDDED: true\n'
  const settings = settingsOf({ yaml, env: { PORT: '4321' } })
  t.equal(settings.PORT, 4321)
  t.equal(settings.LOG_LEVEL, 'warn')
  t.equal(settings.DASHBOARD, 'off', 'a YAML word that other readers take for a boolean')
  t.equal(settings.TOLLGATE_ALLOW_EMBEDDED, true)
})

t.test('lists and mappings may be written as such in the file', async t => {
  const yaml =
    'TRUSTED_PROXIES: [10.0.0.0/8, "2001:db8::/32"]\n' +
    'APP_PROBES:\n  web/readiness: http://127.0.0.1:3000/ready\n'
  const settings = settingsOf({ yaml })
  t.same(settings.TRUSTED_PROXIES, ['10.0.0.0/8', '2001:db8::/32'])
  t.same(settings.APP_PROBES, { 'web/readiness': 'http://127.0.0.1:3000/ready' })
  t.same(messages({ yaml: 'PORT: [1, 2]\nAPP_PROBES: [x]\nTRUSTED_PROXIES: {a: b}\n' }), [
    `${CONFIG}:1:1 | PORT | must be one plain value`,
    `${CONFIG}:2:1 | APP_PROBES | must be a mapping of plain values, or one text of JSON`,
    `${CONFIG}:3:1 | TRUSTED_PROXIES | must be a list of plain values, or one text with commas`
  ])
})

t.test('an empty file sets nothing', async t => {
  for (const yaml of ['', '# nothing\n', '---\n']) t.equal(settingsOf({ yaml }).PORT, 8080)
})

t.test('the result cannot be changed', async t => {
  const settings = settingsOf({ env: { TRUSTED_PROXIES: '10.0.0.1' } })
  t.ok(Object.isFrozen(settings))
  t.ok(Object.isFrozen(settings.TRUSTED_PROXIES))
  t.ok(Object.isFrozen(settings.APP_PROBES))
})

t.test('all problems are told at once, each with its name and place', async t => {
  const yaml = 'PORT: 70000\nPORTS: 1\n\n  \nMETRICS_ROUTES: many\n'
  const env = { LEASE_MS: '100', SIGNATURE_QUERY: 'maybe' }
  t.same(messages({ yaml, env }).toSorted(), [
    `${CONFIG}:1:1 | PORT | must be a whole number: 0 to 65535`,
    `${CONFIG}:2:1 | PORTS | is no setting. Did you mean PORT?`,
    `${CONFIG}:5:1 | METRICS_ROUTES | must be a whole number: 0 to 1000`,
    'environment | LEASE_MS | must be a whole number: 200 to 60000',
    'environment | SIGNATURE_QUERY | must be one of either, required'
  ])
  t.equal(
    formatProblems([{ name: 'PORT', place: 'environment', message: 'must be a number' }]),
    'environment: PORT must be a number'
  )
})

t.test('keys of the file that are no settings are refused, with what was meant', async t => {
  t.same(messages({ yaml: 'port: 1\nxyz: 1\nTOLLGATE_CONFIG: x\nPORT_FILE: x\n' }), [
    `${CONFIG}:1:1 | port | is no setting. Did you mean PORT?`,
    `${CONFIG}:2:1 | xyz | is no setting`,
    `${CONFIG}:3:1 | TOLLGATE_CONFIG | is no setting`,
    `${CONFIG}:4:1 | PORT_FILE | is no setting`
  ])
})

t.test('a file that is no mapping of settings is refused as a whole', async t => {
  t.same(messages({ yaml: '- PORT\n' }), [`${CONFIG}:1:1 | ${CONFIG} | is no mapping`])
  t.same(messages({ yaml: 'PORT: 1\nPORT: 2\n' }), [
    `${CONFIG}:2:1 | ${CONFIG} | is no valid YAML: duplicate key`
  ])
  t.same(messages({ yaml: 'HOST: &a localhost\nADMIN_HOST: *a\n' }), [
    `${CONFIG}:2:1 | ADMIN_HOST | must be one plain value`
  ])
  t.match(messages({ yaml: '? [a]\n: b\n' }), [`${CONFIG}:1:1 |  | is no setting`])
  t.same(messages({ env: { TOLLGATE_CONFIG: '/missing.yaml' } }), [
    'environment | TOLLGATE_CONFIG | names a file that cannot be read (ENOENT)'
  ])
})

t.test('a secret may come from a file, without the line end that editors add', async t => {
  for (const end of ['', '\n', '\r\n']) {
    const files = { '/run/jwt': SECRET + end }
    t.equal(settingsOf({ env: { JWT_SECRET_FILE: '/run/jwt' }, files }).JWT_SECRET, SECRET)
    t.equal(settingsOf({ yaml: 'JWT_SECRET_FILE: /run/jwt\n', files }).JWT_SECRET, SECRET)
  }
  const files = { '/run/jwt': SECRET, '/run/db': DATABASE }
  const env = { JWT_SECRET: `${SECRET}!`, DATABASE_URL_FILE: '/run/db' }
  const both = settingsOf({ yaml: 'JWT_SECRET_FILE: /run/jwt\n', env, files })
  t.equal(both.JWT_SECRET, `${SECRET}!`, 'the environment wins, in whichever form')
  t.equal(both.DATABASE_URL, DATABASE)
})

t.test('a secret in both forms is refused, as is a file that cannot be read', async t => {
  const files = { '/run/jwt': SECRET }
  t.same(messages({ env: { JWT_SECRET: SECRET, JWT_SECRET_FILE: '/run/jwt' }, files }), [
    'environment | JWT_SECRET | is given together with JWT_SECRET_FILE'
  ])
  t.same(messages({ yaml: `JWT_SECRET: ${SECRET}\nJWT_SECRET_FILE: /run/jwt\n`, files }), [
    `${CONFIG}:1:1 | JWT_SECRET | is given together with JWT_SECRET_FILE`
  ])
  t.same(messages({ env: { REDIS_URL_FILE: '/run/none' } }), [
    'environment | REDIS_URL_FILE | names a file that cannot be read (ENOENT)'
  ])
})

t.test('no problem repeats a value: it may be a secret, also in the wrong place', async t => {
  const files = { '/run/jwt': 'hunter2' }
  const worlds: readonly World[] = [
    { env: { DATABASE_URL: 'mysql://gate:hunter2@db/x' } },
    { env: { REDIS_URL: 'http://:hunter2@redis' } },
    { env: { JWT_SECRET: 'hunter2' } },
    { env: { JWT_SECRET_FILE: '/run/jwt' }, files },
    { env: { JWT_SECRET_FILE: 'hunter2' } },
    { env: { TOLLGATE_CONFIG: 'hunter2' } },
    { env: { UPSTREAM_URL: 'http://gate:hunter2@app' } },
    { env: { LOG_LEVEL: 'hunter2', PORT: 'hunter2', HOST: 'hunter2 !', POD_IP: 'hunter2' } },
    { env: { TRUSTED_PROXIES: 'hunter2', APP_PROBES: '{"hunter2":1}' } },
    { yaml: 'JWT_SECRET: "hunter2\n' },
    { yaml: 'JWT_SECRET: *hunter2\n' },
    { yaml: '"hunter2": : hunter2\n  - hunter2' }
  ]
  for (const world of worlds) {
    t.not(problemsOf(world).length, 0, JSON.stringify(world))
    t.notMatch(JSON.stringify(problemsOf(world)), 'hunter2', JSON.stringify(world))
  }
})

t.test('a JWT secret shorter than its digest is refused, an empty one too (J11)', async t => {
  for (const JWT_SECRET of ['', 'x', 'x'.repeat(31)]) {
    t.same(messages({ env: { JWT_SECRET } }), [
      'environment | JWT_SECRET | must have 32 bytes or more'
    ])
  }
  t.equal(settingsOf({ env: { JWT_SECRET: 'x'.repeat(32) } }).JWT_SECRET, 'x'.repeat(32))
  t.equal(settingsOf({ env: { JWT_SECRET: 'ö'.repeat(16) } }).JWT_SECRET, 'ö'.repeat(16), 'bytes')
})

t.test('settings that exclude or need each other are refused together', async t => {
  const jwks = { JWT_JWKS_URL: 'https://login.test/keys' }
  t.match(messages({ env: { JWT_SECRET: SECRET, ...jwks } }), [/JWT_SECRET \| .*JWT_JWKS_URL/])
  t.same(messages({ env: jwks }), [])
  t.match(messages({ env: { PORT: '9090' } }), [/ADMIN_PORT \| is the same as PORT/])
  t.same(messages({ env: { PORT: '9090', ADMIN_HOST: '127.0.0.2' } }), [])
  t.same(messages({ env: { PORT: '0', ADMIN_PORT: '0' } }), [])
  t.match(messages({ env: { REDIS_MODE: 'cluster' } }), [
    /REDIS_MODE \| is given without REDIS_URL/
  ])
  t.same(messages({ env: { REDIS_MODE: 'cluster', REDIS_URL: 'redis://a:1,b:2' } }), [])
  t.match(messages({ env: { UPSTREAM_EXPOSURE: 'refuse' } }), [/UPSTREAM_EXPOSURE \| .*POD_IP/])
  t.same(messages({ env: { UPSTREAM_EXPOSURE: 'refuse', POD_IP: '10.1.2.3' } }), [])
})

t.test('switches of Node that would open the gate refuse the start', async t => {
  for (const NODE_OPTIONS of [
    '--insecure-http-parser',
    '--max-old-space-size=64 "--insecure-http-parser"',
    '--insecure_http_parser'
  ]) {
    t.match(messages({ env: { NODE_OPTIONS } }), [/NODE_OPTIONS/], NODE_OPTIONS)
  }
  t.same(messages({ env: { NODE_OPTIONS: '--no-insecure-http-parser' } }), [])
  t.match(messages({ env: { NODE_TLS_REJECT_UNAUTHORIZED: '0' } }), [
    /NODE_TLS_REJECT_UNAUTHORIZED/
  ])
})

const warningsOf = (env: Readonly<Record<string, string>>) => {
  const loaded = load({ env })
  return 'warnings' in loaded ? loaded.warnings : ['refused']
}

t.test('names in the environment that look like mistyped settings are warned of', async t => {
  t.same(warningsOf({ UPSTREAM_ULR: 'x' }), [
    'UPSTREAM_ULR is no setting. Did you mean UPSTREAM_URL?'
  ])
  t.same(warningsOf({ TOLLGATE_CONFG: 'x' }), [
    'TOLLGATE_CONFG is no setting. Did you mean TOLLGATE_CONFIG?'
  ])
  t.same(warningsOf({ TOLLGATE_MODE: 'x' }), ['TOLLGATE_MODE is no setting'])
  t.same(warningsOf({ UPSTREAM_URL_FILE: '/x' }), [
    'UPSTREAM_URL_FILE is ignored: only secrets can be read from a file'
  ])
  t.same(warningsOf({ PATH: '/bin', HOSTNAME: 'h', SPORT: '1', NODE_OPTIONS: '' }), [])
})

t.test('the example file is valid, and says no more than the defaults', async t => {
  const settings = settingsOf({ yaml: readFileSync(EXAMPLE, 'utf8') })
  t.same(settings, settingsOf({}))
})

t.test('the lines of the example file that are commented out are valid too', async t => {
  const lines = readFileSync(EXAMPLE, 'utf8').split('\n')
  const commented = lines.filter(line => /^# [A-Z_]+: /.test(line)).map(line => line.slice(2))
  t.ok(commented.length > 8)
  const files = {
    '/etc/tollgate/secrets/DATABASE_URL': DATABASE,
    '/etc/tollgate/secrets/REDIS_URL': 'redis://redis',
    '/etc/tollgate/secrets/JWT_SECRET': SECRET
  }
  for (const line of commented) {
    const needs = line.startsWith('REDIS_MODE') ? 'REDIS_URL: redis://redis\n' : ''
    t.same(messages({ yaml: `${needs}${line}\n`, files }), [], line)
  }
})
