import t from 'tap'
import { type Decision, Fault } from '../../src/core/decision.ts'
import { createGate, type GateDeps } from '../../src/core/gate.ts'
import type { BodyHolder, TokenEntry } from '../../src/core/ports.ts'
import type { TokenRow, User } from '../../src/core/principal.ts'
import type { Match, Rule, RouteTable } from '../../src/core/rule.ts'
import { sign } from '../../src/core/signature.ts'
import { digestToken } from '../../src/core/token.ts'

const TOKEN = 'ci_GoldenVector0OnlyForTests000001xNBA0'
const NOW = 1_800_000_000_000 // ms; every test runs at this instant
const HOUR = 3_600_000

const token: TokenRow = {
  id: '0190c5a0-0000-7000-8000-000000000001',
  digest: digestToken(TOKEN),
  preview: 'ci_Gold…NBA0',
  userId: 'u1',
  orgId: 'o1',
  name: 'ci',
  scopes: ['scans:read'],
  repositories: null,
  requireSignature: false,
  createdAtMs: NOW - HOUR,
  lastUsedAtMs: null,
  expiresAtMs: NOW + HOUR,
  revokedAtMs: null
}

const rule: Rule = {
  key: 'POST /api/scans/{id}',
  methods: ['POST'],
  isWildcard: false,
  path: '/api/scans/{id}',
  params: ['id'],
  need: { kind: 'all', scopes: ['scans:read'] },
  bindings: [{ kind: 'path', name: 'id', index: 0 }],
  signature: 'optional',
  mode: 'enforce',
  upstream: 'default',
  timeoutMs: 30_000,
  upgrade: undefined,
  why: undefined,
  place: { file: 'routes.yaml', line: 1, col: 1 }
}

/** One good world; each test spoils one thing of it. */
interface World {
  readonly match: Match
  readonly mode: 'enforce' | 'report'
  readonly row: TokenRow
  readonly user: User | 'invalid'
  readonly nonce: 'new' | 'used' | Fault
  readonly skewMs: number
  readonly query: 'either' | 'required'
  readonly peek: TokenEntry | 'unknown' | undefined
  readonly lapse: 'lease' | 'entry' | undefined
  readonly isOverloaded: boolean
}

function world(spoiled: Partial<World> = {}) {
  const row = spoiled.row ?? token
  const entry = { row }
  const made: World = {
    match: { kind: 'rule', rule, params: ['r1'] },
    mode: 'enforce',
    row,
    user: { userId: 'u1', orgId: null, expiresAtMs: NOW + HOUR },
    nonce: 'new',
    skewMs: 0,
    query: 'either',
    peek: entry,
    lapse: undefined,
    isOverloaded: false,
    ...spoiled
  }
  const table: RouteTable = {
    match: () => made.match,
    rules: [rule],
    scopes: new Map(
      ['scans:read', 'scans:trigger'].map(name => [
        name,
        { name, title: name, about: '', risk: 'low', isDefault: false, implies: [] }
      ])
    ),
    upstreams: new Map(),
    mode: made.mode,
    options: 'deny',
    timeoutMs: 30_000,
    hash: '0'.repeat(64),
    hasPage: false,
    effectiveScopes: granted => granted
  }
  const clock = { nowMs: NOW }
  const seen = { counts: [] as string[], claims: 0, lookUps: 0, used: 0, verified: 0 }
  const deps: GateDeps = {
    routes: () => table,
    tokens: {
      peek: () => made.peek,
      find: async () => {
        seen.lookUps++
        return entry
      },
      lapse: () => made.lapse
    },
    users: {
      verify: async () => {
        seen.verified++
        return made.user
      }
    },
    uses: { used: () => seen.used++ },
    load: {
      admit: () => {
        if (made.isOverloaded) throw new Fault('OVERLOADED')
      }
    },
    nonces: {
      claim: async () => {
        seen.claims++
        if (made.nonce instanceof Fault) throw made.nonce
        return made.nonce
      }
    },
    clock: {
      nowMs: () => clock.nowMs,
      wallMs: () => clock.nowMs + made.skewMs,
      isTrusted: () => made.skewMs === 0
    },
    observer: {
      count: (name, labels) => seen.counts.push(`${name} ${Object.values(labels ?? {}).join(' ')}`),
      measure: () => {},
      gauge: () => {}
    },
    signing: {
      windowMs: 300_000,
      bodyLimitBytes: 1000,
      query: made.query,
      body: 'raw-or-canonical'
    }
  }
  return { gate: createGate(deps), seen, clock }
}

