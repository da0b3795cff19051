import t from 'tap'
import { redact, reduceError, reduceFields, scrub } from '../../src/telemetry/scrub.ts'

const TOKEN = 'ci_GoldenVector0OnlyForTests000001xNBA0'
const JWT = 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1MSJ9.c2lnbmF0dXJlX29mX3RoZV90ZXN0'

t.test('credentials are taken out of any text', async t => {
  const texts = [
    `token ${TOKEN} failed`,
    `Authorization: Bearer ${TOKEN}`,
    `authorization: bearer ${JWT}`,
    `/cb?t=${JWT}&x`,
    `postgres://gate:${TOKEN}@db/x`,
    'Basic Z2F0ZTpodW50ZXIy end',
    'redis://:hunter2@redis:6379'
  ]
  for (const text of texts) {
    t.notMatch(redact(text), /GoldenVector|eyJzdWI|Z2F0ZTpodW50ZXIy|hunter2/, text)
  }
  t.equal(redact('POST /api/scans/{id} by ci_AbCd…wXyZ'), 'POST /api/scans/{id} by ci_AbCd…wXyZ')
  t.equal(redact('x'.repeat(5000)).length, 4000)
})

t.test("a driver's text has no URLs and an end", async t => {
  t.equal(scrub('connect to postgres://db:5432/x failed'), 'connect to [url] failed')
  t.equal(scrub('at file:///src/x.ts'), 'at file:///src/x.ts', 'our own files may be named')
  t.equal(scrub('y'.repeat(301)), `${'y'.repeat(300)}…`)
})

t.test(
  'of an error name, code, stack and causes are left, and nothing that hangs on it',
  async t => {
    const driver = Object.assign(new Error('auth failed at redis://:hunter2@r/0'), {
      code: 'WRONGPASS',
      command: { name: 'auth', args: ['hunter2'] }
    })
    const reduced = reduceError(new TypeError('outer', { cause: driver }))
    t.match(reduced, {
      name: 'TypeError',
      stack: /^TypeError: outer\n\s+at .*scrub\.test\.ts/,
      cause: { name: 'Error', code: 'WRONGPASS', stack: /^Error: auth failed at \[url\]\n/ }
    })
    t.notMatch(JSON.stringify(reduced), 'hunter2')
    t.same(reduceError('thrown text'), { name: 'string', stack: 'thrown text' })
  }
)

t.test('a circle of causes ends', async t => {
  const circle = new Error('round')
  circle.cause = circle
  t.ok(JSON.stringify(reduceError(circle)).length < 10_000)
})

t.test('only plain values of fields are written', async t => {
  const fields = {
    text: `with ${TOKEN}`,
    number: 1,
    nothing: null,
    missing: undefined,
    big: 5n,
    list: ['a', TOKEN, { deep: TOKEN }],
    request: { headers: { authorization: TOKEN } },
    error: new Error(TOKEN),
    call: () => TOKEN,
    cause: undefined
  }
  t.same(reduceFields(fields), {
    text: 'with ci_[redacted]',
    number: 1,
    nothing: null,
    missing: undefined,
    big: '5',
    list: ['a', 'ci_[redacted]', '[object]'],
    request: '[object]',
    error: '[object]',
    call: '[function]',
    cause: undefined
  })
})
