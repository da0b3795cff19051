/**
 * JWTs that claim too much, as bytes at a whole gate. Each is refused as any other invalid one, and
 * whatever an address in it says, nobody is asked there.
 */
import { createHmac, generateKeyPairSync, randomBytes } from 'node:crypto'
import {
  CompactEncrypt,
  CompactSign,
  exportJWK,
  exportSPKI,
  generateKeyPair,
  type JWK,
  SignJWT
} from 'jose'
import t, { type Test } from 'tap'
import { createUserVerifier, type UserVerifierOptions } from '../../src/users/jwt.ts'
import { runTollgate } from '../support/gate.ts'
import { startKeyServer } from '../support/key-server.ts'
import { sendRaw } from '../support/raw.ts'
import { get, type Range, type Row, startRange, tryRows } from './support/rows.ts'
import { startSockets } from './support/sockets.ts'

const SECRET = 'a-secret-of-at-least-thirty-two-bytes'
const nowS = Math.floor(Date.now() / 1000)
const claims = { sub: 'user-1', iat: nowS, exp: nowS + 3600 }

function part(value: unknown): string {
  return Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString(
    'base64url'
  )
}

/** Signed by hand: header and payload are these bytes. */
function forged(header: unknown, payload: unknown, secret = SECRET, digest = 'sha256'): string {
  const input = `${part(header)}.${part(payload)}`
  return `${input}.${createHmac(digest, secret).update(input).digest('base64url')}`
}

const HS256 = { alg: 'HS256' }
const good = forged(HS256, claims)

/** A gate that verifies users as the product does. */
async function startUsers(t: Test, options: Partial<UserVerifierOptions> = {}): Promise<Range> {
  const log = { info: () => undefined, warn: () => undefined, error: () => undefined }
  const users = createUserVerifier({
    keys: { secret: SECRET },
    issuer: undefined,
    audience: undefined,
    userClaim: 'sub',
    orgClaim: 'orgId',
    clock: { nowMs: () => Date.now(), wallMs: () => Date.now(), isTrusted: () => true },
    observer: { count: () => undefined, measure: () => undefined, gauge: () => undefined },
    log,
    ...options
  })
  const range = await startRange(t, { deps: { users } })
  const { keys } = options
  if (keys && 'jwksUrl' in keys) range.mayDial.push(new URL(keys.jwksUrl).host)
  return range
}

const people = (jwt: string) => get('/api/people', `Authorization: Bearer ${jwt}\r\n`)

async function refuses(t: Test, range: Range, jwts: Readonly<Record<string, string>>) {
  await tryRows(
    t,
    range,
    Object.entries(jwts).map(([name, jwt]): Row => ({
      name,
      send: people(jwt),
      status: 401,
      code: 'INVALID_TOKEN',
      message: 'Invalid token',
      saw: 0
    }))
  )
}

async function accepts(t: Test, range: Range, jwt: string, userId = 'user-1') {
  const row = { name: 'the good one', send: people(jwt), status: 200, saw: 1 } as const
  await tryRows(t, range, [{ ...row, has: { 'x-ci-user-id': [userId], 'x-ci-auth': ['jwt'] } }])
}

t.test('J1, J3: a secret verifies one algorithm', async t => {
  const range = await startUsers(t)
  await accepts(t, range, good)
  const jwts: Record<string, string> = {
    'CVE-2015-9235 jsonwebtoken, without signature': `${part({ alg: 'none' })}.${part(claims)}.`,
    'the signature cut off': `${good.slice(0, good.lastIndexOf('.'))}.`,
    'HS512 by the secret': forged({ alg: 'HS512' }, claims, SECRET, 'sha512'),
    'another secret': forged(HS256, claims, 'x'.repeat(32)),
    'an empty secret': forged(HS256, claims, '')
  }
  for (const alg of ['none', 'None', 'nOnE', ['HS256'], null, undefined]) {
    jwts[`alg ${JSON.stringify(alg)}`] = forged({ alg }, claims)
  }
  for (const alg of ['RS256', 'ES256', 'EdDSA']) {
    const { privateKey } = await generateKeyPair(alg)
    jwts[alg] = await new SignJWT(claims).setProtectedHeader({ alg }).sign(privateKey)
  }
  await refuses(t, range, jwts)
})

