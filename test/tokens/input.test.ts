import * as fc from 'fast-check'
import t from 'tap'
import {
  type Asking,
  DAY,
  fieldErrors,
  jsonOf,
  NOW,
  scopeTable,
  tokenWorld
} from '../support/token-api.ts'

/** One good body; each test spoils one thing. */
const good = { name: 'GitHub Actions CI', scopes: ['scans:read'] }

/** Status of a create, and whether a row was made. */
async function create(asking: Asking, world = tokenWorld()) {
  const answer = await world.ask(asking)
  return { answer, made: world.rows.size, row: [...world.rows.values()][0] }
}

/** The one field that is refused, with its message; a row must not be there. */
async function refusal(body: unknown): Promise<Readonly<Record<string, string>>> {
  const { answer, made } = await create({ body })
  if (made > 0) throw new Error('a row was made')
  return fieldErrors(answer)
}

async function refusedFields(change: object): Promise<readonly string[]> {
  return Object.keys(await refusal({ ...good, ...change }))
}

t.test('a name is 1 to 100 code points, kept as it was sent', async t => {
  for (const name of ['x', 'é 🚀, x', '🚀'.repeat(100), ' padded ', 'a "quoted" <name>', '名前']) {
    const { row } = await create({ body: { ...good, name } })
    t.equal(row?.name, name)
  }
  const bad = ['', '🚀'.repeat(101), 'x'.repeat(101), ' ', '\u00a0\u3000', 7, null, ['x'], {}]
  for (const name of bad) t.same(await refusedFields({ name }), ['name'], JSON.stringify(name))
  t.same(Object.keys(await refusal({ scopes: ['scans:read'] })), ['name'], 'it is required')
})

t.test('T4: a name without what cannot be printed, whatever JSON spelling it has', async t => {
  const bad = ['a\r\nb', 'a\u0000b', 'a\u202eb', 'a\ud800b', '\udc00', 'a\u007fb', 'a\u0085b']
  for (const name of [...bad, 'a\u2028b', 'a\u200db', 'a\ufeffb', 'a\ue000b']) {
    t.same(await refusedFields({ name }), ['name'], name.codePointAt(1)?.toString(16) ?? 'alone')
  }
  const raw = String.raw`{"name":"\ud800","scopes":["scans:read"]}`
  const { answer, made } = await create({ body: raw })
  t.equal(answer.status, 400)
  t.equal(made, 0)
})

t.test('T2: scopes are those of the route file, each once, one at least', async t => {
  const { row } = await create({ body: { ...good, scopes: ['scans:trigger', 'repos:read'] } })
  t.same(row?.scopes, ['scans:trigger', 'repos:read'], 'in the order they were sent')
  const bad = [
    ['*'],
    [],
    null,
    'scans:read',
    ['scans:read', 'scans:read'],
    ['scans:read,repos:write'],
    [['scans:read']],
    ['scans:read', 7],
    ['SCANS:READ'],
    ['scans:read '],
    ['toString'],
    { 0: 'scans:read' }
  ]
  for (const scopes of bad)
    t.same(await refusedFields({ scopes }), ['scopes'], JSON.stringify(scopes))
  const errors = await refusal({ ...good, scopes: ['scans:read', 'admin:all'] })
  t.match(errors['scopes'], /item 2 does not/, 'it says which one')
})

t.test('omitted scopes are the default ones of the route file in force', async t => {
  const { row } = await create({ body: { name: 'x' } })
  t.same(row?.scopes, ['repos:read', 'scans:read'])
  const world = tokenWorld({ routes: () => scopeTable({ 'scans:read': 'other' }) })
  const { answer, made } = await create({ body: { name: 'x' } }, world)
  t.same(Object.keys(fieldErrors(answer)), ['scopes'], 'none is default: they must be given')
  t.equal(made, 0)
})

