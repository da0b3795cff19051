/**
 * Nothing that proves who somebody is stays anywhere but with its owner: not in the log, though it
 * tells everything, nor on the admin port, in a refusal, in Redis or in Postgres.
 */
import { createHmac, hash, randomBytes } from 'node:crypto'
import t from 'tap'
import { makeToken } from '../../src/core/token.ts'
import { type Fleet, startFleet } from '../support/fleet.ts'
import { call, createToken, type GateProcess, JWT_SECRET, userJwt } from '../support/gate.ts'
import { sendRaw } from '../support/raw.ts'
import { signedHeaders } from '../support/signer.ts'

t.setTimeout(60_000)

const API = '/api/auth/cli-tokens'
const PATH = '/api/scans/dashboard'

/** What was used, with a name for messages. Of a token the middle too, which no preview tells. */
class Secrets {
  readonly #all = new Map<string, string>()

  add(name: string, secret: string): string {
    this.#all.set(secret, name)
    return secret
  }

  token(name: string, token: string): string {
    this.add(`${name}, its middle`, token.slice(8, -5))
    return this.add(name, token)
  }

  jwt(name: string, jwt: string): string {
    for (const [i, part] of jwt.split('.').entries()) {
      if (i > 0) this.add(`${name}, part ${i}`, part)
    }
    return this.add(name, jwt)
  }

  /** Names of those that stand in the text, also where bytes are written as hex or base64. */
  foundIn(text: string): readonly string[] {
    const lower = text.toLowerCase()
    return [...this.#all].flatMap(([secret, name]) => {
      const bytes = Buffer.from(secret)
      const isThere =
        lower.includes(secret.toLowerCase()) ||
        lower.includes(bytes.toString('hex')) ||
        text.includes(bytes.toString('base64').replace(/=+$/, '')) ||
        text.includes(bytes.toString('base64url')) ||
        text.includes(encodeURIComponent(secret))
      return isThere ? [name] : []
    })
  }

  get size(): number {
    return this.#all.size
  }
}

interface Scene {
  readonly gate: GateProcess
  readonly secrets: Secrets
  /** Bodies of all answers that were not to carry a token. */
  readonly answers: string[]
}

interface Asked {
  readonly method?: string
  readonly bearer?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: unknown
}

/** Asks, and keeps what is answered; the answer has to be of this status. */
async function ask({ gate, answers }: Scene, path: string, status: number, asked: Asked = {}) {
  const answer = await call(gate.url + path, asked)
  if (answer.status !== status) {
    throw new Error(`${asked.method ?? 'GET'} ${path}: ${answer.status} ${answer.text}`)
  }
  answers.push(`${[...answer.headers].join('\n')}\n${answer.text}`)
}

async function useTokenApi(scene: Scene, token: string, id: string): Promise<string> {
  const { gate, secrets } = scene
  const jwt = secrets.jwt('the user’s JWT', await userJwt({ email: 'somebody@example.com' }))
  await ask(scene, API, 200, { bearer: jwt })
  await ask(scene, API, 403, { bearer: token })
  await ask(scene, API, 400, { bearer: jwt, method: 'POST', body: { name: 'ci', token } })
  await ask(scene, API, 400, { bearer: jwt, method: 'POST', body: `{"name":"${token}"` })
  const wrong = { name: token, scopes: [token], repositories: [jwt] }
  await ask(scene, API, 400, { bearer: jwt, method: 'POST', body: wrong })
  await ask(scene, `${API}/${token}`, 404, { bearer: jwt, method: 'DELETE' })
  const rotated = await call(`${gate.url}${API}/${id}/rotate`, {
    bearer: jwt,
    method: 'POST',
    body: { graceSeconds: 3600 }
  })
  const next = secrets.token('the rotated token', String(rotated.json['token']))
  if (!next.startsWith('ci_')) throw new Error(`not rotated: ${rotated.text}`)
  const gone = await createToken(gate, {}, jwt)
  secrets.token('the revoked token', gone.token)
  await ask(scene, PATH, 200, { bearer: gone.token })
  await ask(scene, `${API}/${gone.id}`, 200, { bearer: jwt, method: 'DELETE' })
  await ask(scene, PATH, 401, { bearer: gone.token })
  return next
}