const NO_BODY: BodyHolder = { hold: async () => new Uint8Array() }
const holding = (text: string): BodyHolder => ({ hold: async () => Buffer.from(text) })

interface Sent {
  readonly method?: string
  readonly target?: string
  readonly authorization?: string | undefined
  readonly headers?: readonly string[]
  readonly body?: BodyHolder
}

function request(sent: Sent = {}) {
  const { method = 'POST', target = '/api/scans/r1', headers = [], body = NO_BODY } = sent
  const authorization = 'authorization' in sent ? sent.authorization : `Bearer ${TOKEN}`
  const bearer = authorization === undefined ? [] : ['Authorization', authorization]
  const rawHeaders = ['Host', 'gate', ...bearer, ...headers]
  return { method, rawTarget: target, httpVersion: '1.1', rawHeaders, body }
}

/** `permit`, `own`, or the denial's status, code and reason. */
function word(decision: Decision): string {
  if (decision.kind !== 'denial') return decision.kind
  const { error } = decision.body
  return [
    decision.status,
    decision.code,
    typeof error === 'string' ? error : (decision.reason ?? '')
  ]
    .join(' ')
    .trim()
}

const decide = async (spoiled: Partial<World> = {}, sent: Sent = {}) =>
  word(await world(spoiled).gate.decide(request(sent)))

const matching = (changes: Partial<Rule>): Match => ({
  kind: 'rule',
  rule: { ...rule, ...changes },
  params: ['r1']
})

t.test('a cached token that may is permitted at once, without a promise', async t => {
  const { gate, seen } = world()
  const decision = gate.decide(request())
  if (!('kind' in decision) || decision.kind !== 'permit') throw new Error('not a permit')
  t.equal(decision.rule, rule)
  t.same(decision.principal, { kind: 'cli-token', token })
  t.equal(decision.target.raw, '/api/scans/r1')
  t.equal(decision.signed, false)
  t.equal(decision.lapse(), undefined)
  t.same(seen, {
    counts: ['signatures_total unsigned'],
    claims: 0,
    lookUps: 0,
    used: 1,
    verified: 0
  })
})

t.test('a token that is not cached is looked up, an unknown one is refused', async t => {
  const { gate, seen } = world({ peek: undefined })
  t.equal(word(await gate.decide(request())), 'permit')
  t.equal(seen.lookUps, 1)
  t.equal(await decide({ peek: 'unknown' }), '401 INVALID_CLI_TOKEN unknown')
})

t.test('a malformed token costs no query', async t => {
  const { gate, seen } = world({ peek: undefined })
  const sent = { authorization: `Bearer ${TOKEN.slice(0, -1)}1` }
  t.equal(word(await gate.decide(request(sent))), '401 INVALID_CLI_TOKEN malformed')
  t.equal(seen.lookUps, 0)
})

t.test('the target and the route are decided before any credential is read', async t => {
  t.equal(await decide({}, { target: '/api/../x' }), '400 MALFORMED_REQUEST target')
  const none = { authorization: undefined }
  t.equal(await decide({ match: { kind: 'none' } }, none), '403 ROUTE_DENIED')
  t.equal(await decide({ match: matching({ need: { kind: 'deny' } }) }, none), '403 ROUTE_DENIED')
  t.equal(await decide({ match: { kind: 'near-miss' } }, none), '400 MALFORMED_REQUEST near-miss')
  t.equal(await decide({}, { headers: ['Host', 'second'] }).then(w => w.slice(0, 3)), '400')
})

t.test('a credential is needed, and of a kind the rule takes', async t => {
  t.equal(await decide({}, { authorization: undefined }), '401 NO_TOKEN')
  t.equal(await decide({}, { authorization: 'Bearer a b' }), '401 INVALID_TOKEN unusable')
  const jwtOnly = { match: matching({ need: { kind: 'jwt' }, bindings: undefined }) }
  t.equal(await decide(jwtOnly), '403 JWT_REQUIRED')
  t.equal(await decide(jwtOnly, { authorization: 'Bearer ey.J.x' }), 'permit')
  t.equal(
    await decide({ user: 'invalid' }, { authorization: 'Bearer ey.J.x' }),
    '401 INVALID_TOKEN'
  )
})

