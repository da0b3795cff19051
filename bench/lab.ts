/**
 * The gate as the image runs it (emitted, production settings), its Postgres and Redis, and the cheapest
 * upstream there is. Everything is opened on one stack and ends with it.
 */
import { createHash, randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { makeToken } from '../src/core/token.ts'
import { emitProgram } from '../test/support/built.ts'
import { call, freePort, JWT_SECRET } from '../test/support/gate.ts'
import { type PostgresServer, startPostgres, type TestDatabase } from '../test/support/postgres.ts'
import { type RedisServer, startRedis } from '../test/support/redis.ts'
import { hasNginx, startNginx } from './nginx.ts'
import { launch, listens, LOAD_CORE, PROXY_CORE } from './processes.ts'

const ROOT = join(import.meta.dirname, '..')
/** The emitted build, with kept code as in the image. */
export const DIST = join(ROOT, 'dist')
/** As chart and image set them: the nursery that Node picks in a small container makes it collect all the time. */
export const NODE_FLAGS = ['--max-semi-space-size=8', '--min-semi-space-size=8']
/** What most rows ask for: a rule with one scope and a parameter. */
export const PATH = '/api/scans/5f43a1b2c3d4e5f6a7b8c9d0'
/** 250 bytes of JSON. */
const ANSWER = JSON.stringify({ scans: [{ id: 'scan-1', status: 'done', note: 'x'.repeat(197) }] })

export interface BenchGate extends AsyncDisposable {
  readonly port: number
  readonly adminPort: number
  readonly url: string
  readonly pid: number
}

export interface Lab {
  readonly stack: AsyncDisposableStack
  readonly upstreamPort: number
  readonly postgres: PostgresServer
  readonly database: TestDatabase
  readonly redis: RedisServer
  /** A token with every scope that the table uses, and its id. */
  readonly token: string
  readonly tokenId: string
  /** A folder for what a row writes. */
  readonly folder: string
  startGate(env?: Readonly<Record<string, string>>, dist?: string): Promise<BenchGate>
  /** Tokens that stand in the database, seen by nobody yet. */
  makeTokens(count: number): Promise<readonly string[]>
}

/** Where a test would hang its end. */
function teardownOn(stack: AsyncDisposableStack) {
  return { teardown: (release: () => unknown) => stack.defer(async () => void (await release())) }
}

export async function openLab(stack: AsyncDisposableStack): Promise<Lab> {
  emitProgram(DIST)
  const folder = mkdtempSync(join(tmpdir(), 'tollgate-bench-'))
  stack.defer(() => rmSync(folder, { recursive: true, force: true }))
  const [postgres, redis] = await Promise.all([
    startPostgres(teardownOn(stack)),
    startRedis(teardownOn(stack), { args: ['--appendfsync', 'no'] })
  ])
  const database = await postgres.createDatabase()
  await database.sql('UPDATE tg_epoch SET lease_ms = 2000, wait_ms = 2000')
  const upstreamPort = await startUpstream(stack)
  const insert = async (tokens: readonly string[]) => {
    const digests = tokens.map(token => createHash('sha256').update(token).digest('hex'))
    return database.sql(
      `INSERT INTO tg_token (digest, preview, user_id, name, scopes)
        SELECT decode(hex, 'hex'), 'ci_AbCd…wXyZ', 'user-1', 'bench', '{scans:read,scans:trigger}'
        FROM unnest($1::text[]) hex RETURNING id`,
      [digests]
    )
  }
  const token = makeToken(randomBytes)
  const [row] = await insert([token])
  return {
    stack,
    upstreamPort,
    postgres,
    database,
    redis,
    token,
    tokenId: String(row?.['id']),
    folder,
    async makeTokens(count) {
      const tokens = Array.from({ length: count }, () => makeToken(randomBytes))
      await insert(tokens)
      return tokens
    },
    startGate: async (env = {}, dist = DIST) => {
      const [port, adminPort] = [await freePort(), await freePort()]
      const command = [process.execPath, ...NODE_FLAGS, join(dist, 'cli.js'), 'serve']
      const pinned = launch(command, {
        core: PROXY_CORE,
        cwd: folder,
        env: {
          NODE_ENV: 'production',
          HOST: '127.0.0.1',
          PORT: String(port),
          ADMIN_PORT: String(adminPort),
          ROUTES_FILE: join(ROOT, 'config/routes.yaml'),
          UPSTREAM_URL: `http://127.0.0.1:${upstreamPort}`,
          DATABASE_URL: database.url,
          REDIS_URL: redis.url,
          JWT_SECRET,
          ACCESS_LOG: 'off',
          ...env
        }
      })
      await isReady(adminPort)
      const gate = { port, adminPort, url: `http://127.0.0.1:${port}`, pid: pinned.pid }
      return { ...gate, [Symbol.asyncDispose]: () => pinned[Symbol.asyncDispose]() }
    }
  }
}

async function isReady(adminPort: number): Promise<void> {
  await listens(adminPort)
  for (;;) {
    const answer = await call(`http://127.0.0.1:${adminPort}/readyz`)
    if (answer.status === 200) return
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}

/** nginx returning a constant; a tiny Node server where nginx is not installed. */
async function startUpstream(stack: AsyncDisposableStack): Promise<number> {
  if (hasNginx()) {
    const server = `location / { default_type application/json; return 200 '${ANSWER}'; }`
    return stack.use(await startNginx({ core: LOAD_CORE, server })).port
  }
  const file = join(mkdtempSync(join(tmpdir(), 'tollgate-upstream-')), 'upstream.mjs')
  const port = await freePort()
  writeFileSync(
    file,
    `import { createServer } from 'node:http'
createServer((request, response) => {
  request.resume()
  response.writeHead(200, { 'content-type': 'application/json' }).end(${JSON.stringify(ANSWER)})
}).listen(${port}, '127.0.0.1')`
  )
  stack.use(launch([process.execPath, file], { core: LOAD_CORE }))
  await listens(port)
  return port
}