async function useService(scene: Scene, token: string): Promise<void> {
  const { secrets } = scene
  const bad = `${token.slice(0, -1)}${token.endsWith('0') ? '1' : '0'}`
  const unknown = makeToken(randomBytes)
  const jwt = secrets.jwt('another JWT', await userJwt({ sub: 'user-2' }))
  const forged = secrets.jwt('a forged JWT', await userJwt({ sub: 'root' }, 'x'.repeat(40)))
  await ask(scene, PATH, 200, { bearer: token })
  await ask(scene, PATH, 200, { bearer: jwt })
  await ask(scene, PATH, 401, { bearer: forged })
  await ask(scene, PATH, 401, { bearer: secrets.token('a mistyped token', bad) })
  await ask(scene, PATH, 401, { bearer: secrets.token('an unknown token', unknown) })
  await ask(scene, PATH, 401, {
    bearer: secrets.add('no token at all', randomBytes(30).toString('hex'))
  })
  const basic = secrets.add('Basic', Buffer.from(`user:${token}`).toString('base64'))
  await ask(scene, PATH, 401, { headers: { authorization: `Basic ${basic}` } })
  await ask(scene, '/health', 200, { bearer: token })
  // Where clients put tokens by mistake.
  await ask(scene, `${PATH}?access_token=${token}`, 401)
  await ask(scene, `/nowhere/${token}?token=${token}`, 403, { bearer: token })
  await ask(scene, PATH, 401, { headers: { cookie: `session=${token}` } })
  await ask(scene, PATH, 401, { headers: { 'x-api-key': token, 'x-request-id': token } })
  await ask(scene, '/api/repo-configs', 403, { method: 'POST', bearer: token, body: { token } })
  await ask(scene, '/settings/api-tokens', 200, { bearer: jwt })
  await ask(scene, `/settings/api-tokens?token=${token}`, 200)
  await ask(scene, '/settings/api-tokens/catalogue', 200, { bearer: jwt })
}

async function sign(scene: Scene, token: string): Promise<void> {
  const { secrets } = scene
  const own = { token, method: 'GET', path: PATH }
  const headers = signedHeaders(own)
  secrets.add('a signature', String(headers['x-cli-signature']))
  secrets.add('a nonce', String(headers['x-cli-nonce']))
  await ask(scene, PATH, 200, { bearer: token, headers })
  await ask(scene, PATH, 401, { bearer: token, headers })
  const wrong = createHmac('sha256', 'another key').update(PATH).digest('hex')
  secrets.add('a wrong signature', wrong)
  await ask(scene, PATH, 401, {
    bearer: token,
    headers: { ...signedHeaders(own), 'x-cli-signature': wrong }
  })
  const stale = signedHeaders({ ...own, timestamp: '1600000000000' })
  secrets.add('a late signature', String(stale['x-cli-signature']))
  await ask(scene, PATH, 401, { bearer: token, headers: stale })
  await ask(scene, PATH, 401, { bearer: token, headers: { 'x-cli-signature': wrong } })
}

/** Heads that no client library would send. */
async function sendHostile({ gate, answers }: Scene, token: string): Promise<void> {
  const auth = `Authorization: Bearer ${token}\r\n`
  const rest = 'Host: g\r\n'
  for (const [status, text] of [
    [400, `GET ${PATH} HTTP/1.1\r\n${rest}${auth}${auth}\r\n`],
    [400, `GET ${PATH}#${token} HTTP/1.1\r\n${rest}${auth}\r\n`],
    [400, `GET /${token}/../x HTTP/1.1\r\n${rest}\r\n`],
    [400, `${token} ${PATH} HTTP/1.1\r\n${rest}\r\n`],
    [400, `GET ${PATH} HTTP/1.1\r\n${rest}${auth}${token}\r\n\r\n`],
    [200, `GET ${PATH} HTTP/1.1\r\n${rest}${auth}X-${token}: 1\r\n\r\n`],
    [400, `GET ${PATH} HTTP/1.1\r\n${rest}${auth}Content-Length: ${token}\r\n\r\n`],
    [400, `GET ${PATH} HTTP/1.1\r\nHost: ${token}@g\r\n\r\n`],
    [400, `GET ${PATH} HTTP/1.1\r\n${rest}Connection: authorization\r\n${auth}\r\n`],
    [431, `GET ${PATH} HTTP/1.1\r\n${rest}${auth}X-A: ${token.repeat(600)}\r\n\r\n`]
  ] as const) {
    const result = await sendRaw(gate.port, text)
    if (result.answers[0]?.status !== status) {
      throw new Error(`${text.slice(0, 80)}: ${result.text}`)
    }
    answers.push(result.text)
  }
}