t.test('public rules and OPTIONS by the file identify nobody', async t => {
  for (const match of [matching({ need: { kind: 'public' } }), { kind: 'options' } as const]) {
    const decision = await world({ match }).gate.decide(request({ authorization: undefined }))
    if (decision.kind !== 'permit') throw new Error('not a permit')
    t.same(decision.principal, { kind: 'none' })
    t.equal(decision.lapse(), undefined)
    t.equal(await decision.again(), decision)
  }
})

t.test('U8, U9: a handshake is judged by its rule, before any credential', async t => {
  const tunnel = matching({ upgrade: 'websocket', methods: ['GET'] })
  const upgrade = ['Connection', 'Upgrade', 'Upgrade', 'websocket']
  const key = ['Sec-WebSocket-Key', 'dGhlIHNhbXBsZSBub25jZQ==']
  const handshake = (version: string) => ({
    method: 'GET',
    headers: [...upgrade, ...key, 'Sec-WebSocket-Version', version]
  })
  t.equal(await decide({ match: tunnel }, handshake('13')), 'permit')
  t.equal(await decide({ match: tunnel }, handshake('12')), '400 MALFORMED_REQUEST handshake')
  const nobody = { ...handshake('12'), authorization: undefined }
  t.equal(await decide({ match: tunnel }, nobody), '400 MALFORMED_REQUEST handshake')
  t.equal(await decide({ match: tunnel }, { ...nobody, ...handshake('13') }), '401 NO_TOKEN')
  t.equal(await decide({ match: tunnel }), 'permit', 'a plain request passes as ever')
  t.equal(await decide({}, handshake('12')), 'permit', 'elsewhere Upgrade is no wish to grant')
})

t.test('revoked and expired tokens are refused by database time', async t => {
  const revoked = { ...token, revokedAtMs: NOW - 1 }
  t.equal(await decide({ row: revoked }), '401 INVALID_CLI_TOKEN revoked')
  t.equal(await decide({ row: { ...token, expiresAtMs: NOW } }), '401 INVALID_CLI_TOKEN expired')
  t.equal(await decide({ row: { ...token, expiresAtMs: NOW + 1 } }), 'permit')
  t.equal(await decide({ row: { ...token, expiresAtMs: null } }), 'permit')
})

t.test('clocks that disagree refuse nobody alone: the fault is ours', async t => {
  const row = { ...token, expiresAtMs: NOW }
  await t.rejects(async () => decide({ row, skewMs: -HOUR }), { code: 'CLOCK_UNSYNCHRONISED' })
  t.equal(await decide({ row, skewMs: HOUR }), '401 INVALID_CLI_TOKEN expired')
})

t.test('organisation, scope and repository must be allowed', async t => {
  t.equal(await decide({}, { headers: ['X-Org-Id', 'o2'] }), '403 ORGANIZATION_DENIED')
  t.equal(await decide({}, { headers: ['X-Org-Id', 'o1'] }), 'permit')
  const scopes = ['scans:trigger']
  t.match(await decide({ row: { ...token, scopes } }), '403 INSUFFICIENT_SCOPE')
  t.equal(await decide({ row: { ...token, repositories: ['r1'] } }), 'permit')
  t.match(await decide({ row: { ...token, repositories: ['r2'] } }), '403 REPOSITORY_DENIED')
})

const bodyRule = matching({ bindings: [{ kind: 'body', name: 'repo' }] })
const json = (text: string) => ({
  headers: ['Content-Type', 'application/json', 'Content-Length', String(Buffer.byteLength(text))],
  body: holding(text)
})

t.test('a repository in the body is read only for tokens limited to repositories', async t => {
  const row = { ...token, repositories: ['r1'] }
  const good = json('{"repo":"r1"}')
  const decision = await world({ match: bodyRule, row }).gate.decide(request(good))
  if (decision.kind !== 'permit') throw new Error('not a permit')
  t.equal(Buffer.from(decision.heldBody ?? []).toString(), '{"repo":"r1"}')
  t.match(await decide({ match: bodyRule, row }, json('{"repo":"r2"}')), '403 REPOSITORY_DENIED')
  const free = await world({ match: bodyRule }).gate.decide(request(json('{"repo":"r2"}')))
  t.equal(free.kind === 'permit' && free.heldBody, undefined)
})

