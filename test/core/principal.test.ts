import t from 'tap'
import { isExpired, isRevoked, NOBODY } from '../../src/core/principal.ts'
import { NOW, token } from './examples.ts'

t.test('a token expires at its instant, not after it', async t => {
  t.equal(isExpired({ ...token, expiresAtMs: NOW }, NOW - 1), false)
  t.equal(isExpired({ ...token, expiresAtMs: NOW }, NOW), true)
  t.equal(isExpired({ ...token, expiresAtMs: 0 }, NOW), true)
  t.equal(isExpired({ ...token, expiresAtMs: null }, Number.MAX_SAFE_INTEGER), false)
})

t.test('a token is revoked once it has an instant of revocation, whenever that is', async t => {
  t.equal(isRevoked(token), false)
  t.equal(isRevoked({ ...token, revokedAtMs: NOW }), true)
  t.equal(isRevoked({ ...token, revokedAtMs: 0 }), true)
})

t.test('nobody is nobody', async t => t.same(NOBODY, { kind: 'none' }))
