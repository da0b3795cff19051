/** After good and hostile traffic no secret of it is anywhere but with its owner. */
import t from 'tap'
import { startFleet } from '../support/fleet.ts'
import { call, createToken, eventually, userJwt } from '../support/gate.ts'
import { sendRaw } from '../support/raw.ts'
import { signedHeaders } from '../support/signer.ts'

const PATH = '/api/scans/dashboard'

t.test('no token, JWT, signature or password is in logs, metrics, Redis or Postgres', async t => {
  const { gates, redis, database, upstream } = await startFleet(t, { env: { LOG_LEVEL: 'trace' } })
  const [gate] = gates
  if (!gate) throw new Error('no gate')
  const jwt = await userJwt()
  const made = await createToken(gate, {}, jwt)
  const { token, id } = made
  const signed = signedHeaders({ token, method: 'GET', path: PATH })
  const signature = signed['x-cli-signature'] ?? ''
  const basic = Buffer.from(`user:${token}`).toString('base64')
  const lines = Object.entries(signed).map(([name, value]) => `${name}: ${value}\r\n`)
  const auth = `Authorization: Bearer ${token}\r\n`
  const ask = (target: string, headers: string) =>
    `GET ${target} HTTP/1.1\r\nHost: g\r\n${headers}\r\n`
  // Where a secret can stand, good and wrong, with answers of every kind.
  for (const send of [
    ask(PATH, auth),
    ask(PATH, `${auth}${lines.join('')}`),
    ask(PATH, `${auth}${lines.join('')}`),
    ask(PATH, `${auth}X-Request-Id: ${token}\r\n`),
    ask(PATH, `${auth}${auth}`),
    ask(PATH, `Authorization: Basic ${basic}\r\n`),
    ask(PATH, `Authorization: Bearer ${jwt}x\r\n`),
    ask(PATH, `Authorization: Bearer ${token}x\r\n`),
    ask(PATH, `Cookie: token=${token}\r\n`),
    ask(`${PATH}?access_token=${token}`, auth),
    ask(`/${token}/x`, auth),
    ask(`/api/nothing/${token}`, `Authorization: Bearer ${jwt}\r\n`),
    ask(PATH, `X-${token}: 1\r\n${auth}`),
    ask(PATH, `${auth}Bad ${token}\r\n`),
    ask('/api/auth/cli-tokens', auth),
    ask('/api/auth/cli-tokens', `Authorization: Bearer ${jwt}\r\n`),
    `${token} ${PATH} HTTP/1.1\r\n\r\n`
  ]) {
    const { answers } = await sendRaw(gate.port, send)
    t.ok(answers.length > 0, send.slice(0, 30))
  }
  const wrong = { name: token, scopes: [token], repositories: [jwt] }
  await call(`${gate.url}/api/auth/cli-tokens`, { method: 'POST', bearer: jwt, body: wrong })
  const metrics = await call(`${gate.adminUrl}/metrics`)
  const gone = await call(`${gate.url}/api/auth/cli-tokens/${id}`, {
    method: 'DELETE',
    bearer: jwt
  })
  t.equal(gone.status, 200)
  const coverage = await call(`${gate.adminUrl}/coverage`)
  await eventually('the log tells of the last one', () =>
    gate.output().includes('"method":"DELETE"')
  )

  const keys = await redis.command('KEYS', '*')
  const values: unknown[] = []
  for (const key of Array.isArray(keys) ? keys : []) {
    values.push(await redis.command('GET', String(key)).catch(() => 'no text'))
  }
  const tables = await database.sql(
    "SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) AS name FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
  )
  const rows: unknown[] = []
  for (const { name } of tables) rows.push(await database.sql(`SELECT * FROM ${String(name)}`))
  t.match(JSON.stringify(rows), id, 'the token’s row was among them')

  const places = {
    logs: gate.output(),
    metrics: metrics.text,
    coverage: coverage.text,
    Redis: JSON.stringify([keys, values]),
    Postgres: JSON.stringify(rows)
  }
  const secrets = { token, jwt, signature, basic, nonce: signed['x-cli-nonce'] ?? '' }
  for (const [place, text] of Object.entries(places)) {
    for (const [what, secret] of Object.entries(secrets)) {
      t.ok(secret.length > 20 && !text.includes(secret), `no ${what} in ${place}`)
    }
    t.notMatch(text, 'a-secret-of-at-least-thirty-two-bytes', place)
  }
  const authorization = upstream.requests.flatMap(request => request.all('authorization'))
  t.notOk(authorization.some(value => value.includes(token)))
})
