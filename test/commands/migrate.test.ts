import t from 'tap'
import { run } from '../../src/commands/run.ts'
import { fakeIo } from '../support/command-io.ts'
import { startPostgres } from '../support/postgres.ts'

const server = await startPostgres(t)

async function migrate(env: Readonly<Record<string, string>>) {
  const io = fakeIo(env)
  const exitCode = await run(['migrate'], io)
  return { exitCode, stdout: io.stdout(), stderr: io.stderr() }
}

t.test('an empty database gets its schema, a current one is left alone', async t => {
  const created = await server.createDatabase({ isEmpty: true })
  const env = { DATABASE_URL: created.url, LEASE_MS: '3000' }
  t.same(await migrate(env), { exitCode: 0, stdout: 'Applied: 1.\n', stderr: '' })
  t.same(await migrate({ ...env, LEASE_MS: '500' }), {
    exitCode: 0,
    stdout: 'The schema is up to date.\n',
    stderr: ''
  })
  t.same(await created.sql('SELECT lease_ms, wait_ms FROM tg_epoch'), [
    { lease_ms: 3000, wait_ms: 3000 }
  ])
})

t.test('any number may run at once', async t => {
  const { url } = await server.createDatabase({ isEmpty: true })
  const ended = await Promise.all(Array.from({ length: 5 }, () => migrate({ DATABASE_URL: url })))
  t.ok(ended.every(({ exitCode, stderr }) => exitCode === 0 && stderr === ''))
  t.equal(ended.filter(({ stdout }) => stdout === 'Applied: 1.\n').length, 1)
})

t.test('a database that this program does not know ends with 2', async t => {
  const created = await server.createDatabase()
  await created.sql(`UPDATE tg_migration SET checksum = 'x'`)
  const changed = await migrate({ DATABASE_URL: created.url })
  t.match(changed, { exitCode: 2, stdout: '', stderr: /^0001_tokens\.sql is not what was applied/ })
  await created.sql(`INSERT INTO tg_migration (version, file, checksum) VALUES (7, 'x', 'x')`)
  const newer = await migrate({ DATABASE_URL: created.url })
  t.match(newer, { exitCode: 2, stdout: '', stderr: /^the database schema has version 7, / })
  t.equal(newer.stderr.split('\n').length, 2, 'one sentence')
})

t.test('no database and bad settings end with 2', async t => {
  t.match(await migrate({}), { exitCode: 2, stdout: '', stderr: /^DATABASE_URL is not set: / })
  t.match(await migrate({ LEASE_MS: '1' }), { exitCode: 2, stdout: '', stderr: /LEASE_MS/ })
})

t.test('a database that cannot be reached ends with 3, and its password is not told', async t => {
  const secret = 'hunter2-hunter2'
  const created = await server.createDatabase()
  const withPassword = created.url.replace('tollgate@', `tollgate:${secret}@`)
  for (const DATABASE_URL of [
    withPassword.replace(/:\d+\//, ':1/'),
    withPassword.replace(/\/[^/]*$/, '/nowhere'),
    withPassword.replace('tollgate:', 'nobody:')
  ]) {
    const { exitCode, stdout, stderr } = await migrate({ DATABASE_URL })
    t.equal(exitCode, 3)
    t.equal(stdout, '')
    t.match(stderr, /^The token store cannot be reached\. Try again shortly\. \(.+\)\n$/)
    t.notMatch(stderr, secret)
  }
})
