import { chmodSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { openJwtSecret } from '../../src/embedded/jwt-secret.ts'

t.test('the secret is made once, long enough, and for its owner’s eyes only', async t => {
  const folder = join(t.testdir(), 'state', '.tollgate')
  const made = openJwtSecret({ folder })
  t.equal(made.isKept, true)
  t.ok(Buffer.byteLength(made.secret) >= 32)
  t.equal(statSync(join(folder, 'jwt-secret')).mode & 0o777, 0o600)
  t.equal(statSync(folder).mode & 0o777, 0o700)
  t.same(openJwtSecret({ folder }), made, 'the next start reads it')
})

t.test('two folders have two secrets', async t => {
  const folder = t.testdir({ a: {}, b: {} })
  const [a, b] = ['a', 'b'].map(name => openJwtSecret({ folder: join(folder, name) }).secret)
  t.not(a, b)
})

t.test('where nothing can be written the secret lives in memory', async t => {
  const folder = t.testdir({ 'a-file': '' })
  const below = join(folder, 'a-file', '.tollgate')
  const made = openJwtSecret({ folder: below })
  t.equal(made.isKept, false)
  t.ok(Buffer.byteLength(made.secret) >= 32)
  t.not(openJwtSecret({ folder: below }).secret, made.secret)
})

t.test('a file that is not ours is neither used nor overwritten', async t => {
  for (const text of ['', 'short', 'x'.repeat(44), `${'x'.repeat(42)}!`]) {
    const folder = t.testdir({ 'jwt-secret': text })
    const made = openJwtSecret({ folder })
    t.equal(made.isKept, false)
    t.not(made.secret, text)
    t.equal(readFileSync(join(folder, 'jwt-secret'), 'utf8'), text)
  }
})

t.test('a folder in place of the file, or one that may not be read, is survived', async t => {
  const folder = t.testdir()
  mkdirSync(join(folder, 'jwt-secret'))
  t.equal(openJwtSecret({ folder }).isKept, false)
  const closed = t.testdir({ inner: {} })
  writeFileSync(join(closed, 'jwt-secret'), `${'x'.repeat(43)}\n`)
  chmodSync(join(closed, 'jwt-secret'), 0o000)
  t.doesNotThrow(() => openJwtSecret({ folder: closed }))
})
