import t from 'tap'
import { foldName, readName } from '../../src/core/header-name.ts'

t.test('header names are compared in the one spelling that all servers fold them to', async t => {
  t.equal(foldName('X_CI_User.Id'), 'x-ci-user-id')
  t.equal(foldName('Content-Type'), 'content-type')
})

/** Every name that no client may send, the star standing for whatever follows. */
const RESERVED = (
  'x-ci-* x-cli-* forwarded x-forwarded-* x-real-ip x-client-ip true-client-ip x-original-url ' +
  'x-original-uri x-original-method x-original-host x-rewrite-url x-http-method ' +
  'x-http-method-override x-method-override client-cert* x-client-cert* x-ssl-client-* proxy proxy-*'
).split(' ')

t.test('H2, H8, H10, P25, P26: reserved names are reserved in every spelling', async t => {
  for (const reserved of RESERVED) {
    const endings = reserved.endsWith('*') ? ['', 'a', 'user-id'] : ['']
    for (const ending of endings) {
      const name = reserved.replace('*', '') + ending
      const spellings = [
        name,
        name.toUpperCase(),
        name.replaceAll('-', '_'),
        name.replace('-', '.')
      ]
      for (const spelt of spellings) t.equal(readName(spelt).isReserved, true, spelt)
    }
  }
})

t.test('no other name is reserved', async t => {
  const names =
    'host accept authorization cookie content-type x-org-id x-request-id x-c x-ci x-cix x-client ' +
    'x-forwarded x-real-ipx x-http x-original x-ssl client-id proxied true-client-ipx traceparent x- x'
  for (const name of names.split(' ')) t.equal(readName(name).isReserved, false, name)
})

t.test(
  'a name that a request is decided by is told in every spelling, and no other is',
  async t => {
    for (const name of ['host', 'Host', 'Content-Length', 'X_Org_Id', 'x.cli.nonce', 'EXPECT']) {
      t.equal(readName(name).deciding, foldName(name), name)
    }
    for (const name of ['hosts', 'content', 'x-org', 'connection', 'upgrade', 'digest', '']) {
      t.equal(readName(name).deciding, undefined, name)
    }
  }
)

t.test('the headers that promise the bytes of a body are told', async t => {
  for (const name of ['Content-Digest', 'repr_digest', 'Digest', 'Content-MD5']) {
    t.equal(readName(name).isBodyDigest, true, name)
  }
  for (const name of ['content-type', 'digests', 'md5']) {
    t.equal(readName(name).isBodyDigest, false, name)
  }
})
