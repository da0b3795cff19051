import * as fc from 'fast-check'
import t from 'tap'
import { NONCE_MARKS, nonceKey, nonceTtlMs } from '../../src/core/nonce.ts'
import { NOW, token } from './examples.ts'

const WINDOW = 300_000 // ms, the widest there is

t.test(
  'a nonce is kept under a digest of token and nonce, beside the mark of its bucket',
  async t => {
    // printf %s "$id:n1" | openssl dgst -sha256: its first byte mod 64, its first 16 bytes
    t.same(nonceKey(token.id, 'n1'), {
      key: 'tollgate:nonce:{61}:fYP6y9ZJUC1WL38F-2X-aA',
      mark: 'tollgate:nonce:{61}:epoch'
    })
  }
)

t.test('each of 64 buckets has one mark', async t => {
  t.equal(new Set(NONCE_MARKS).size, 64)
  t.equal(NONCE_MARKS[63], 'tollgate:nonce:{63}:epoch')
  const marks = Array.from({ length: 2000 }, (_, i) => nonceKey(token.id, `n${i}`).mark)
  t.same(new Set(marks), new Set(NONCE_MARKS), 'and 2000 nonces need all of them')
})

t.test('C2: different tokens and nonces have different keys', async t => {
  const id = fc.uuid()
  const nonce = fc.stringMatching(/^[\w.~+/=-]{1,128}$/)
  const law = fc.property(id, nonce, id, nonce, (id1, nonce1, id2, nonce2) => {
    const isSame = id1 === id2 && nonce1 === nonce2
    return (nonceKey(id1, nonce1).key === nonceKey(id2, nonce2).key) === isSame
  })
  fc.assert(law)
  t.not(nonceKey(token.id, 'ab').key, nonceKey(`${token.id}a`, 'b').key)
  t.not(nonceKey(token.id, 'n').key, nonceKey(token.id, 'N').key)
})

t.test(
  'C9: a nonce is kept until its timestamp is too old everywhere, and a minute more',
  async t => {
    for (const aheadMs of [WINDOW, 299_000, 0, -WINDOW]) {
      t.equal(NOW + nonceTtlMs(NOW + aheadMs, NOW), NOW + aheadMs + WINDOW + 60_000)
    }
    t.equal(nonceTtlMs(NOW + WINDOW, NOW), 660_000)
    t.equal(nonceTtlMs(NOW - WINDOW, NOW), 60_000)
  }
)
