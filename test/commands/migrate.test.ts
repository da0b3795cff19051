import t from 'tap'
import { run } from '../../src/commands/run.ts'
import { fakeIo } from '../support/command-io.ts'
import { freePort } from '../support/gate.ts'
import { startPostgres } from '../support/postgres.ts'

const postgres = await startPostgres(t)

async function migrate(env: Readonly<Record<string, string>>) {
  const io = fakeIo(env)
  const exitCode = await run(['migrate'], io)
  return { exitCode, stdout: io.stdout(), stderr: io.stderr() }
}

t.test('migrate brings an empty database up to date, and says so', async t => {
  const { url, sql } = await postgres.createDatabase({ isEmpty: true })
  const first = await migrate({ DATABASE_URL: url, LEASE_MS: '3000' })
  t.same(first, { exitCode: 0, stdout: 'Applied: 1.\n', stderr: '' })
  t.same(await sql('SELECT lease_ms, wait_ms FROM tg_epoch'), [{ lease_ms: 3000, wait_ms: 3000 }])
  const again = await migrate({ DATABASE_URL: url })
  t.same(again, { exitCode: 0, stdout: 'The schema is up to date.\n', stderr: '' })
})

t.test('a schema that is newer, or made from other files, is bad configuration', async t => {
  const { url, sql } = await postgres.createDatabase()
  await sql(`INSERT INTO tg_migration (version, file, checksum) VALUES (9, '0009_x.sql', 'x')`)
  t.match(await migrate({ DATABASE_URL: url }), {
    exitCode: 2,
    stdout: '',
    stderr: /version 9, and this program knows \d at most: use a newer one\n$/
  })
  await sql(`DELETE FROM tg_migration WHERE version = 9`)
  await sql(`UPDATE tg_migration SET checksum = 'x'`)
  t.match(await migrate({ DATABASE_URL: url }), { exitCode: 2, stderr: /not what was applied/ })
})

t.test('a database out of reach is told without its password', async t => {
  const nobody = `127.0.0.1:${await freePort()}`
  for (const where of [`${nobody}/x`, `127.0.0.1:${postgres.port}/nowhere`]) {
    const DATABASE_URL = `postgres://tollgate:a-password-of-tests@${where}`
    const { exitCode, stdout, stderr } = await migrate({ DATABASE_URL })
    t.equal(exitCode, 3)
    t.equal(stdout, '')
    t.match(stderr, /^The token store cannot be reached/)
    t.notMatch(stderr, 'a-password-of-tests')
  }
})

t.test('without DATABASE_URL there is nothing to migrate', async t => {
  t.match(await migrate({}), { exitCode: 2, stderr: /^DATABASE_URL is not set/ })
})