t.test('T3: all repositories, or 1 to 100 named ones, and never both', async t => {
  const ids = Array.from({ length: 100 }, (_, i) => `repo-${i}`)
  const accepted: [object, readonly string[] | null][] = [
    [{}, null],
    [{ allRepositories: true }, null],
    [{ repositories: ['a'] }, ['a']],
    [{ allRepositories: false, repositories: ['a', 'B.c_d:e-f'] }, ['a', 'B.c_d:e-f']],
    [{ repositories: ids }, ids],
    [{ repositories: ['x'.repeat(128)] }, ['x'.repeat(128)]],
    [{ repositories: ['a', 'a', 'b'] }, ['a', 'b']]
  ]
  for (const [change, repositories] of accepted) {
    const { row } = await create({ body: { ...good, ...change } })
    t.same(row?.repositories, repositories, JSON.stringify(change))
  }
  const refused: [object, readonly string[]][] = [
    [{ allRepositories: false }, ['repositories']],
    [{ allRepositories: true, repositories: ['a'] }, ['repositories']],
    [{ allRepositories: true, repositories: [] }, ['repositories']],
    [{ allRepositories: 'true' }, ['allRepositories']],
    [{ allRepositories: null }, ['allRepositories']],
    [{ allRepositories: 1, repositories: 'a' }, ['allRepositories', 'repositories']],
    [{ repositories: [...ids, 'one-more'] }, ['repositories']],
    [{ repositories: [] }, ['repositories']],
    [{ repositories: null }, ['repositories']],
    [{ repositories: {} }, ['repositories']],
    [{ repositories: [7] }, ['repositories']]
  ]
  for (const [change, fields] of refused) {
    t.same(await refusedFields(change), fields, JSON.stringify(change))
  }
  for (const id of ['', 'a,b', 'a/b', 'a\r\nb', 'a b', 'é', '*', 'x'.repeat(129)]) {
    t.same(await refusedFields({ repositories: ['ok', id] }), ['repositories'], JSON.stringify(id))
  }
})

async function end(change: object): Promise<number | null | undefined> {
  return (await create({ body: { ...good, ...change } })).row?.expiresAtMs
}

t.test('T10: an end is a number of days or an instant in the future, or there is none', async t => {
  t.equal(await end({}), null)
  t.equal(await end({ expiresInDays: 1 }), NOW + DAY)
  t.equal(await end({ expiresInDays: 3650 }), NOW + 3650 * DAY)
  t.equal(await end({ expiresAt: '2027-01-15T08:00:00.001Z' }), NOW + 1)
  t.equal(await end({ expiresAt: '2027-01-15T10:00+01:00' }), NOW + 3_600_000)
  t.equal(await end({ expiresAt: '2028-02-29T00:00:00.123456789Z' }), Date.UTC(2028, 1, 29) + 123)
  t.equal((await end({ expiresAt: '9999-12-31T23:59:59-23:59' })) !== undefined, true)
  for (const expiresInDays of [0, 3651, 1.5, '30', -1, null, true, [30], 1e300]) {
    t.same(await refusedFields({ expiresInDays }), ['expiresInDays'], JSON.stringify(expiresInDays))
  }
  const badInstants = [
    '2027-01-15T08:00:00.000Z', // this very instant
    '2020-01-01T00:00:00Z',
    '2030-01-01T00:00:00',
    '2030-01-01',
    '2030-02-29T00:00:00Z',
    '2030-04-31T00:00:00Z',
    '2030-01-00T00:00:00Z',
    '2030-13-01T00:00:00Z',
    '2030-01-01T24:00:00Z',
    '2030-01-01T00:00:60Z',
    '2030-01-01T00:00:00+24:00',
    '2030-01-01 00:00:00Z',
    '2030-01-01T00:00:00z',
    ' 2030-01-01T00:00:00Z',
    '+002030-01-01T00:00:00Z',
    'Tue, 01 Jan 2030 00:00:00 GMT',
    '',
    NOW + DAY,
    null
  ]
  for (const expiresAt of badInstants) {
    t.same(await refusedFields({ expiresAt }), ['expiresAt'], `${expiresAt}`)
  }
  const both = { expiresInDays: 30, expiresAt: '2030-01-01T00:00:00Z' }
  t.same(await refusedFields(both), ['expiresAt'], 'both')
})

/** The database's clock is 5 s ahead, and neither is trusted. */
function skewed(wallMs: number) {
  return tokenWorld({
    clock: { nowMs: () => NOW + 5000, wallMs: () => wallMs, isTrusted: () => false }
  })
}

t.test('an end that only one of two differing clocks calls past is not judged', async t => {
  const expiresAt = new Date(NOW + 1000).toISOString()
  await t.rejects(create({ body: { ...good, expiresAt } }, skewed(NOW)), {
    code: 'CLOCK_UNSYNCHRONISED'
  })
  const { answer } = await create({ body: { ...good, expiresAt } }, skewed(NOW + 2000))
  t.match(fieldErrors(answer), { expiresAt: 'must be in the future' })
})

t.test('requireSignature is a boolean and false when omitted', async t => {
  for (const [change, expected] of [
    [{}, false],
    [{ requireSignature: false }, false],
    [{ requireSignature: true }, true]
  ] as const) {
    t.equal((await create({ body: { ...good, ...change } })).row?.requireSignature, expected)
  }
  for (const requireSignature of ['true', 1, null, []]) {
    t.same(await refusedFields({ requireSignature }), ['requireSignature'])
  }
})