t.test(
  'J2, J4, J5, J6: public keys verify what their owner signed, and nobody else’s are used',
  async t => {
    const listener = await startSockets(t, () => undefined)
    const pair = generateKeyPairSync('rsa', { modulusLength: 2048 })
    const ec = await generateKeyPair('ES256')
    const jwk: JWK = { ...pair.publicKey.export({ format: 'jwk' }), kid: 'k1' }
    const server = await startKeyServer([jwk, { ...(await exportJWK(ec.publicKey)), kid: 'k2' }])
    t.teardown(() => server.close())
    const range = await startUsers(t, { keys: { jwksUrl: server.url } })
    const issued = await new SignJWT(claims)
      .setProtectedHeader({ alg: 'RS256', kid: 'k1' })
      .sign(pair.privateKey)
    await accepts(t, range, issued)
    const pem = await exportSPKI(pair.publicKey)
    const header = { alg: 'HS256', kid: 'k1' }
    const stranger = await generateKeyPair('ES256')
    const own = async (more: object) =>
      new CompactSign(Buffer.from(JSON.stringify(claims)))
        .setProtectedHeader({ alg: 'ES256', ...more })
        .sign(stranger.privateKey)
    const url = `${listener.url}/keys`
    await refuses(t, range, {
      'CVE-2016-10555 jwt-simple, PEM': forged(header, claims, pem),
      'CVE-2023-48223 fast-jwt, PEM without its end': forged(header, claims, pem.trim()),
      'CVE-2022-29217 PyJWT, JWK': forged(header, claims, JSON.stringify(jwk)),
      'CVE-2018-0114 node-jose': await own({ jwk: await exportJWK(stranger.publicKey) }),
      x5c: await own({ x5c: ['MIIB'] }),
      jku: await own({ jku: url }),
      x5u: await own({ x5u: url }),
      'kid of a file': await own({ kid: '../../dev/null' }),
      'kid as SQL': await own({ kid: "' OR 1=1" }),
      'kid of 6 KiB': await own({ kid: 'k'.repeat(6144) }),
      'kid as number': forged({ alg: 'ES256', kid: 7 }, claims),
      'CVE-2022-21449 Java': `${part({ alg: 'ES256', kid: 'k2' })}.${part(claims)}.${Buffer.alloc(64).toString('base64url')}`
    })
    t.equal(listener.seen.opened, 0, 'no address of a header was dialled')
    t.equal(server.asked(), 1)
  }
)

t.test('J7: issuer and audience are compared whole', async t => {
  const iss = 'https://issuer.test/'
  const range = await startUsers(t, { issuer: iss, audience: 'tollgate' })
  const whole = { ...claims, iss, aud: 'tollgate' }
  await accepts(t, range, forged(HS256, whole))
  await refuses(t, range, {
    'no iss': forged(HS256, { ...claims, aud: 'tollgate' }),
    'CVE-2025-30144 fast-jwt': forged(HS256, { ...whole, iss: [iss, 'x'] }),
    'CVE-2024-53861 PyJWT': forged(HS256, { ...whole, iss: 'https://issuer' }),
    'a longer iss': forged(HS256, { ...whole, iss: `${iss}x` }),
    'no aud': forged(HS256, { ...claims, iss }),
    'another aud': forged(HS256, { ...whole, aud: 'other' }),
    'a part of aud': forged(HS256, { ...whole, aud: 'toll' })
  })
})

t.test('J8, J9, J10: time, extensions and text are taken strictly', async t => {
  const range = await startUsers(t)
  const soon = forged(HS256, { sub: 'user-1', exp: Math.ceil(Date.now() / 1000) + 1 })
  await accepts(t, range, soon)
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  const last = alphabet.indexOf(good.slice(-1))
  await refuses(t, range, {
    'no exp': forged(HS256, { sub: 'user-1' }),
    'exp past': forged(HS256, { ...claims, exp: nowS - 1 }),
    'exp a string': forged(HS256, { ...claims, exp: String(claims.exp) }),
    'nbf ahead': forged(HS256, { ...claims, nbf: nowS + 600 }),
    'iat far ahead': forged(HS256, { ...claims, iat: nowS + 6000 }),
    'unknown crit': forged({ ...HS256, crit: ['x'], x: 1 }, claims),
    'b64 false': forged({ ...HS256, b64: false, crit: ['b64'] }, claims),
    zip: forged({ ...HS256, zip: 'DEF' }, claims),
    nested: forged({ ...HS256, cty: 'JWT' }, good),
    'CVE-2024-28176 jose': await new CompactEncrypt(Buffer.from(JSON.stringify(claims)))
      .setProtectedHeader({ alg: 'dir', enc: 'A256GCM' })
      .encrypt(randomBytes(32)),
    'a space before': ` ${good}`,
    'CVE-2026-34950 fast-jwt': `\t${good}`,
    'a prefix': `Bearer ${good}`,
    'padding after': `${good}=`,
    'spare bits': good.slice(0, -1) + alphabet.charAt(last + 1)
  })
  await new Promise(resolve => setTimeout(resolve, 2100))
  await refuses(t, range, { 'expired since it was used': soon })
})

