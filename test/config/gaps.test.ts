import t from 'tap'
import { findGaps } from '../../src/config/gaps.ts'
import { loadSettings } from '../../src/config/load.ts'

function gapsOf(env: Readonly<Record<string, string>>) {
  const loaded = loadSettings({ env, readFile: () => '' })
  if ('problems' in loaded) throw new Error(JSON.stringify(loaded.problems))
  return findGaps(loaded.settings)
}

const COMPLETE = {
  DATABASE_URL: 'postgres://db/tollgate',
  REDIS_URL: 'redis://redis',
  UPSTREAM_URL: 'http://127.0.0.1:3000',
  JWT_SECRET: 'x'.repeat(32)
}

t.test('a gate with everything has no gaps', async t => {
  t.same(gapsOf(COMPLETE), { missing: [], mayBeFilled: true })
})

t.test('each missing part is a gap of its own, a key set stands for the secret', async t => {
  t.same(gapsOf({}).missing, ['DATABASE_URL', 'REDIS_URL', 'UPSTREAM_URL', 'JWT_SECRET'])
  const { JWT_SECRET: _, ...rest } = COMPLETE
  t.same(gapsOf(rest).missing, ['JWT_SECRET'])
  t.same(gapsOf({ ...rest, JWT_JWKS_URL: 'https://login.test/keys' }).missing, [])
})

t.test(
  'embedded parts step in anywhere but in production, unless they are allowed there',
  async t => {
    t.equal(gapsOf({ NODE_ENV: 'test' }).mayBeFilled, true)
    t.equal(gapsOf({ NODE_ENV: 'production' }).mayBeFilled, false)
    const allowed = { NODE_ENV: 'production', TOLLGATE_ALLOW_EMBEDDED: 'true' }
    t.equal(gapsOf(allowed).mayBeFilled, true)
  }
)