t.test('T1: fields that are not the caller to set are refused by name', async t => {
  const hostile = [
    'userId',
    'orgId',
    'id',
    'token',
    'hash',
    'createdAt',
    'revokedAt',
    'constructor'
  ]
  for (const field of hostile) t.same(await refusedFields({ [field]: 'x' }), [field])
  const proto = '{"name":"x","scopes":["scans:read"],"__proto__":{"requireSignature":true}}'
  const { answer, made } = await create({ body: proto })
  t.same(Object.keys(fieldErrors(answer)), ['__proto__'])
  t.equal(made, 0)
})

t.test('every wrong field is named at once, in the list and in the message', async t => {
  const body = { name: '', scopes: [], repositories: [], expiresInDays: 0, extra: 1 }
  const { answer } = await create({ body })
  const fields = Object.keys(fieldErrors(answer)).toSorted()
  t.same(fields, ['expiresInDays', 'extra', 'name', 'repositories', 'scopes'])
  if (!('kind' in answer)) throw new Error('not refused')
  for (const field of fields) t.match(answer.body.message, field)
  t.match(answer, { status: 400, code: 'INVALID_REQUEST' })
})

t.test('a refusal repeats no value, and no name that is not a plain word', async t => {
  const secret = 'ci_GoldenVector0OnlyForTests000001xNBA0'
  const body = {
    name: `${secret}\n`,
    scopes: [secret],
    repositories: [`${secret}/`],
    expiresAt: secret,
    expiresInDays: secret,
    [secret]: 1,
    '<script>': 1
  }
  const { answer } = await create({ body })
  const text = JSON.stringify(answer)
  t.notMatch(text, secret)
  t.notMatch(text, '<script>')
  t.equal(fieldErrors(answer)['body'], 'has unknown fields')
  const many = Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`f${i}`, 1]))
  const named = Object.keys(await refusal({ ...good, ...many }))
  t.equal(named.length, 21, 'a large body does not get a larger answer')
})

t.test('T8: the type of the body is JSON exactly, and nothing encodes it', async t => {
  const json = 'application/json'
  for (const contentType of [
    json,
    'Application/JSON',
    `${json};charset=utf-8`,
    `${json}; charset=UTF-8`,
    `${json} ; charset="utf-8"`
  ]) {
    t.equal((await create({ body: good, contentType })).answer.status, 201, contentType)
  }
  for (const contentType of [
    undefined,
    '',
    `${json}\t; x`,
    `${json}x`,
    `${json} x`,
    `${json};`,
    `${json}; charset=latin1`,
    `${json}; charset=utf-8; x=y`,
    `${json}, text/plain`,
    'text/plain',
    'application/x-www-form-urlencoded',
    'application/problem+json'
  ]) {
    const { answer, made } = await create({ body: good, contentType })
    t.match(answer, { status: 415, code: 'UNSUPPORTED_MEDIA_TYPE' }, `${contentType}`)
    t.equal(made, 0)
  }
  for (const contentEncoding of ['gzip', 'identity', '']) {
    const { answer, made } = await create({ body: good, contentEncoding })
    t.match(answer, { status: 415, code: 'UNSUPPORTED_CONTENT_ENCODING' })
    t.equal(made, 0)
  }
})

t.test('T9: the body is one JSON object of at most 64 KiB that has one reading', async t => {
  const bad = [
    '',
    '{',
    'null',
    '7',
    '"x"',
    '[]',
    '[{"name":"x"}]',
    '{"name":"a","name":"b"}',
    String.raw`{"name":"a","n\u0061me":"b"}`,
    '\ufeff{"name":"x"}',
    '{"name":"x"} {}',
    '{"name":"x"}\u0000',
    '{"name":NaN}',
    "{'name':'x'}",
    '{"name":"x",}',
    `{"name":${'['.repeat(30_000)}`,
    Buffer.from('7b226e616d65223a22ff227d', 'hex') // {"name":"\xff"}
  ]
  for (const body of bad) {
    const { answer, made } = await create({ body, contentType: 'application/json' })
    t.same(Object.keys(fieldErrors(answer)), ['body'], String(body).slice(0, 40))
    t.equal(made, 0)
  }
  const text = JSON.stringify(good)
  t.equal((await create({ body: text.padEnd(65_536) })).answer.status, 201)
  const { answer, made } = await create({ body: text.padEnd(65_537) })
  t.match(answer, { status: 413, code: 'BODY_TOO_LARGE' })
  t.equal(made, 0)
})

/** The answer to a rotation, and what the store was told. */
async function rotate(asking: Asking) {
  const world = tokenWorld()
  await world.ask({ body: good })
  const [id = ''] = world.rows.keys()
  const answer = await world.ask({ name: 'tokens.rotate', id, ...asking })
  return { answer, grace: world.told.find(({ call }) => call === 'rotate')?.['graceSeconds'] }
}

