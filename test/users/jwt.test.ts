import { createHmac, generateKeyPairSync, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import * as fc from 'fast-check'
import {
  CompactEncrypt,
  CompactSign,
  exportJWK,
  exportSPKI,
  generateKeyPair,
  type JWTPayload,
  SignJWT
} from 'jose'
import t, { type Test } from 'tap'
import { startKeyServer } from '../support/key-server.ts'
import { NOW, NOW_S, SECRET, verifierWorld } from '../support/verifier.ts'

const key = new TextEncoder().encode(SECRET)

/** One good user; each test spoils one thing. */
const claims = { sub: 'user-1', orgId: 'org-1', iat: NOW_S, exp: NOW_S + 3600 }
const user = { userId: 'user-1', orgId: 'org-1', expiresAtMs: NOW + 3_600_000 }
const good = await signed(claims)

/** Signed with the secret, whatever the header says. */
async function signed(payload: JWTPayload, header: object = {}): Promise<string> {
  return new SignJWT(payload).setProtectedHeader({ alg: 'HS256', ...header }).sign(key)
}

/** Text as it is, anything else as JSON. */
function part(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  return Buffer.from(text).toString('base64url')
}

/** Signed by hand: header and payload are these bytes. */
function forged(
  header: unknown,
  payload: unknown,
  hash = 'sha256',
  secret: string | Buffer = SECRET
) {
  const input = `${part(header)}.${part(payload)}`
  return `${input}.${createHmac(hash, secret).update(input).digest('base64url')}`
}

/** Each is refused, by a verifier that accepts the good one. */
async function refuses(t: Test, tokens: Readonly<Record<string, string>>, world = verifierWorld()) {
  for (const [what, jwt] of Object.entries(tokens))
    t.equal(await world.verify(jwt), 'invalid', what)
}

t.test('a JWT signed with the secret names the user, the organisation and the end', async t => {
  const { verify } = verifierWorld()
  t.same(await verify(good), user)
  t.same(await verify(forged({ alg: 'HS256' }, claims)), user, 'the hand-made one is as good')
  const { orgId: _, ...free } = claims
  t.same(await verify(await signed(free)), { ...user, orgId: null })
  t.same(await verify(forged({ alg: 'HS256' }, { ...claims, orgId: null })), {
    ...user,
    orgId: null
  })
  t.same(await verify(await signed(claims, { typ: 'JWT', kid: 'any', x5t: 'x' })), user)
})

t.test('J1: an algorithm that is none, missing, or a list is refused', async t => {
  const unsigned = `${good.split('.').slice(0, 2).join('.')}.`
  const none = (alg: unknown) => forged({ alg }, claims)
  await refuses(t, {
    'none without signature': `${none('none').split('.').slice(0, 2).join('.')}.`,
    'signature cut off': unsigned,
    'signature and its dot cut off': unsigned.slice(0, -1),
    none: none('none'),
    None: none('None'),
    nOnE: none('nOnE'),
    list: none(['HS256']),
    null: none(null),
    'lower case': none('hs256'),
    missing: forged({ typ: 'JWT' }, claims),
    'twice in the header': forged('{"alg":"HS256","alg":"HS256"}', claims)
  })
})

t.test('J3: with a secret, no other algorithm is good, by whatever key', async t => {
  const tokens: Record<string, string> = {}
  for (const alg of ['RS256', 'ES256', 'EdDSA']) {
    const { privateKey } = await generateKeyPair(alg)
    tokens[alg] = await new SignJWT(claims).setProtectedHeader({ alg }).sign(privateKey)
  }
  const long = randomBytes(64)
  tokens['HS512'] = await new SignJWT(claims).setProtectedHeader({ alg: 'HS512' }).sign(long)
  tokens['HS512 by the secret'] = forged({ alg: 'HS512' }, claims, 'sha512')
  tokens['another secret'] = forged({ alg: 'HS256' }, claims, 'sha256', 'x'.repeat(32))
  tokens['no secret'] = forged({ alg: 'HS256' }, claims, 'sha256', '')
  await refuses(t, tokens)
})

t.test('J4, J5: keys and addresses in the header are not used, and nothing is fetched', async t => {
  let connections = 0
  const listener = createServer().on('connection', () => (connections += 1))
  await once(listener.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => listener.close())
  const address = listener.address()
  const url = `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}/keys`
  const { publicKey, privateKey } = await generateKeyPair('ES256')
  const jwk = await exportJWK(publicKey)
  const own = (header: object) =>
    new CompactSign(Buffer.from(JSON.stringify(claims)))
      .setProtectedHeader({ alg: 'ES256', ...header })
      .sign(privateKey)
  const tokens = {
    jwk: await own({ jwk }),
    x5c: await own({ x5c: ['MIIB'] }),
    jku: await own({ jku: url }),
    x5u: await own({ x5u: url }),
    'kid of a file': await own({ kid: '../../dev/null' }),
    'kid as SQL': await own({ kid: "' OR 1=1" }),
    'kid of 6 KiB': await own({ kid: 'k'.repeat(6144) }),
    'kid as URL': await own({ kid: url }),
    'kid as number': forged({ alg: 'ES256', kid: 7 }, claims)
  }
  await refuses(t, tokens)
  t.equal(await verifierWorld().verify(forged({ alg: 'HS256', kid: 7 }, claims)), 'invalid')
  const issuer = await generateKeyPair('ES256')
  const server = await startKeyServer([{ ...(await exportJWK(issuer.publicKey)), kid: 'k1' }])
  t.teardown(() => server.close())
  await refuses(t, tokens, verifierWorld({ keys: { jwksUrl: server.url } }))
  t.equal(connections, 0)
  t.equal(server.asked(), 1)
})

t.test('J2: with public keys, an HMAC keyed with one of them is refused', async t => {
  const pair = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const jwk = { ...pair.publicKey.export({ format: 'jwk' }), kid: 'k1' }
  const server = await startKeyServer([jwk])
  t.teardown(() => server.close())
  const world = verifierWorld({ keys: { jwksUrl: server.url } })
  const issued = await new SignJWT(claims)
    .setProtectedHeader({ alg: 'RS256', kid: 'k1' })
    .sign(pair.privateKey)
  t.same(await world.verify(issued), user)
  const header = { alg: 'HS256', kid: 'k1' }
  const pem = await exportSPKI(pair.publicKey)
  const der = pair.publicKey.export({ format: 'der', type: 'spki' })
  await refuses(
    t,
    {
      PEM: forged(header, claims, 'sha256', pem),
      'PEM without its last line break': forged(header, claims, 'sha256', pem.trim()),
      DER: forged(header, claims, 'sha256', der),
      JWK: forged(header, claims, 'sha256', JSON.stringify(jwk)),
      modulus: forged(header, claims, 'sha256', String(jwk.n))
    },
    world
  )
})

t.test('J6: an ES256 signature of zeros is refused', async t => {
  const { publicKey, privateKey } = await generateKeyPair('ES256')
  const server = await startKeyServer([await exportJWK(publicKey)])
  t.teardown(() => server.close())
  const world = verifierWorld({ keys: { jwksUrl: server.url } })
  const issued = await new SignJWT(claims).setProtectedHeader({ alg: 'ES256' }).sign(privateKey)
  t.same(await world.verify(issued), user)
  const [header, payload] = issued.split('.')
  const zeros = `${header}.${payload}.${Buffer.alloc(64).toString('base64url')}`
  await refuses(t, { zeros }, world)
})

t.test('J7: issuer and audience are compared whole, when configured', async t => {
  const iss = 'https://issuer.test/'
  const aud = 'tollgate'
  const issuing = verifierWorld({ issuer: iss })
  t.same(await issuing.verify(await signed({ ...claims, iss })), user)
  await refuses(
    t,
    {
      missing: good,
      wrong: await signed({ ...claims, iss: 'https://other.test/' }),
      prefix: await signed({ ...claims, iss: 'https://issuer.test' }),
      longer: await signed({ ...claims, iss: `${iss}x` }),
      list: forged({ alg: 'HS256' }, { ...claims, iss: [iss] }),
      object: forged({ alg: 'HS256' }, { ...claims, iss: { 0: iss } })
    },
    issuing
  )
  const audience = verifierWorld({ audience: aud })
  t.same(await audience.verify(await signed({ ...claims, aud })), user)
  t.same(await audience.verify(await signed({ ...claims, aud: ['other', aud] })), user)
  await refuses(
    t,
    {
      missing: good,
      wrong: await signed({ ...claims, aud: 'other' }),
      part: await signed({ ...claims, aud: 'toll' }),
      'list without it': await signed({ ...claims, aud: ['other', 'tollgate2'] }),
      'text that holds it': await signed({ ...claims, aud: 'other,tollgate' }),
      'list in a list': forged({ alg: 'HS256' }, { ...claims, aud: [[aud]] })
    },
    audience
  )
  const loose = await signed({ ...claims, iss: 'any', aud: 'any' })
  t.same(await verifierWorld().verify(loose), user, 'unchecked where not configured')
})

t.test('J8: an expiry is required, a number, and ahead; the rest is not far ahead', async t => {
  const { exp: _, ...endless } = claims
  await refuses(t, {
    'exp missing': await signed(endless),
    'exp past': await signed({ ...claims, exp: NOW_S - 1 }),
    'exp now': await signed({ ...claims, exp: NOW_S }),
    'exp negative': await signed({ ...claims, exp: -1 }),
    'exp a string': forged({ alg: 'HS256' }, { ...claims, exp: String(claims.exp) }),
    'exp null': forged({ alg: 'HS256' }, { ...claims, exp: null }),
    'exp without end': forged({ alg: 'HS256' }, '{"sub":"user-1","exp":1e999}'),
    'exp twice': forged({ alg: 'HS256' }, `{"sub":"user-1","exp":1,"exp":${claims.exp}}`),
    'nbf ahead': await signed({ ...claims, nbf: NOW_S + 6 }),
    'nbf a string': forged({ alg: 'HS256' }, { ...claims, nbf: '0' }),
    'iat far ahead': await signed({ ...claims, iat: NOW_S + 301 }),
    'iat a string': forged({ alg: 'HS256' }, { ...claims, iat: '0' })
  })
  const { verify, time } = verifierWorld()
  t.same(await verify(await signed({ ...claims, nbf: NOW_S + 5, iat: NOW_S + 300 })), user)
  t.same(await verify(await signed({ sub: 'user-1', exp: claims.exp })), { ...user, orgId: null })
  time.nowMs = NOW + 3_599_999
  t.same(await verify(good), user)
  time.nowMs = NOW + 3_600_000
  t.equal(await verify(good), 'invalid', 'it expires while it is in use')
})

t.test('a refusal because of time needs both clocks, where they differ too much', async t => {
  const { verify, time } = verifierWorld()
  time.isTrusted = false
  time.nowMs = NOW + 7_200_000
  await t.rejects(verify(good), { code: 'CLOCK_UNSYNCHRONISED', status: 503 })
  time.wallMs = NOW + 7_200_000
  t.equal(await verify(good), 'invalid')
  time.nowMs = NOW
  t.same(await verify(good), user, 'what the database would accept is accepted')
})

t.test('J9: extensions, encryption and nesting are refused', async t => {
  const b64 = await new CompactSign(Buffer.from(JSON.stringify(claims)))
    .setProtectedHeader({ alg: 'HS256', b64: true, crit: ['b64'] })
    .sign(key)
  const encrypted = await new CompactEncrypt(Buffer.from(JSON.stringify(claims)))
    .setProtectedHeader({ alg: 'dir', enc: 'A256GCM' })
    .encrypt(randomBytes(32))
  await refuses(t, {
    'unknown crit': forged({ alg: 'HS256', crit: ['x'], x: 1 }, claims),
    'empty crit': forged({ alg: 'HS256', crit: [] }, claims),
    'crit of b64': b64,
    'b64 false': forged({ alg: 'HS256', b64: false, crit: ['b64'] }, claims),
    'b64 alone': forged({ alg: 'HS256', b64: false }, claims),
    zip: forged({ alg: 'HS256', zip: 'DEF' }, claims),
    JWE: encrypted,
    'enc in a signed one': forged({ alg: 'HS256', enc: 'A256GCM' }, claims),
    nested: forged({ alg: 'HS256', cty: 'JWT' }, good),
    'payload a list': forged({ alg: 'HS256' }, [claims]),
    'payload null': forged({ alg: 'HS256' }, 'null'),
    'payload empty': forged({ alg: 'HS256' }, ''),
    'payload no JSON': forged({ alg: 'HS256' }, 'x'),
    'header a list': forged(['HS256'], claims)
  })
})

t.test('J10: nothing stands around a token, and it has one text', async t => {
  const [header = '', payload = '', signature = ''] = good.split('.')
  await refuses(t, {
    'space before': ` ${good}`,
    'tab before': `\t${good}`,
    'line break after': `${good}\n`,
    prefix: `Bearer ${good}`,
    'padding after': `${good}=`,
    'padding inside': `${header}=.${payload}.${signature}`,
    'standard alphabet': good.replaceAll('-', '+').replaceAll('_', '/').concat('+'),
    'a fourth part': `${good}.${signature}`,
    'a dot before': `.${good}`
  })
  // 32 bytes are 43 characters: the last one has two spare bits, so four texts would be one token.
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  const last = alphabet.indexOf(good.slice(-1))
  for (const spare of [1, 2, 3]) {
    const twin = good.slice(0, -1) + alphabet.charAt(last + spare)
    t.same(Buffer.from(twin.slice(-43), 'base64url'), Buffer.from(signature, 'base64url'))
    t.equal(await verifierWorld().verify(twin), 'invalid', `spare bits ${spare}`)
  }
})

t.test('J12: the ids of user and organisation fit a header and a list', async t => {
  const bad = ['', 7, null, true, ['user-1'], {}, 'x'.repeat(129), 'a\r\nb', 'a,b', 'é', 'a\tb']
  const tokens: Record<string, string> = {}
  for (const sub of [...bad, ' a', 'a ', '\u007f']) {
    tokens[`sub ${JSON.stringify(sub)}`] = forged({ alg: 'HS256' }, { ...claims, sub })
  }
  const { sub: _, ...nobody } = claims
  tokens['sub missing'] = await signed(nobody)
  for (const orgId of ['', 7, ['o'], {}, 'x'.repeat(129), 'a,b', 'a\r\nb', false]) {
    tokens[`orgId ${JSON.stringify(orgId)}`] = forged({ alg: 'HS256' }, { ...claims, orgId })
  }
  await refuses(t, tokens)
  const { verify } = verifierWorld()
  for (const sub of [
    'x',
    'x'.repeat(128),
    'auth0|5f7c',
    'Ada Lovelace',
    '~!"#$%&\'()*+-./:;<=>?@[]^_`{}'
  ]) {
    t.same(await verify(await signed({ ...claims, sub })), { ...user, userId: sub })
  }
})

t.test('the claims that hold the ids are configured, by their whole name', async t => {
  const { verify } = verifierWorld({ userClaim: 'https://x.test/uid', orgClaim: 'tenant' })
  const other = { 'https://x.test/uid': 'u', tenant: 't', exp: claims.exp, sub: 's', orgId: 'o' }
  t.match(await verify(await signed(other)), { userId: 'u', orgId: 't' })
  t.equal(await verify(good), 'invalid', 'sub is not looked at then')
  const inherited = verifierWorld({ userClaim: 'constructor' })
  t.equal(await inherited.verify(good), 'invalid')
})

/** A good token of about this length, not longer. */
function padded(length: number): string {
  const missing = length - filled(0).length
  return filled(Math.floor((missing * 3) / 4))
}

function filled(length: number): string {
  return forged({ alg: 'HS256' }, { ...claims, fill: 'x'.repeat(length) })
}

t.test('J13: dots alone and tokens over 8 KiB are refused without parsing', async t => {
  const largest = padded(8192)
  t.ok(largest.length > 8180 && largest.length <= 8192)
  t.same(await verifierWorld().verify(largest), user)
  await refuses(t, {
    dots: '.'.repeat(8000),
    empty: '',
    'one part': 'x',
    large: padded(8200),
    huge: 'x'.repeat(10_000_000)
  })
})

t.test('J14: tokens of two users are never each other’s, whatever their parts share', async t => {
  const { verify } = verifierWorld()
  const other = await signed({ ...claims, sub: 'user-2' })
  for (const _ of [1, 2, 3]) {
    t.match(await verify(good), { userId: 'user-1' })
    t.match(await verify(other), { userId: 'user-2' })
  }
  const [header, payload] = good.split('.')
  await refuses(t, { crossed: `${header}.${payload}.${other.split('.')[2]}` })
})

t.test('a token with one character changed is refused, and never a fault', async t => {
  const { verify } = verifierWorld()
  const place = fc.nat(good.length - 1)
  const character = fc.oneof(
    fc.string({ minLength: 1, maxLength: 1 }),
    fc.constantFrom('.', '-', 'A')
  )
  await fc.assert(
    fc.asyncProperty(place, character, async (at, to) => {
      const changed = good.slice(0, at) + to + good.slice(at + 1)
      return changed === good || (await verify(changed)) === 'invalid'
    }),
    { numRuns: 500 }
  )
  const text = fc.oneof(fc.string(), fc.stringMatching(/^[\w-]{0,40}\.[\w-]{0,40}\.[\w-]{0,40}$/))
  await fc.assert(
    fc.asyncProperty(text, async jwt => (await verify(jwt)) === 'invalid'),
    { numRuns: 500 }
  )
  const json = fc.tuple(fc.jsonValue(), fc.jsonValue())
  await fc.assert(
    fc.asyncProperty(json, async ([header, payload]) => {
      return (await verify(forged(header, payload))) === 'invalid'
    }),
    { numRuns: 300 }
  )
  t.same(await verify(good), user)
})
