import { join } from 'node:path'
import t, { type Test } from 'tap'
import { run } from '../../src/commands/run.ts'
import { fakeIo } from '../support/command-io.ts'
import { fileWith } from '../support/routes.ts'

/** Nothing is opened where the route file is refused. */
async function serve(t: Test, text: string, env: Readonly<Record<string, string>> = {}) {
  const io = fakeIo({
    ...env,
    ROUTES_FILE: join(t.testdir({ 'routes.yaml': text }), 'routes.yaml')
  })
  const exitCode = await run(['serve'], io)
  return { exitCode, stdout: io.stdout(), stderr: io.stderr() }
}

t.test('a route file with a failing test is refused at start, with what happened', async t => {
  const text = `${fileWith('GET /a: a:read')}\ntests: [{ request: GET /a, expect: allow }]`
  const { exitCode, stdout, stderr } = await serve(t, text)
  t.equal(exitCode, 2)
  t.equal(stdout, '')
  t.match(
    stderr,
    /routes\.yaml:8:9 +error +failing-test +GET \/a without a credential: expected allow/
  )
  t.notMatch(stderr, 'unused-scope', 'warnings stop nothing, so they are not told here')
})

/** Nobody is asked before everything could be read. */
const NOTHING_EMBEDDED = {
  DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none',
  REDIS_URL: 'redis://127.0.0.1:1',
  UPSTREAM_URL: 'http://127.0.0.1:1',
  JWT_SECRET: 'x'.repeat(32)
}

t.test('certificates that cannot be read are named', async t => {
  const text = `${fileWith('GET /a: a:read')}\nupstreams: { api: { url: 'https://h', caFile: /nowhere/ca.pem } }`
  const { exitCode, stdout, stderr } = await serve(t, text, NOTHING_EMBEDDED)
  t.equal(exitCode, 2)
  t.equal(stdout, '')
  t.equal(stderr, 'upstream "api": the caFile /nowhere/ca.pem cannot be read: it is not there\n')
})

t.test('a route file with an error is refused at start, with its place', async t => {
  const { exitCode, stderr } = await serve(t, fileWith('GET /a: a:reed'))
  t.equal(exitCode, 2)
  t.match(stderr, /routes\.yaml:7:11 +error +unknown-scope/)
})