t.test('a body that cannot be held is refused by its kind', async t => {
  const row = { ...token, repositories: ['r1'] }
  for (const [held, answer] of [
    ['too-large', '413 BODY_TOO_LARGE'],
    ['too-slow', '408 REQUEST_TIMEOUT body'],
    ['cut-off', '400 MALFORMED_REQUEST body-cut-off']
  ] as const) {
    const sent = { ...json('{"repo":"r1"}'), body: { hold: async () => held } }
    t.equal(await decide({ match: bodyRule, row }, sent), answer)
  }
})

const stamp = { timestamp: String(NOW), nonce: 'n1' }

function signed(changes: Readonly<Record<string, string | undefined>> = {}, body = '') {
  const path = '/api/scans/r1?dry=1'
  const signature = sign(stamp, { method: 'POST', path, body }, TOKEN)
  const sent = { signature, ...stamp, ...changes }
  const headers = Object.entries(sent).flatMap(([name, value]) =>
    value === undefined ? [] : [`x-cli-${name}`, value]
  )
  const framing = body === '' ? [] : json(body).headers
  return { target: path, headers: [...headers, ...framing], body: holding(body) }
}

t.test('a signed request claims its nonce last and carries the signed bytes', async t => {
  const { gate, seen } = world()
  const decision = await gate.decide(request(signed({}, '{"a":1}')))
  if (decision.kind !== 'permit') throw new Error('not a permit')
  t.equal(decision.signed, true)
  t.equal(Buffer.from(decision.heldBody ?? []).toString(), '{"a":1}')
  t.same(seen.counts, ['signature_forms_total full raw', 'signatures_total valid'])
  t.equal(seen.claims, 1)
  await decision.again()
  t.equal(seen.claims, 1, 'decided again, the nonce stays claimed')
})

t.test('JSON that was signed in its canonical form goes on in that form', async t => {
  const body = '{ "a": 1.0 }'
  const path = '/api/scans/r1?dry=1'
  const signature = sign(stamp, { method: 'POST', path, body: '{"a":1}' }, TOKEN)
  const sent = signed({ signature }, body)
  const decision = await world().gate.decide(request(sent))
  t.equal(decision.kind === 'permit' && Buffer.from(decision.heldBody ?? []).toString(), '{"a":1}')
  const promised = { ...sent, headers: [...sent.headers, 'Content-Digest', 'sha-256=:x:'] }
  t.equal(await decide({}, promised), '401 INVALID_SIGNATURE Signature does not match')
})

t.test('each thing that is wrong with a signature has its documented reason', async t => {
  const refused = (error: string) => `401 INVALID_SIGNATURE ${error}`
  for (const [changes, error] of [
    [{ nonce: undefined }, 'Incomplete signature headers'],
    [{ 'signature-version': '2' }, 'Unsupported signature version'],
    [{ signature: 'ab' }, 'Invalid signature format'],
    [{ timestamp: '1800000000' }, 'Invalid timestamp format'],
    [{ nonce: '' }, 'Invalid nonce format'],
    [{ timestamp: String(NOW - 300_001) }, 'Request timestamp too old or too far in future'],
    [{ signature: '0'.repeat(64) }, 'Signature does not match']
  ] as const) {
    t.equal(await decide({}, signed(changes)), refused(error))
  }
  t.equal(await decide({}, signed({ 'signature-version': '1' })), 'permit')
  t.equal(await decide({ nonce: 'used' }, signed()), refused('Nonce has already been used'))
  t.equal(await decide({}, signed()), 'permit')
})

t.test('a signature over the path alone passes unless the query must be signed', async t => {
  const signature = sign(stamp, { method: 'POST', path: '/api/scans/r1', body: '' }, TOKEN)
  t.equal(await decide({}, signed({ signature })), 'permit')
  const query = 'required'
  t.match(await decide({ query }, signed({ signature })), 'Signature does not match')
})

