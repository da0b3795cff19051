import t from 'tap'
import {
  matchesSegment,
  parseKey,
  parseOrThrow,
  rankOf,
  type Segment
} from '../../src/core/route-pattern.ts'

/** The path of a good key with one segment under test, as its kind or the problem. */
function kindOf(segment: string): string {
  const read = parseKey(`GET /a/${segment}`)
  return 'problem' in read ? read.problem : (read.segments[1]?.kind ?? 'none')
}

function problemOf(key: string): string {
  const read = parseKey(key)
  return 'problem' in read ? read.problem : 'none'
}

t.test('a key is its methods, its path and the names in it', async t => {
  t.same(parseKey('PUT,DELETE /api/{level:low|high}/{n:int}/{id}/{rest...}'), {
    methods: ['DELETE', 'PUT'],
    isWildcard: false,
    path: '/api/{level:low|high}/{n:int}/{id}/{rest...}',
    segments: [
      { kind: 'literal', text: 'api' },
      { kind: 'enum', name: 'level', values: ['low', 'high'] },
      { kind: 'typed', name: 'n', type: 'int' },
      { kind: 'any', name: 'id' },
      { kind: 'rest', name: 'rest' }
    ],
    params: ['level', 'n', 'id', 'rest']
  })
  t.same(parseKey('GET /'), {
    methods: ['GET'],
    isWildcard: false,
    path: '/',
    segments: [],
    params: []
  })
})

t.test('* stands for every method but OPTIONS', async t => {
  const read = parseOrThrow('* /{rest...}')
  t.same(read.methods, ['DELETE', 'GET', 'HEAD', 'PATCH', 'POST', 'PUT'])
  t.equal(read.isWildcard, true)
  t.same(parseOrThrow('OPTIONS /a').methods, ['OPTIONS'])
})

t.test('a segment is what its spelling says', async t => {
  for (const literal of [
    'a',
    'A-Z.b_c~d',
    ':',
    '@me',
    '$x',
    'a!',
    'a+b',
    'a,b',
    'a=b',
    '...',
    'x'.repeat(128)
  ]) {
    t.equal(kindOf(literal), 'literal', literal)
  }
  for (const type of ['int', 'uuid', 'slug', 'hex24']) t.equal(kindOf(`{n:${type}}`), 'typed', type)
  for (const values of ['a|b', 'int|uuid', '1|2|3', 'a:b|c'])
    t.equal(kindOf(`{n:${values}}`), 'enum')
  t.equal(kindOf('{Name_1}'), 'any')
  t.equal(kindOf(`{${'n'.repeat(32)}}`), 'any')
  t.equal(kindOf('{all...}'), 'rest')
})

t.test('what is no segment is refused with a reason', async t => {
  for (const bad of ['.', '..', 'a b', 'a%20b', 'é', 'a;b', 'a*', "a'b", 'x'.repeat(129)]) {
    t.match(kindOf(bad), /is no literal segment/, bad)
  }
  for (const bad of ['a{id}', '{id}.json', '{a}{b', '}{'])
    t.match(kindOf(bad), /fills its whole/, bad)
  for (const bad of ['{}', '{1a}', '{a-b}', '{_a}', `{${'n'.repeat(33)}}`, '{...}', '{:int}']) {
    t.match(kindOf(bad), /is no name/, bad)
  }
  for (const bad of ['{n:}', '{n:number}', '{n:INT}', '{n:toString}']) {
    t.match(kindOf(bad), /is no type/, bad)
  }
  for (const bad of ['{n:a|}', '{n:a|..}', '{n:a|b c}'])
    t.match(kindOf(bad), /cannot be a value/, bad)
  t.match(kindOf('{n:a|b|a}'), /stands twice/)
})

t.test('what is no path is refused with a reason', async t => {
  t.match(problemOf('GET a'), /must begin with/)
  t.match(problemOf('GET '), /must begin with/)
  t.match(problemOf('GET /a/'), /without a last slash/)
  t.match(problemOf('GET //a'), /no empty segment/)
  t.match(problemOf('GET /{r...}/a'), /at the end of a path only/)
  t.match(problemOf('GET /{r...}/{s...}'), /at the end of a path only/)
  t.match(problemOf('GET /{a}/{a:int}'), /two parameters are named "a"/)
  t.equal(problemOf(`GET ${'/a'.repeat(32)}`), 'none')
  t.match(problemOf(`GET ${'/a'.repeat(33)}`), /at most 32 segments/)
})

t.test('what are no methods is refused with a reason', async t => {
  for (const bad of [
    'get /a',
    'TRACE /a',
    'GET,* /a',
    '*,GET /a',
    ' /a',
    'GET, /a',
    'GET;POST /a'
  ]) {
    t.match(problemOf(bad), /is not a method/, bad)
  }
  t.match(problemOf('GET,GET /a'), /stands twice/)
  t.match(problemOf('GET/a'), /one space/)
  t.match(problemOf('GET  /a'), /must begin with/)
  t.throws(() => parseOrThrow('get /a'), { name: 'TypeError' })
})

t.test('a typed parameter takes its type and nothing else', async t => {
  const table = {
    int: {
      yes: ['0', '7', '10', '9'.repeat(19)],
      no: ['', '00', '01', '-1', '+1', '1.0', '1e3', '9'.repeat(20), '1\n', '٣']
    },
    uuid: {
      yes: ['0190c5a0-0000-7000-8000-00000000000f', '0190C5A0-0000-7000-8000-00000000000F'],
      no: [
        '0190c5a0-0000-7000-8000-00000000000',
        '0190c5a00000-7000-8000-00000000000ff',
        '{0190c5a0}'
      ]
    },
    hex24: {
      yes: ['0123456789abcdefABCDEF01'],
      no: ['0123456789abcdefABCDEF0', 'g'.repeat(24), '0'.repeat(25)]
    },
    slug: {
      yes: ['a', '0', 'a-b-2', 'x'.repeat(128)],
      no: ['', '-a', 'a-', 'a--b', 'A', 'a_b', 'x'.repeat(129), 'a\n']
    }
  } as const
  for (const type of ['int', 'uuid', 'hex24', 'slug'] as const) {
    const segment: Segment = { kind: 'typed', name: 'n', type }
    for (const text of table[type].yes)
      t.equal(matchesSegment(segment, text), true, `${type} ${text}`)
    for (const text of table[type].no)
      t.equal(matchesSegment(segment, text), false, `${type} ${text}`)
  }
})

t.test('literals and values match their bytes, parameters anything', async t => {
  const { segments } = parseOrThrow('GET /a/{l:low|high}/{n:int}/{x}/{r...}')
  const matched = (text: string) => segments.map(segment => matchesSegment(segment, text))
  t.same(matched('a'), [true, false, false, true, true])
  t.same(matched('A'), [false, false, false, true, true])
  t.same(matched('high'), [false, true, false, true, true])
  t.same(matched('High'), [false, false, false, true, true])
  t.same(matched('7'), [false, false, true, true, true])
  t.same(segments.map(rankOf), [4, 3, 2, 1, 0])
})
