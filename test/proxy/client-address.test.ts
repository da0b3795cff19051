import t from 'tap'
import { createClientReader } from '../../src/proxy/client-address.ts'

const forwarded = (...entries: readonly string[]) =>
  entries.flatMap(entry => ['X-Forwarded-For', entry])

t.test('without trusted proxies the peer is the client, whatever it writes', async t => {
  const read = createClientReader([])
  const claims = [...forwarded('1.2.3.4'), 'X-Forwarded-Proto', 'https', 'X-Forwarded-Host', 'evil']
  t.same(read('192.0.2.7', claims), {
    ip: '192.0.2.7',
    forwardedFor: '192.0.2.7',
    proto: 'http',
    host: undefined
  })
  t.equal(read('::ffff:192.0.2.7', []).ip, '192.0.2.7', 'an IPv4 peer of a socket for both')
  t.equal(read(undefined, []).ip, '')
})

t.test('a trusted proxy is believed, and the list is read from the right', async t => {
  const read = createClientReader(['10.0.0.0/8', '2001:db8::1'])
  const given = [...forwarded('6.6.6.6, 192.0.2.7', '10.1.1.1'), 'X-Forwarded-Proto', 'HTTPS']
  t.same(read('::ffff:10.0.0.2', [...given, 'x-forwarded-host', 'api.example:8443']), {
    ip: '192.0.2.7',
    forwardedFor: '6.6.6.6, 192.0.2.7, 10.1.1.1, 10.0.0.2',
    proto: 'https',
    host: 'api.example:8443'
  })
  t.equal(read('2001:db8::1', forwarded('192.0.2.9')).ip, '192.0.2.9')
  t.equal(read('10.0.0.2', forwarded('10.3.3.3')).ip, '10.3.3.3', 'all of them trusted')
  t.equal(read('10.0.0.2', []).ip, '10.0.0.2')
  t.equal(read('10.0.0.2', forwarded('192.0.2.7, junk')).ip, '10.0.0.2', 'nothing behind junk')
  t.equal(read('11.0.0.2', forwarded('192.0.2.7')).ip, '11.0.0.2', 'not in the list')
})

t.test('a trusted proxy that contradicts itself is not believed', async t => {
  const read = createClientReader(['10.0.0.1'])
  const twice = ['X-Forwarded-Proto', 'https', 'X-Forwarded-Proto', 'http']
  t.equal(read('10.0.0.1', twice).proto, 'http')
  const hosts = ['X-Forwarded-Host', 'a', 'X-Forwarded-Host', 'b']
  t.equal(read('10.0.0.1', hosts).host, undefined)
  t.equal(read('10.0.0.1', ['X-Forwarded-Host', 'a b']).host, undefined)
  t.equal(read('10.0.0.1', ['X_Forwarded_Proto', 'https']).proto, 'http', 'its exact spelling only')
})