t.test('a stale timestamp is our fault while the clocks disagree', async t => {
  const late = signed({ timestamp: String(NOW - 300_001) })
  await t.rejects(async () => decide({ skewMs: -HOUR }, late), { code: 'CLOCK_UNSYNCHRONISED' })
})

t.test('what must not be in a signed request is refused before its body is read', async t => {
  const get = { ...signed({}, '{}'), method: 'GET' }
  t.equal(await decide({}, get), '400 MALFORMED_REQUEST signed-get-with-body')
  const sent = signed({}, '{}')
  const zipped = { ...sent, headers: [...sent.headers, 'Content-Encoding', 'gzip'] }
  t.equal(await decide({}, zipped), '415 UNSUPPORTED_CONTENT_ENCODING')
  const large = { ...signed({}, '{}'), body: { hold: async () => 'too-large' as const } }
  t.equal(await decide({}, large), '413 BODY_TOO_LARGE')
})

t.test('a fault of the nonce store is thrown and counted, never a 401', async t => {
  const nonce = new Fault('NONCE_STORE_UNAVAILABLE')
  const { gate, seen } = world({ nonce })
  await t.rejects(async () => gate.decide(request(signed())), nonce)
  t.ok(seen.counts.includes('signatures_total fault'))
})

t.test('tokens and rules can demand a signature', async t => {
  const required = '401 INVALID_SIGNATURE Request signature required'
  t.equal(await decide({ row: { ...token, requireSignature: true } }), required)
  t.equal(await decide({ match: matching({ signature: 'required' }) }), required)
  t.equal(await decide({ match: matching({ signature: 'required' }) }, signed()), 'permit')
  t.equal(
    await decide({}, { headers: ['x-cli-signature-version', '2'] }),
    '401 INVALID_SIGNATURE Unsupported signature version'
  )
})

t.test('report mode waives what the rule refuses, and says so', async t => {
  const waived = async (changes: Partial<Rule>, row: TokenRow = token) => {
    const match = matching({ mode: 'report', ...changes })
    const decision = await world({ match, row }).gate.decide(request())
    return decision.kind === 'permit' ? decision.wouldDeny?.code : word(decision)
  }
  t.equal(await waived({}, { ...token, scopes: [] }), 'INSUFFICIENT_SCOPE')
  t.equal(await waived({}, { ...token, repositories: ['r2'] }), 'REPOSITORY_DENIED')
  t.equal(await waived({ need: { kind: 'jwt' } }), 'JWT_REQUIRED')
  t.equal(await waived({ signature: 'required' }), 'INVALID_SIGNATURE')
  t.equal(await waived({}), undefined)
})

t.test('report mode never waives what the credential itself forbids', async t => {
  const match = matching({ mode: 'report' })
  t.match(await decide({ match, row: { ...token, requireSignature: true } }), '401')
  t.match(await decide({ match, row: { ...token, revokedAtMs: NOW } }), '401')
  t.equal(await decide({ match }, { authorization: undefined }), '401 NO_TOKEN')
  t.equal(await decide({ match }, { headers: ['X-Org-Id', 'o2'] }), '403 ORGANIZATION_DENIED')
  t.match(await decide({ match }, signed({ signature: '0'.repeat(64) })), 'does not match')
  t.equal(
    await decide({ match: matching({ mode: 'report', need: { kind: 'deny' } }) }),
    '403 ROUTE_DENIED'
  )
})

t.test("the file's report mode lets valid credentials through where no rule is", async t => {
  const open: Partial<World> = { match: { kind: 'none' }, mode: 'report' }
  t.equal(await decide(open), 'permit')
  t.equal(await decide(open, { authorization: undefined }), '401 NO_TOKEN')
  t.equal(await decide(open, { method: 'TRACE' }), '403 ROUTE_DENIED')
})

const own = (need: 'public' | 'jwt'): Match => ({
  kind: 'own',
  route: { key: 'GET /api/auth/cli-tokens', name: 'tokens.list', need },
  params: ['a%20b']
})