t.test('T10: a grace is 0 to 30 days in whole seconds, and 0 when omitted', async t => {
  const accepted: [Asking, number][] = [
    [{}, 0],
    [{ body: {} }, 0],
    [{ contentType: 'application/json' }, 0],
    [{ body: '', isChunked: true }, 0],
    [{ body: { graceSeconds: 0 } }, 0],
    [{ body: { graceSeconds: 2_592_000 } }, 2_592_000]
  ]
  for (const [asking, expected] of accepted) t.equal((await rotate(asking)).grace, expected)
  for (const graceSeconds of [-1, 2_592_001, '0', 1.5, null, [0]]) {
    const { answer, grace: told } = await rotate({ body: { graceSeconds } })
    t.same(Object.keys(fieldErrors(answer)), ['graceSeconds'])
    t.equal(told, undefined)
  }
  const { answer: unknown } = await rotate({ body: { name: 'other' } })
  t.same(Object.keys(fieldErrors(unknown)), ['name'])
  for (const asking of [
    { body: {}, contentType: 'text/plain' },
    { contentType: 'text/plain' },
    { body: {}, contentType: undefined },
    { body: '', contentType: undefined, isChunked: true },
    { body: {}, contentEncoding: 'gzip' }
  ]) {
    t.equal((await rotate(asking)).answer.status, 415)
  }
  t.same(Object.keys(fieldErrors((await rotate({ body: '{' })).answer)), ['body'])
  t.equal((await rotate({ body: '{}'.padEnd(65_537) })).answer.status, 413)
})

t.test('T10: the only query is include=inactive, and only the list has one', async t => {
  const world = tokenWorld()
  for (const query of [undefined, '', 'include=inactive']) {
    t.equal((await world.ask({ name: 'tokens.list', query })).status, 200)
  }
  const bad = ['include=x', 'include=', 'include=inactive&include=inactive', 'include=inactive&x=1']
  for (const query of [...bad, 'Include=inactive', 'include=%69nactive', 'x']) {
    t.same(Object.keys(fieldErrors(await world.ask({ name: 'tokens.list', query }))), ['query'])
  }
  await world.ask({ body: good })
  const [id = ''] = world.rows.keys()
  const query = 'include=inactive'
  for (const asking of [
    { body: good, query },
    { name: 'tokens.revoke', id, query },
    { name: 'tokens.rotate', id, query }
  ] as const) {
    t.same(Object.keys(fieldErrors(await world.ask(asking))), ['query'])
  }
  t.same(
    world.told.map(({ call }) => call),
    ['list', 'list', 'list', 'create']
  )
})

t.test('whatever is sent, a create answers 201, 400, 413 or 415, and never throws', async () => {
  const field = fc.constantFrom(
    'name',
    'scopes',
    'allRepositories',
    'repositories',
    'expiresInDays',
    'expiresAt',
    'requireSignature',
    '__proto__',
    'constructor',
    ''
  )
  const value = fc.oneof(
    fc.jsonValue({ maxDepth: 3 }),
    fc.string({ unit: 'binary', maxLength: 120 }),
    fc.constantFrom('scans:read', ['scans:read'], '2030-01-31T00:00:00Z', true, 30, ['a'])
  )
  const object = fc
    .array(fc.tuple(field, value), { maxLength: 6 })
    .map(members => members.map(([k, v]) => `${JSON.stringify(k)}:${JSON.stringify(v)}`))
    .map(members => `{${members.join(',')}}`)
  const body = fc.oneof(
    object,
    fc.string({ unit: 'binary' }),
    fc.uint8Array({ maxLength: 300 }),
    fc.json()
  )
  const type = fc.oneof(
    { weight: 5, arbitrary: fc.constant('application/json') },
    { weight: 1, arbitrary: fc.string() }
  )
  await fc.assert(
    fc.asyncProperty(body, type, async (body, contentType) => {
      const { answer, made } = await create({ body, contentType })
      const isMade = answer.status === 201
      return (isMade || [400, 413, 415].includes(answer.status)) && made === (isMade ? 1 : 0)
    }),
    { numRuns: 1000 }
  )
  const valid = fc.record(
    {
      name: fc
        .string({ unit: 'grapheme', minLength: 1, maxLength: 20 })
        .filter(name => /^[^\p{C}\p{Zl}\p{Zp}]+$/u.test(name) && name.trim() !== ''),
      scopes: fc.subarray(['repos:read', 'scans:read', 'repos:write'], { minLength: 1 }),
      repositories: fc.array(fc.stringMatching(/^[A-Za-z0-9._:-]{1,128}$/), { minLength: 1 }),
      expiresInDays: fc.integer({ min: 1, max: 3650 }),
      requireSignature: fc.boolean()
    },
    { requiredKeys: ['name'] }
  )
  await fc.assert(
    fc.asyncProperty(valid, async body => {
      const { answer } = await create({ body })
      return answer.status === 201 && jsonOf(answer)['name'] === body.name
    }),
    { numRuns: 300 }
  )
})
