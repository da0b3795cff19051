import t, { type Test } from 'tap'
import { isWrong } from '../../src/config/kinds.ts'
import { SETTINGS } from '../../src/config/schema.ts'

const isTaken = (name: keyof typeof SETTINGS, text: string) => !isWrong(SETTINGS[name].parse(text))

function table(
  t: Test,
  name: keyof typeof SETTINGS,
  { good, bad }: { readonly good: readonly string[]; readonly bad: readonly string[] }
) {
  for (const text of good) t.ok(isTaken(name, text), `${name} takes ${text}`)
  for (const text of bad) t.notOk(isTaken(name, text), `${name} refuses ${text}`)
}

t.test('whole numbers are decimal digits within their range', async t => {
  table(t, 'PORT', {
    good: ['0', '80', '65535'],
    bad: ['', '-1', '65536', '1e3', '0x50', ' 80', '80.0', '٣', '9'.repeat(30)]
  })
  table(t, 'SIGNATURE_WINDOW_MS', { good: ['1000', '300000'], bad: ['999', '300001'] })
  table(t, 'NONCE_RECOVERY_MS', { good: ['0', '300000'], bad: ['300001'] })
  table(t, 'AUDIT_RETENTION_DAYS', { good: ['0', '30', '400'], bad: ['1', '29'] })
})

t.test('shares, switches and choices take what they say', async t => {
  table(t, 'OTEL_TRACES_SAMPLER_ARG', {
    good: ['0', '1', '.5', '0.01', '1.0'],
    bad: ['', '2', '1.1', '1e-3', '-0']
  })
  table(t, 'TOLLGATE_ALLOW_EMBEDDED', { good: ['true', 'false'], bad: ['', '1', 'yes', 'TRUE'] })
  table(t, 'LOG_LEVEL', { good: ['info', 'silent'], bad: ['', 'INFO', 'verbose'] })
  table(t, 'REDIS_MODE', { good: ['single', 'cluster', 'sentinel'], bad: ['', 'Cluster'] })
})

t.test('listening addresses are IP addresses or host names', async t => {
  table(t, 'HOST', {
    good: ['0.0.0.0', '::', 'localhost', 'gate-1.internal'],
    bad: ['', ' ', 'a b', '-a', 'http://x', 'fe80::1%eth0']
  })
  table(t, 'POD_IP', { good: ['10.0.0.1', 'fd00::1'], bad: ['', 'pod', '10.0.0.1/8'] })
})

t.test('an upstream is an origin or a socket, and nothing that would change a target', async t => {
  table(t, 'UPSTREAM_URL', {
    good: [
      'http://app',
      'http://127.0.0.1:3000',
      'https://app:8443',
      'http://[::1]:3000',
      'unix:/run/app.sock'
    ],
    bad: [
      '',
      'app:3000',
      'ftp://app',
      'http://',
      'http://app/api',
      'http://app?x=1',
      'http://app?',
      'http://app#x',
      'http://u:p@app',
      'http://u@app',
      'http://app:99999',
      String.raw`http://app\x`,
      'http://a b',
      'unix:',
      'unix:run/app.sock',
      'unix:/run/app.sock?x'
    ]
  })
  t.equal(SETTINGS.UPSTREAM_URL.parse('http://app:3000/'), 'http://app:3000')
})

t.test('other URLs are told by their scheme', async t => {
  table(t, 'DATABASE_URL', {
    good: ['postgres://u:p@db/tollgate', 'postgresql:///x?host=/run/pg'],
    bad: ['', 'mysql://db', 'db', 'postgres://a b']
  })
  table(t, 'REDIS_URL', {
    good: ['redis://r', 'rediss://:p@r:6380/1', 'redis://a:1,b:2'],
    bad: ['', 'r:6379', 'http://r']
  })
  table(t, 'JWT_JWKS_URL', { good: ['https://l/k', 'http://l/k'], bad: ['', 'file:///k'] })
})

t.test('trusted proxies never are everybody, nor IPv4 in disguise (H9)', async t => {
  table(t, 'TRUSTED_PROXIES', {
    good: ['', '10.0.0.1', '10.0.0.0/8, 192.0.2.0/24', '2001:db8::/32', '::1', '64:ff9b::/96'],
    bad: [
      '0.0.0.0/0',
      '::/0',
      '10.0.0.0/0',
      '::ffff:10.0.0.0/8',
      '::ffff:10.0.0.0/104',
      '::ffff:10.0.0.1',
      '::ffff:a00:1/128',
      '::/64',
      '::/1',
      '10.0.0.0/33',
      '2001:db8::/129',
      '10.0.0.0/',
      '10.0.0.0/-1',
      '10.0.0.0/8/8',
      '10.0.0',
      'localhost',
      '10.0.0.1,',
      'fe80::1%eth0'
    ]
  })
  t.match(SETTINGS.TRUSTED_PROXIES.parse('10.0.0.1, 0.0.0.0/0, x'), {
    wrong: 'is refused: entry 2 trusts every address; entry 3 is no address and no CIDR range'
  })
})

const probe = (name: string, url: unknown) => JSON.stringify({ [name]: url })

t.test("the application's probes are asked on loopback alone", async t => {
  table(t, 'APP_PROBES', {
    good: [
      '{}',
      probe('web/readiness', 'http://127.0.0.1:3000/ready?x=1'),
      probe('web-1/liveness', 'http://[::1]:3000/')
    ],
    bad: [
      '',
      '[]',
      'null',
      '{',
      probe('web', 'http://127.0.0.1/'),
      probe('web/other', 'http://127.0.0.1/'),
      probe('web/startup', 'http://10.0.0.1/'),
      probe('web/startup', 'http://localhost/'),
      probe('web/startup', 'https://127.0.0.1/'),
      probe('web/startup', 'http://127.evil.test/'),
      probe('web/startup', 'http://u@127.0.0.1/'),
      probe('web/startup', 7),
      JSON.stringify(
        Object.fromEntries(
          Array.from({ length: 17 }, (_, i) => [`c${i}/startup`, 'http://127.0.0.1/'])
        )
      )
    ]
  })
})

t.test('lines of text have no control characters', async t => {
  table(t, 'JWT_ISSUER', { good: ['https://login.test/', 'ö'], bad: ['', 'a\nb', 'a\u202Eb'] })
  table(t, 'DASHBOARD_LOGIN_PATH', {
    good: ['', '/login'],
    bad: ['login', '/a b', 'https://x/', '//x/login', String.raw`/\x/login`]
  })
})
