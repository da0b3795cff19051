import * as fc from 'fast-check'
import t from 'tap'
import { parseStrictJson } from '../../src/core/strict-json.ts'

const bytesOf = (text: string) => Buffer.from(text)

/** The value, or why there is none. */
function read(text: string): unknown {
  const parsed = parseStrictJson(bytesOf(text))
  return 'problem' in parsed ? parsed.problem : parsed.value
}

t.test('the value is what JSON.parse gives', async t => {
  const texts = [
    '{"repo":"r1","n":[1,-0.5,1e3,12345678901234567890],"x":null}',
    ' true\n',
    '"a"',
    '[]'
  ]
  for (const text of [...texts, '{}', '{"a":{"b":1},"b":{"a":1}}', '[{"a":1},{"a":1}]', '""']) {
    t.same(read(text), JSON.parse(text), text)
  }
})

t.test('a member name stands once, at any depth and in any spelling', async t => {
  for (const text of [
    '{"a":1,"a":2}',
    '{"a":1,"\\u0061":2}',
    '{"a":1,"b":{},"a":1}',
    '[{"x":[{"a":1,"c":{"a":1},"a":1}]}]',
    '{"":1,"":2}',
    '{"a\\"b":1,"a\\u0022b":2}',
    '{"a" \n: 1, "a"\t: 2}'
  ]) {
    t.equal(read(text), 'duplicate-member', text)
  }
})

t.test('what looks like a member inside of a string is none', async t => {
  const texts = [
    '{"a":"\\"a\\":1,\\"a\\":2","b":1}',
    '{"a":"{","b":"\\\\","c":"}]"}',
    '["a:","a:"]'
  ]
  for (const text of texts) t.same(read(text), JSON.parse(text), text)
})

t.test('no member is __proto__, however it is spelt; other names are only names', async t => {
  t.equal(read('{"__proto__":{}}'), 'unsafe-member')
  t.equal(read('[{"a":{"\\u005f_proto__":1}}]'), 'unsafe-member')
  t.same(read('["__proto__"]'), ['__proto__'])
  t.same(read('{"constructor":1,"toString":2}'), { constructor: 1, toString: 2 })
})

t.test('nesting goes 64 levels deep, not one more', async t => {
  const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth)
  t.same(read(nested(64)), JSON.parse(nested(64)))
  t.equal(read(nested(65)), 'depth')
  t.equal(read('{"a":'.repeat(65) + '1' + '}'.repeat(65)), 'depth')
  t.same(
    read(`[${'[],'.repeat(99)}[]]`),
    Array.from({ length: 100 }, () => []),
    'width is no depth'
  )
  t.same(read(`["${'['.repeat(100)}"]`), ['['.repeat(100)])
})

t.test('bytes that are no UTF-8, or begin with a byte order mark, are refused', async t => {
  const problemOf = (hex: string) => parseStrictJson(Buffer.from(hex, 'hex'))
  for (const hex of [
    '22ff22',
    '22c0af22',
    '22eda08022',
    '22e28222',
    'efbbbf7b7d',
    'fffe7b007d00'
  ]) {
    t.same(problemOf(hex), { problem: 'encoding' }, hex)
  }
  t.equal(read('"\u{FEFF}"'), '\u{FEFF}', 'inside of a string it is a character')
})

t.test('what is not one JSON value is refused', async t => {
  const texts = [
    '',
    ' ',
    '{',
    '{"a":1}x',
    '{} {}',
    '[1,]',
    '{a:1}',
    "{'a':1}",
    'NaN',
    '01',
    '"a',
    '"\\'
  ]
  for (const text of [...texts, '// x\n1', '"\t"', '}', ']['.repeat(9), '\\"'.repeat(9), '"\\x"']) {
    t.equal(read(text), 'syntax', text)
  }
})

t.test('a member twice is found in any document, and nothing else is changed', async t => {
  const law = fc.property(fc.json({ maxDepth: 4 }), text => {
    const isUnsafe = /"__proto__"\s*:/.test(text)
    t.same(read(text), isUnsafe ? 'unsafe-member' : JSON.parse(text))
  })
  fc.assert(law)
  const name = fc.string({ unit: 'binary', maxLength: 4 }).filter(name => name !== '__proto__')
  const twice = fc.property(name, fc.uniqueArray(name, { maxLength: 3 }), (name, others) => {
    const between = others
      .filter(other => other !== name)
      .map(other => `${JSON.stringify(other)}:0,`)
    const units = Array.from({ length: name.length }, (_, i) => name.charCodeAt(i))
    const escaped = units.map(unit => `\\u${unit.toString(16).padStart(4, '0')}`).join('')
    return (
      read(`{"${escaped}":1,${between.join('')}${JSON.stringify(name)}:2}`) === 'duplicate-member'
    )
  })
  fc.assert(twice)
})

t.test('the work grows with the text, whatever it is made of', async t => {
  const length = 1 << 20
  for (const piece of ['[', '{"a":', '\\"', '"\\', '\\', '"', '"a"', '}', '{"":']) {
    const bytes = bytesOf(piece.repeat(length / piece.length))
    const startedMs = performance.now()
    t.match(parseStrictJson(bytes), { problem: /syntax|depth/ }, piece)
    // Quadratic work takes minutes here; what is allowed is for slow machines.
    t.ok(performance.now() - startedMs < 1000, piece)
  }
  t.match(parseStrictJson(bytesOf(`"${'a'.repeat(16 << 20)}"`)), { value: /^a/ })
})
