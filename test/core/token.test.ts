import * as fc from 'fast-check'
import t from 'tap'
import {
  digestBytes,
  digestFromBytes,
  digestToken,
  isTokenLike,
  isWellFormedToken,
  makeToken,
  previewToken
} from '../../src/core/token.ts'
import { TOKEN } from './examples.ts'

const DIGITS = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'.split('')

/** A source that gives these bytes, over and over. */
const always =
  (...bytes: readonly number[]) =>
  (n: number) =>
    Uint8Array.from({ length: n }, (_, i) => bytes[i % bytes.length] ?? 0)

/** What a source may give; bytes from 248 on are never used. */
const random = fc
  .uint8Array({ minLength: 30, maxLength: 30 })
  .filter(bytes => bytes.some(byte => byte < 248))

t.test('the last six characters are the CRC-32 of the others, in base 62', async t => {
  // python3 -c 'import zlib; print(zlib.crc32(b"ci_GoldenVector0OnlyForTests00000"))'
  t.equal(isWellFormedToken(TOKEN), true)
  const value = Array.from(TOKEN.slice(-6)).reduce((n, char) => n * 62 + DIGITS.indexOf(char), 0)
  t.equal(value, 1793461104)
})

t.test('a token is ci_ and 36 characters of base 62', async t => {
  const good = makeToken(always(0))
  t.match(good, /^ci_0{30}[0-9A-Za-z]{6}$/)
  const odd = ['', 'ci_', `${good} `, ` ${good}`, `${good}\n`, good.slice(1), good.slice(0, -1)]
  for (const text of [...odd, `${good}0`, good.toUpperCase(), good.replace('_', '-')]) {
    t.equal(isWellFormedToken(text), false, JSON.stringify(text))
  }
})

t.test('every token that is made is well-formed', async t => {
  const law = fc.property(random, bytes => {
    const token = makeToken(() => bytes)
    t.equal(isWellFormedToken(token), true, token)
    t.equal(isTokenLike(token), true)
  })
  fc.assert(law)
})

t.test('a token with any one character changed is malformed, so it costs no query', async t => {
  const law = fc.property(
    random,
    fc.nat(38),
    fc.constantFrom(...DIGITS, '_', '-', ' ', 'é', '\0'),
    (bytes, at, char) => {
      const token = makeToken(() => bytes)
      fc.pre(token[at] !== char)
      t.equal(isWellFormedToken(token.slice(0, at) + char + token.slice(at + 1)), false)
    }
  )
  fc.assert(law, { numRuns: 1000 })
})

t.test('every digit is equally likely', async t => {
  const counts = new Map<string, number>()
  for (let byte = 0; byte < 256; byte++) {
    // A rejected byte leaves its place to the next one, here a 0.
    const digit = makeToken(always(byte, ...Array.from({ length: 29 }, () => 0)))[3] ?? ''
    if (byte < 248) counts.set(digit, (counts.get(digit) ?? 0) + 1)
    else t.equal(digit, '0')
  }
  t.same([...counts.keys()], DIGITS)
  t.same([...new Set(counts.values())], [4])
})

t.test('bytes that are rejected are asked for again', async t => {
  let asked = 0
  const token = makeToken(n => always(asked++ === 0 ? 255 : 1)(n))
  t.equal(asked, 2)
  t.match(token, /^ci_1{30}/)
})

t.test('a preview tells eight characters of a token and no more', async t => {
  t.equal(previewToken(TOKEN), 'ci_Gold…NBA0')
})

t.test('a token is kept as its SHA-256, which comes back from the database as it was', async t => {
  // printf %s "$TOKEN" | openssl dgst -sha256
  const digest = digestToken(TOKEN)
  t.match(digest, /^[\w-]{43}$/)
  const hex = '7879110bbfd0578a0628f0992cd611aae203f6a96d74e64bae73c2a226fadfbe'
  t.equal(digestBytes(digest).toString('hex'), hex)
  t.equal(digestFromBytes(digestBytes(digest)), digest)
  t.not(digestToken(`${TOKEN}0`), digest)
  for (const length of [0, 31, 33]) {
    t.throws(() => digestFromBytes(new Uint8Array(length)), /not a SHA-256 digest/)
  }
})

t.test('whatever begins as a token of ours is taken for one', async t => {
  for (const text of ['ci_', 'ci_x', 'ci_a.b.c', TOKEN]) t.equal(isTokenLike(text), true, text)
  for (const text of ['', 'ci', 'CI_x', ' ci_x', 'xci_']) t.equal(isTokenLike(text), false, text)
})
