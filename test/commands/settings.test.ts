import { join } from 'node:path'
import t from 'tap'
import { readSettings } from '../../src/commands/settings.ts'
import { fakeIo } from '../support/command-io.ts'

t.test('a command reads its settings from environment and file', async t => {
  const folder = t.testdir({ 'gate.yaml': 'PORT: 1234\n' })
  const io = fakeIo({ TOLLGATE_CONFIG: join(folder, 'gate.yaml'), LEASE_MS: '300' })
  t.match(readSettings(io), { PORT: 1234, LEASE_MS: 300 })
  t.equal(io.stderr(), '')
})

t.test('bad settings end a command with all their problems and 2', async t => {
  const folder = t.testdir({ 'gate.yaml': '\nPROT: 1234\n' })
  const file = join(folder, 'gate.yaml')
  const io = fakeIo({ TOLLGATE_CONFIG: file, LEASE_MS: 'x' })
  t.throws(() => readSettings(io), {
    name: 'CommandExit',
    exitCode: 2,
    message: `${file}:2:1: PROT is no setting\nenvironment: LEASE_MS must be a whole number: 200 to 60000`
  })
})

t.test('a name that looks mistyped is a warning on stderr', async t => {
  const io = fakeIo({ DATABASE_ULR: 'x' })
  t.equal(readSettings(io).DATABASE_URL, undefined)
  t.equal(io.stderr(), 'Warning: DATABASE_ULR is no setting. Did you mean DATABASE_URL?\n')
  t.equal(io.stdout(), '')
})
