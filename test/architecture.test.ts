import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize, relative } from 'node:path'
import t from 'tap'

const ROOT = join(import.meta.dirname, '..')
const SRC = join(ROOT, 'src')

interface Allowed {
  /** Folders of src/, `app.ts` for the composition root. */
  readonly folders: readonly string[]
  readonly packages: readonly string[]
}

/** Who may import whom. A folder may always import its own files. */
const TABLE: Readonly<Record<string, Allowed>> = {
  core: { folders: [], packages: ['node:crypto', 'node:zlib'] },
  routes: {
    folders: ['core'],
    packages: [
      'typebox',
      'yaml',
      'node:fs',
      'node:path',
      'node:crypto',
      'node:events',
      'node:timers',
      'node:worker_threads'
    ]
  },
  revocation: { folders: ['core'], packages: ['lru-cache', 'node:os', 'node:crypto'] },
  store: {
    folders: ['core'],
    packages: ['pg', 'node:fs', 'node:path', 'node:crypto', 'node:timers', 'node:net']
  },
  redis: { folders: ['core'], packages: ['ioredis', 'node:crypto'] },
  users: { folders: ['core'], packages: ['jose'] },
  embedded: {
    folders: ['core', 'config'],
    packages: [
      'pg',
      '@electric-sql/pglite',
      'jose',
      'node:http',
      'node:stream',
      'node:fs',
      'node:crypto',
      'node:path',
      'node:events',
      'node:timers'
    ]
  },
  proxy: {
    folders: ['core', 'telemetry', 'no-schemas.ts'],
    packages: [
      'fastify',
      '@fastify/http-proxy',
      'undici',
      'node:net',
      'node:http',
      'node:fs',
      'node:stream',
      'node:crypto'
    ]
  },
  tokens: { folders: ['core'], packages: ['typebox', 'node:crypto'] },
  dashboard: { folders: ['core'], packages: ['node:crypto', 'node:fs', 'node:zlib'] },
  admin: {
    folders: ['core', 'telemetry', 'no-schemas.ts'],
    packages: ['fastify', 'node:http', 'node:net']
  },
  inject: { folders: [], packages: ['yaml'] },
  config: { folders: [], packages: ['typebox', 'yaml', 'node:fs', 'node:net'] },
  telemetry: {
    folders: ['core'],
    packages: ['pino', 'prom-client', '@opentelemetry', 'node:fs', 'node:stream']
  },
  doctor: {
    folders: ['core', 'routes', 'store', 'redis', 'users', 'telemetry'],
    packages: ['node:fs', 'node:path', 'node:net', 'node:tls', 'node:events', 'node:crypto']
  },
  commands: {
    folders: [
      'doctor',
      'core',
      'routes',
      'revocation',
      'store',
      'redis',
      'users',
      'embedded',
      'config',
      'telemetry',
      'inject',
      'app.ts'
    ],
    packages: [
      'commander',
      'node:fs',
      'node:crypto',
      'node:module',
      'node:path',
      'node:os',
      'node:net',
      'node:v8'
    ]
  },
  'stores.ts': {
    folders: ['core', 'revocation', 'store', 'redis', 'users', 'embedded', 'config', 'telemetry'],
    packages: ['node:crypto']
  },
  'own.ts': {
    folders: ['stores.ts', 'core', 'embedded', 'tokens', 'dashboard', 'config', 'telemetry'],
    packages: ['node:crypto']
  },
  'live-routes.ts': {
    folders: ['core', 'routes', 'revocation', 'proxy', 'config', 'telemetry'],
    packages: ['node:path']
  },
  'app.ts': {
    folders: [
      'stores.ts',
      'own.ts',
      'live-routes.ts',
      'core',
      'routes',
      'revocation',
      'store',
      'redis',
      'users',
      'embedded',
      'proxy',
      'tokens',
      'dashboard',
      'admin',
      'config',
      'telemetry'
    ],
    packages: ['node:timers']
  },
  'no-schemas.ts': { folders: [], packages: ['fastify'] },
  'cli.ts': { folders: ['commands'], packages: [] },
  'kept-code.ts': {
    folders: [],
    packages: ['node:fs', 'node:module', 'node:path', 'node:v8', 'node:vm']
  },
  'emitted.ts': { folders: ['kept-code.ts'], packages: ['node:path'] },
  'emitted-thread.ts': { folders: ['kept-code.ts'], packages: ['node:path'] },
  'warm.ts': { folders: ['kept-code.ts'], packages: [] }
}

const IMPORT =
  /^\s*(?:import|export)\s(?:[^'"]*?\sfrom\s)?['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]\s*\)/gm

function filesBelow(folder: string): readonly string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter(name => name.endsWith('.ts'))
    .map(name => join(folder, name))
}

/** `core` for src/core/gate.ts, `app.ts` for src/app.ts. */
function partOf(file: string): string {
  return relative(SRC, file).split('/')[0] ?? ''
}

/** What is wrong with one import, or undefined. */
function objection(file: string, specifier: string): string | undefined {
  const part = partOf(file)
  const allowed = TABLE[part]
  if (!allowed) return `${part} is not in the table`
  if (specifier.startsWith('.')) {
    const target = partOf(normalize(join(dirname(file), specifier)))
    const isAllowed = target === part || allowed.folders.includes(target)
    return isAllowed ? undefined : `${part} may not import ${specifier}`
  }
  const isAllowed = allowed.packages.some(
    name => specifier === name || specifier.startsWith(`${name}/`)
  )
  return isAllowed ? undefined : `${part} may not import ${specifier}`
}

t.test('every file imports only what its folder may know', async t => {
  const objections = filesBelow(SRC).flatMap(file =>
    [...readFileSync(file, 'utf8').matchAll(IMPORT)]
      .map(found => objection(file, found[1] ?? found[2] ?? ''))
      .filter(found => found !== undefined)
      .map(found => `${relative(ROOT, file)}: ${found}`)
  )
  t.same(objections, [])
})

t.test('the table is obeyed because it objects to what it does not name', async t => {
  const from = (file: string, specifier: string) => objection(join(SRC, file), specifier)
  t.equal(from('proxy/server.ts', '../store/tokens.ts'), 'proxy may not import ../store/tokens.ts')
  t.equal(from('core/gate.ts', 'pg'), 'core may not import pg')
  t.equal(from('other/new.ts', './x.ts'), 'other is not in the table')
  t.equal(from('store/database.ts', '../core/ports.ts'), undefined)
  t.equal(from('config/load.ts', 'typebox/value'), undefined)
})

t.test('only the gate makes a permit, and only the entry of the process ends it', async t => {
  const naming = (text: RegExp) =>
    filesBelow(SRC)
      .filter(file => text.test(readFileSync(file, 'utf8')))
      .map(file => relative(SRC, file))
      .toSorted()
  t.same(naming(/fields is Permit\b/), ['core/gate.ts'])
  t.same(naming(/\bprocess\.exit\(/), ['cli.ts'])
})

t.test('the rules read no clock, no randomness and no environment', async t => {
  const impure = /\bDate\.now\(|\bnew Date\(\)|performance\.now|Math\.random|process\.env/
  const found = filesBelow(join(SRC, 'core')).filter(file =>
    impure.test(readFileSync(file, 'utf8'))
  )
  t.same(found, [])
})

t.test('secrets are never compared by an operator that stops at the first difference', async t => {
  const early = /\.equals\(|(?:signature|secret|mac|token)\s*[!=]==?\s*(?:expected|given|sent)/i
  const found = filesBelow(SRC).filter(file => early.test(readFileSync(file, 'utf8')))
  t.same(found, [])
})