t.test('J11: a secret that can be guessed is no setting', async t => {
  for (const secret of ['', 'x'.repeat(31)]) {
    const { child, output } = runTollgate({ env: { JWT_SECRET: secret, PORT: '0' } })
    const code = await new Promise(resolve => child.once('exit', resolve))
    t.equal(code, 2, `GHSA-gmvf-9v4p-v8jc fast-jwt, ${secret.length} bytes`)
    t.match(output(), 'JWT_SECRET')
  }
})

t.test('J12, J13, J14: an identity fits its header, and is nobody else’s', async t => {
  const range = await startUsers(t)
  const subs = ['', 7, 'x'.repeat(129), 'a\r\nx-ci-scopes: *', 'a,b', null, ['user-1']]
  const [header = '', payload = ''] = good.split('.')
  const other = forged(HS256, { ...claims, sub: 'user-2' })
  await refuses(t, range, {
    ...Object.fromEntries(
      subs.map(sub => [`sub ${JSON.stringify(sub)}`, forged(HS256, { ...claims, sub })])
    ),
    'no sub': forged(HS256, { exp: claims.exp }),
    'an orgId of two lines': forged(HS256, { ...claims, orgId: 'o\r\nx: 1' }),
    'CVE-2025-30204 golang-jwt': '.'.repeat(8000),
    'over 8 KiB': forged(HS256, { ...claims, fill: 'x'.repeat(7000) }),
    'GHSA-rp9m-7r4c-75qg fast-jwt': `${header}.${payload}.${other.split('.')[2]}`
  })
  for (const _ of [1, 2]) {
    await accepts(t, range, good)
    await accepts(t, range, other, 'user-2')
  }
})

t.test(
  'J15, J16: a key set is asked rarely, and its absence is nobody’s fault but ours',
  async t => {
    const ec = await generateKeyPair('ES256')
    const stranger = await generateKeyPair('ES256')
    const server = await startKeyServer([{ ...(await exportJWK(ec.publicKey)), kid: 'k1' }])
    t.teardown(() => server.close())
    let nowMs = Date.now()
    const clock = { nowMs: () => nowMs, wallMs: () => nowMs, isTrusted: () => true }
    const range = await startUsers(t, { keys: { jwksUrl: server.url }, clock })
    const issue = (kid: string, by: CryptoKey) =>
      new SignJWT(claims).setProtectedHeader({ alg: 'ES256', kid }).sign(by)
    const known = await issue('k1', ec.privateKey)
    await accepts(t, range, known)
    const flood = await Promise.all(
      Array.from({ length: 200 }, (_, i) => issue(`x${i}`, stranger.privateKey))
    )
    for (let i = 0; i < 1000; i += 50) {
      const statuses = await Promise.all(
        flood.slice(i % 200, (i % 200) + 50).map(async jwt => {
          const { answers } = await sendRaw(range.proxy.port, people(jwt), { closingMs: 0 })
          return answers[0]?.status
        })
      )
      t.same(new Set(statuses), new Set([401]))
    }
    t.ok(server.asked() <= 2, `${server.asked()} fetches`)
    await server.close()
    nowMs += 30_000
    const { answers } = await sendRaw(range.proxy.port, people(flood[0] ?? ''))
    t.match(answers[0], { status: 503, json: { code: 'KEY_SET_UNAVAILABLE' } })
    t.match(answers[0]?.headers['retry-after'], /^\d+$/)
    await accepts(t, range, known)
  }
)

t.test('J17: what begins as a token is one', async t => {
  const range = await startUsers(t)
  await tryRows(t, range, [
    {
      name: 'token confusion',
      send: get('/api/a/1', `Authorization: Bearer ci_${good}\r\n`),
      status: 401,
      code: 'INVALID_CLI_TOKEN',
      message: 'Invalid or expired CLI token',
      saw: 0
    }
  ])
  t.equal(range.proxy.counts.get('tokens_refused_total unknown'), undefined, 'nobody was asked')
})
