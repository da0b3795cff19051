import t from 'tap'
import { parseRedisUrl, type RedisMode } from '../../src/redis/url.ts'

const PLAIN = {
  hasTls: false,
  username: undefined,
  password: undefined,
  database: 0,
  primaryName: '',
  sentinelUsername: undefined,
  sentinelPassword: undefined
}

const single = (url: string) => parseRedisUrl(url, 'single')

t.test('one server: host, port, database, credentials and TLS are read', async t => {
  const mode = 'single' as const
  const local = { ...PLAIN, mode, addresses: [{ host: 'localhost', port: 6379 }] }
  t.strictSame(single('redis://localhost'), local)
  t.strictSame(single('redis://localhost/'), local)
  t.strictSame(single('redis://localhost:6380/3'), {
    ...local,
    addresses: [{ host: 'localhost', port: 6380 }],
    database: 3
  })
  t.strictSame(single('rediss://localhost'), { ...local, hasTls: true })
  t.strictSame(single('redis://user:p%40ss@localhost'), {
    ...local,
    username: 'user',
    password: 'p@ss'
  })
  t.strictSame(single('redis://:secret@localhost'), { ...local, password: 'secret' })
  t.strictSame(single('redis://[::1]:7000').addresses, [{ host: '::1', port: 7000 }])
})

t.test('a cluster: several hosts to begin with', async t => {
  t.strictSame(parseRedisUrl('redis://a:7000,b,[::1]:7002', 'cluster'), {
    ...PLAIN,
    mode: 'cluster',
    addresses: [
      { host: 'a', port: 7000 },
      { host: 'b', port: 6379 },
      { host: '::1', port: 7002 }
    ]
  })
})

t.test('sentinels: their own port, the name of the primary, their own credentials', async t => {
  const url = 'redis://:data@s1,s2:26380/main%20one?db=2&sentinelUsername=u&sentinelPassword=p%26w'
  t.strictSame(parseRedisUrl(url, 'sentinel'), {
    ...PLAIN,
    mode: 'sentinel',
    addresses: [
      { host: 's1', port: 26_379 },
      { host: 's2', port: 26_380 }
    ],
    password: 'data',
    database: 2,
    primaryName: 'main one',
    sentinelUsername: 'u',
    sentinelPassword: 'p&w'
  })
})

t.test('anything else is refused with what was expected, and without the password', async t => {
  const bad: readonly (readonly [RedisMode, string, RegExp])[] = [
    ['single', 'http://localhost', /another shape/],
    ['single', 'redis://', /another shape/],
    ['single', 'redis://:secret@', /another shape/],
    ['single', 'redis://localhost#secret', /another shape/],
    ['single', 'redis://secret@localhost', /user:password/],
    ['single', 'redis://:%zz@localhost', /percent-encoding/],
    ['single', 'redis://a,b', /several hosts/],
    ['single', 'redis://localhost:0', /host or port/],
    ['single', 'redis://localhost:65536', /host or port/],
    ['single', 'redis://localhost:secret', /host or port/],
    ['single', 'redis://localhost/zero', /database/],
    ['single', 'redis://localhost?db=1', /query/],
    ['cluster', 'redis://a,b/1', /database 0/],
    ['cluster', 'redis://a,,b', /host or port/],
    ['sentinel', 'redis://:secret@a', /name of the primary/],
    ['sentinel', 'redis://a/main?db=x', /database/],
    ['sentinel', 'redis://a/main?tls=1', /sentinelUsername/]
  ]
  for (const [mode, url, why] of bad) {
    t.throws(() => parseRedisUrl(url, mode), { name: 'RedisUrlError', message: why }, url)
    try {
      parseRedisUrl(url, mode)
    } catch (cause) {
      t.match(String(cause), /expected redis:\/\//)
      t.notMatch(String(cause), 'secret')
    }
  }
})