async function redisText({ redis }: Fleet): Promise<string> {
  const keys = await redis.command('KEYS', '*')
  const names = Array.isArray(keys) ? keys.map(String) : []
  const values = await redis.command('MGET', ...names)
  if (!Array.isArray(values) || values.includes(null)) throw new Error('a key that is no text')
  return names.map((name, i) => `${name} = ${String(values[i])}`).join('\n')
}

async function postgresText({ database }: Fleet): Promise<string> {
  const tables = await database.sql(
    `select format('%I.%I', schemaname, tablename) as name from pg_tables
     where schemaname not in ('pg_catalog', 'information_schema')`
  )
  const texts = tables.map(async ({ name }) => {
    const rows = await database.sql(`select r::text as row from ${String(name)} r`)
    return `${String(name)}\n${rows.map(({ row }) => String(row)).join('\n')}`
  })
  return (await Promise.all(texts)).join('\n')
}

/** The stores away: what drivers throw then knows statements and arguments. */
async function loseStores(scene: Scene, fleet: Fleet, token: string): Promise<void> {
  const headers = signedHeaders({ token, method: 'GET', path: PATH })
  scene.secrets.add('a signature while Redis is away', String(headers['x-cli-signature']))
  await fleet.redis.kill()
  await ask(scene, PATH, 503, { bearer: token, headers })
  await fleet.postgres.kill()
  const unknown = scene.secrets.token('a token while Postgres is away', makeToken(randomBytes))
  await ask(scene, PATH, 503, { bearer: unknown })
  const jwt = scene.secrets.jwt('a JWT while Postgres is away', await userJwt({ sub: 'user-3' }))
  await ask(scene, API, 503, { bearer: jwt, method: 'POST', body: { name: token } })
}

t.test('no token, JWT, signature or Authorization value is kept or told anywhere', async t => {
  const fleet = await startFleet(t, { env: { LOG_LEVEL: 'trace' } })
  const [gate] = fleet.gates
  if (!gate) throw new Error('no gate')
  const secrets = new Secrets()
  const scene: Scene = { gate, secrets, answers: [] }
  secrets.add('JWT_SECRET', JWT_SECRET)
  const jwt = secrets.jwt('the first JWT', await userJwt())
  const made = await createToken(gate, { name: 'kept and told' }, jwt)
  const token = secrets.token('the first token', made.token)
  const next = await useTokenApi(scene, token, made.id)
  await useService(scene, token)
  await useService(scene, next)
  await sign(scene, next)
  await sendHostile(scene, next)

  const admin = ['/metrics', '/coverage', '/replicas', '/livez', '/readyz', '/startupz']
  const told = await Promise.all(admin.map(async path => (await call(gate.adminUrl + path)).text))
  const postgres = await postgresText(fleet)
  const redis = await redisText(fleet)
  await loseStores(scene, fleet, next)
  await gate.stop()
  const log = gate.output()

  // The places are the right ones: what belongs there is there.
  t.ok(secrets.size > 30, `${secrets.size} texts are looked for`)
  t.match(log, made.id, 'the log tells the token’s id')
  t.match(log, /"code":"TOKEN_STORE_UNAVAILABLE"/, 'and the fault')
  t.match(redis, /^tollgate:nonce:\{\d+\}:[\w-]{22} = /m, 'Redis knows a nonce by its digest')
  t.ok(postgres.includes(hash('sha256', token, 'hex')), 'Postgres knows a token by its digest')
  t.ok(secrets.foundIn(`x ${Buffer.from(token).toString('hex')}`).length > 0, 'hex is recognised')

  t.same(secrets.foundIn(log), [], 'stdout and stderr')
  for (const [i, path] of admin.entries()) t.same(secrets.foundIn(told[i] ?? ''), [], path)
  t.same(secrets.foundIn(redis), [], 'Redis')
  t.same(secrets.foundIn(postgres), [], 'Postgres')
  t.same(secrets.foundIn(scene.answers.join('\n')), [], 'answers')
  const passed = fleet.upstream.requests.flatMap(request => request.all('authorization'))
  t.ok(passed.length > 0 && !passed.some(value => value.includes('ci_')), 'the service')
})
