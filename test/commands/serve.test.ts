import { join } from 'node:path'
import t, { type Test } from 'tap'
import { run } from '../../src/commands/run.ts'
import { fakeIo } from '../support/command-io.ts'
import { fileWith } from '../support/routes.ts'

/** Nothing is opened where the route file is refused. */
async function serve(t: Test, text: string) {
  const io = fakeIo({ ROUTES_FILE: join(t.testdir({ 'routes.yaml': text }), 'routes.yaml') })
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

t.test('a route file with an error is refused at start, with its place', async t => {
  const { exitCode, stderr } = await serve(t, fileWith('GET /a: a:reed'))
  t.equal(exitCode, 2)
  t.match(stderr, /routes\.yaml:7:11 +error +unknown-scope/)
})