t.test("the gate's own paths are for users, and no ci_ text is even looked at", async t => {
  const { gate, seen } = world({ match: own('jwt') })
  t.equal(word(await gate.decide(request())), '403 JWT_REQUIRED')
  t.equal(seen.lookUps, 0)
  t.equal(await decide({ match: own('jwt') }, { authorization: undefined }), '401 NO_TOKEN')
  t.match(await decide({ match: own('jwt') }, { authorization: 'Bearer a b' }), '401 INVALID_TOKEN')
  const jwt = { authorization: 'Bearer ey.J.x' }
  const call = await gate.decide(request(jwt))
  t.match(call, { kind: 'own', name: 'tokens.list', params: ['a b'], principal: { kind: 'jwt' } })
  t.equal(await decide({ match: own('jwt'), user: 'invalid' }, jwt), '401 INVALID_TOKEN')
  t.equal(await decide({ match: own('public') }, { authorization: undefined }), 'own')
})

t.test('beside the own paths nothing passes, in report mode either', async t => {
  const reserved: Partial<World> = { match: { kind: 'reserved' } }
  t.equal(await decide(reserved), '403 ROUTE_DENIED')
  t.equal(await decide({ ...reserved, mode: 'report' }), '403 ROUTE_DENIED')
})

t.test('a permit holds until its credential expires, while nothing else changes', async t => {
  for (const sent of [{}, { authorization: 'Bearer ey.J.x' }]) {
    const { gate, clock } = world()
    const decision = await gate.decide(request(sent))
    if (decision.kind !== 'permit') throw new Error('not a permit')
    clock.nowMs = NOW + HOUR - 1
    t.equal(decision.lapse(), undefined)
    clock.nowMs = NOW + HOUR
    t.equal(decision.lapse(), 'expired')
  }
})

t.test('a permit lapses with its lease, its entry, its expiry and its JWT', async t => {
  const held = async (spoiled: Partial<World>, sent: Sent = {}) => {
    const decision = await world(spoiled).gate.decide(request(sent))
    return decision.kind === 'permit' ? decision : undefined
  }
  t.equal((await held({ lapse: 'lease' }))?.lapse(), 'lease')
  t.equal((await held({ lapse: 'entry' }))?.lapse(), 'entry')
  const jwt = { authorization: 'Bearer ey.J.x' }
  const user = { userId: 'u1', orgId: null, expiresAtMs: NOW }
  const lapsed = await held({ user }, jwt)
  t.equal(lapsed?.lapse(), 'expired')
  const again = await lapsed?.again()
  t.equal(again && word(again), 'permit')
})

t.test('an overloaded gate refuses after the rule and before the credential', async t => {
  const isOverloaded = true
  const busy = async (spoiled: Partial<World>, sent: Sent = {}) => {
    const made = world({ ...spoiled, isOverloaded, peek: undefined })
    const outcome = await Promise.resolve()
      .then(() => made.gate.decide(request(sent)))
      .then(word, (thrown: unknown) => (thrown instanceof Fault ? thrown.code : 'thrown'))
    t.equal(made.seen.lookUps + made.seen.verified, 0)
    return outcome
  }
  t.equal(await busy({}), 'OVERLOADED')
  t.equal(await busy({ match: matching({ need: { kind: 'public' } }) }), 'OVERLOADED')
  t.equal(await busy({ match: { kind: 'options' } }, { method: 'OPTIONS' }), 'OVERLOADED')
  t.equal(await busy({ match: { kind: 'none' }, mode: 'report' }), 'OVERLOADED')
  t.equal(await busy({ match: { kind: 'none' } }), '403 ROUTE_DENIED')
  t.equal(await busy({ match: matching({ need: { kind: 'deny' } }) }), '403 ROUTE_DENIED')
  t.equal(await busy({}, { target: '/api/../x' }), '400 MALFORMED_REQUEST target')
  t.equal(await busy({ match: own('public') }), 'OVERLOADED')
  t.equal(await busy({ match: own('jwt') }, { authorization: 'Bearer ey.J.x' }), 'OVERLOADED')
})

t.test('ending a token works on an overloaded gate', async t => {
  for (const name of ['tokens.revoke', 'tokens.rotate'] as const) {
    const match: Match = { kind: 'own', route: { key: 'x', name, need: 'jwt' }, params: ['t1'] }
    const sent = { authorization: 'Bearer ey.J.x' }
    t.equal(await decide({ match, isOverloaded: true }, sent), 'own', name)
  }
})
