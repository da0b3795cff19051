import { generateKeyPairSync } from 'node:crypto'
import { exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose'
import t, { type Test } from 'tap'
import { startKeyServer } from '../support/key-server.ts'
import { NOW, NOW_S, verifierWorld } from '../support/verifier.ts'

const ALGORITHMS = ['RS256', 'ES256', 'EdDSA'] as const
const SECOND = 1000 // ms

const claims = { sub: 'user-1', exp: NOW_S + 86_400 }
const user = { userId: 'user-1', orgId: null, expiresAtMs: NOW + 86_400_000 }

interface IssuerKey {
  readonly jwk: JWK
  readonly issue: (header?: object) => Promise<string>
}

async function issuerKey(alg: string, kid: string): Promise<IssuerKey> {
  const { publicKey, privateKey } = await generateKeyPair(alg)
  return {
    jwk: { ...(await exportJWK(publicKey)), kid },
    issue: header =>
      new SignJWT(claims).setProtectedHeader({ alg, kid, ...header }).sign(privateKey)
  }
}

const keys = {
  RS256: await issuerKey('RS256', 'rsa'),
  ES256: await issuerKey('ES256', 'ec'),
  EdDSA: await issuerKey('EdDSA', 'ed')
}
const all = Object.values(keys).map(({ jwk }) => jwk)
const stranger = await issuerKey('ES256', 'stranger')

/** An issuer with one key of each kind, and a verifier that knows its address. */
async function issuing(t: Test, jwks: readonly JWK[] = all) {
  const server = await startKeyServer(jwks)
  t.teardown(() => server.close())
  return { server, ...verifierWorld({ keys: { jwksUrl: server.url } }) }
}

t.test('each algorithm is verified with the issuer’s key of its kind, by one fetch', async t => {
  const { server, verify, counted } = await issuing(t)
  t.equal(server.asked(), 0, 'nobody is asked before a token is there')
  for (const alg of ALGORITHMS) t.same(await verify(await keys[alg].issue()), user, alg)
  t.equal(server.asked(), 1)
  t.same(counted, ['key_set_fetches_total ok'])
})

t.test('a key is good for its own algorithm alone', async t => {
  const { verify } = await issuing(t)
  for (const [alg, kid] of [
    ['RS256', 'ec'],
    ['ES256', 'rsa'],
    ['EdDSA', 'ec'],
    ['ES256', 'ed']
  ] as const) {
    t.equal(await verify(await keys[alg].issue({ kid })), 'invalid', `${alg} by ${kid}`)
  }
  for (const alg of ['RS512', 'PS256', 'ES384']) {
    const other = await issuerKey(alg, 'other')
    const { verify: verifyOther } = await issuing(t, [other.jwk])
    t.equal(await verifyOther(await other.issue()), 'invalid', alg)
  }
})

t.test('a key for encryption, or of another algorithm by its own word, is not used', async t => {
  for (const change of [{ use: 'enc' }, { alg: 'ES384' }, { key_ops: ['encrypt'] }]) {
    const { verify } = await issuing(t, [{ ...keys.ES256.jwk, ...change }])
    t.equal(await verify(await keys.ES256.issue()), 'invalid', JSON.stringify(change))
  }
  for (const change of [{ use: 'sig' }, { alg: 'ES256' }, { key_ops: ['verify'] }]) {
    const { verify } = await issuing(t, [{ ...keys.ES256.jwk, ...change }])
    t.same(await verify(await keys.ES256.issue()), user, JSON.stringify(change))
  }
})

t.test('a token that names no key is tried with each that fits', async t => {
  const second = await issuerKey('ES256', 'ec-2')
  const { verify } = await issuing(t, [keys.ES256.jwk, second.jwk])
  t.same(await verify(await keys.ES256.issue({ kid: undefined })), user)
  t.same(await verify(await second.issue({ kid: undefined })), user)
  t.equal(await verify(await stranger.issue({ kid: undefined })), 'invalid')
})

t.test('many at once cost one fetch', async t => {
  const { server, verify } = await issuing(t)
  const jwt = await keys.ES256.issue()
  const users = await Promise.all(Array.from({ length: 50 }, () => verify(jwt)))
  t.same(new Set(users.map(found => JSON.stringify(found))).size, 1)
  t.same(users[0], user)
  t.equal(server.asked(), 1)
})

t.test('J15: 1 000 unknown keys cause at most one fetch in 30 s', async t => {
  const { server, verify, pass, counted } = await issuing(t)
  await verify(await keys.ES256.issue())
  pass(30 * SECOND)
  const unknown = async (kid: string) => verify(await stranger.issue({ kid }))
  for (let i = 0; i < 500; i++) t.equal(await unknown(`k${i}`), 'invalid')
  await Promise.all(Array.from({ length: 500 }, (_, i) => unknown(`k${500 + i}`)))
  t.equal(server.asked(), 2)
  pass(30 * SECOND - 1)
  await unknown('late')
  t.equal(server.asked(), 2)
  pass(1)
  await unknown('later')
  t.equal(server.asked(), 3)
  t.equal(counted.filter(line => line.endsWith('cooldown')).length, 1000)
})

t.test('a key that the issuer adds is accepted after the cool-down', async t => {
  const { server, verify, pass } = await issuing(t)
  await verify(await keys.ES256.issue())
  server.answer([...all, stranger.jwk])
  t.equal(await verify(await stranger.issue()), 'invalid')
  pass(30 * SECOND)
  t.same(await verify(await stranger.issue()), user)
})

t.test('a key that the issuer takes out is refused once the set is old', async t => {
  const { server, verify, pass } = await issuing(t)
  const jwt = await keys.ES256.issue()
  t.same(await verify(jwt), user)
  server.answer([keys.RS256.jwk])
  pass(600 * SECOND)
  t.same(await verify(jwt), user)
  pass(1)
  t.same(await verify(jwt), user, 'nobody waits for the look at the newer set')
  const deadline = Date.now() + 5000
  while ((await verify(jwt)) !== 'invalid' && Date.now() < deadline) await tick()
  t.equal(await verify(jwt), 'invalid')
  t.equal(server.asked(), 2)
})

/** Lets the sockets work. */
function tick(): Promise<void> {
  return new Promise(resolve => setImmediate(resolve))
}

t.test('J16: out of reach, known keys go on and unknown ones are 503', async t => {
  const { server, verify, pass, logged, counted } = await issuing(t)
  const known = await keys.ES256.issue()
  t.same(await verify(known), user)
  await server.close()
  pass(30 * SECOND)
  for (const _ of [1, 2, 3]) {
    await t.rejects(verify(await stranger.issue()), { code: 'KEY_SET_UNAVAILABLE', status: 503 })
  }
  t.same(await verify(known), user)
  t.same(logged, ['key set out of reach'])
  t.equal(counted.filter(line => line.endsWith('error')).length, 1)
  pass(3600 * SECOND)
  t.same(await verify(known), user, 'an hour later too')
  await t.rejects(verify(await stranger.issue()), { code: 'KEY_SET_UNAVAILABLE' })
  t.equal(logged.length, 1, 'told once')
})

t.test('without any set there is no verdict, and the issuer’s return is soon seen', async t => {
  const { server, verify, pass, logged } = await issuing(t)
  const jwt = await keys.ES256.issue()
  server.answer(response => response.writeHead(500).end('broken'))
  await t.rejects(verify(jwt), { code: 'KEY_SET_UNAVAILABLE' })
  server.answer(all)
  await t.rejects(verify(jwt), { code: 'KEY_SET_UNAVAILABLE' }, 'not asked again at once')
  t.equal(server.asked(), 1)
  pass(2 * SECOND)
  t.same(await verify(jwt), user)
  t.same(logged, ['key set out of reach', 'key set reachable again'])
  t.equal(await verify(await stranger.issue()), 'invalid', 'there are verdicts again')
})

t.test('an answer that is no key set is none, and leaves the last good one', async t => {
  const { server, verify, pass } = await issuing(t)
  const known = await keys.ES256.issue()
  await verify(known)
  const bad: [string, Parameters<typeof server.answer>[0]][] = [
    ['HTML', response => response.end('<html>')],
    ['null', response => response.end('null')],
    ['no list', response => response.end('{"keys":{}}')],
    ['members that are no keys', response => response.end('{"keys":["x"]}')],
    ['cut off', response => response.write('{"keys":[', () => response.destroy())],
    ['not found', response => response.writeHead(404).end('{"keys":[]}')],
    ['redirect', response => response.writeHead(302, { location: server.url }).end()]
  ]
  for (const [what, reply] of bad) {
    pass(30 * SECOND)
    server.answer(reply)
    const asked = server.asked()
    await t.rejects(verify(await stranger.issue()), { code: 'KEY_SET_UNAVAILABLE' }, what)
    t.equal(server.asked(), asked + 1, `${what}: asked once, nothing is followed`)
    t.same(await verify(known), user, what)
  }
})

t.test('an address that hangs is given up after 5 s', async t => {
  const { server, verify } = await issuing(t)
  const isAsked = Promise.withResolvers<void>()
  server.answer(() => isAsked.resolve())
  const refused = t.rejects(verify(await keys.ES256.issue()), { code: 'KEY_SET_UNAVAILABLE' })
  await isAsked.promise
  const startedAt = performance.now()
  await refused
  const waitedMs = performance.now() - startedAt
  t.ok(waitedMs > 4000 && waitedMs < 15_000, `${waitedMs} ms`)
})

t.test('a broken key of the issuer is not the caller’s fault', async t => {
  const broken = { ...keys.ES256.jwk, x: 'AAAA' }
  const { verify } = await issuing(t, [broken])
  await t.rejects(verify(await keys.ES256.issue()), { code: 'KEY_SET_UNAVAILABLE' })
  const pair = generateKeyPairSync('rsa', { modulusLength: 1024 })
  const weak = await issuing(t, [{ ...pair.publicKey.export({ format: 'jwk' }), kid: 'rsa' }])
  await t.rejects(weak.verify(await keys.RS256.issue()), 'a key too short to trust')
})

t.test('a wall clock that is set back does not stop the fetching', async t => {
  const { server, verify, time } = await issuing(t)
  await verify(await keys.ES256.issue())
  server.answer([stranger.jwk])
  time.wallMs -= 3600 * SECOND
  t.same(await verify(await stranger.issue()), user)
})
