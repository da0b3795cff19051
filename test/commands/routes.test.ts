import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { run } from '../../src/commands/run.ts'
import { jsonSchemaText } from '../../src/routes/schema.ts'
import { fakeIo } from '../support/command-io.ts'
import { fileWith } from '../support/routes.ts'

async function tollgate(argv: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const io = fakeIo(env)
  const exitCode = await run(argv, io)
  return { exitCode, stdout: io.stdout(), stderr: io.stderr() }
}

function fileOf(t: Test, text: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'tollgate-routes-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'routes.yaml')
  writeFileSync(file, text)
  return file
}

const GOOD = fileWith('GET /a: [a:read, a:write]', 'GET /b: { scope: b:read, repo: upstream }')

t.test('a good route file is summed up, with exit code 0', async t => {
  const file = fileOf(t, GOOD)
  const summary =
    '0 errors, 0 warnings, 0 notes. 2 rules; 0 need no credential; 1 leave repositories to the upstream; 0 in report mode\n'
  t.same(await tollgate(['validate', file]), { exitCode: 0, stdout: summary, stderr: '' })
  const named = await tollgate(['validate'], { ROUTES_FILE: file })
  t.equal(named.stdout, summary, 'the file of the settings, where none is named')
})

t.test('every problem is told with its place, and ends with 1', async t => {
  const file = fileOf(t, fileWith('GET /a: a:reed', 'GET //b: public', 'PSOT /c: jwt'))
  const { exitCode, stdout, stderr } = await tollgate(['validate', file])
  t.equal(exitCode, 1)
  t.equal(stderr, '')
  t.match(stdout, `${file}:7:11`)
  t.match(stdout, /error +unknown-scope +"a:reed" is not declared\. Did you mean "a:read"\?\n/)
  t.match(stdout, /:8:3 +error +bad-key /)
  t.match(stdout, /:9:3 +error +bad-key /)
  t.match(stdout, /^3 errors, /m)
})

t.test('a warning is a finding where that is asked for', async t => {
  const file = fileOf(t, fileWith('GET /a: a:read'))
  const lax = await tollgate(['validate', file])
  t.equal(lax.exitCode, 0)
  t.match(lax.stdout, /warning +unused-scope/)
  t.equal((await tollgate(['validate', '--strict', file])).exitCode, 1)
})

t.test('the page’s path is the gate’s own, unless the page is switched off', async t => {
  const rule = (path: string) => `GET ${path}: { scope: public, why: a page of ours }`
  const file = fileOf(t, fileWith(rule('/settings/api-tokens'), rule('/settings/api-tokens/x')))
  const { exitCode, stdout } = await tollgate(['validate', file])
  t.equal(exitCode, 1)
  t.match(stdout, /:7:3 +error +reserved-path +\/settings\/api-tokens and what is below/)
  t.match(stdout, /:8:3 +error +reserved-path /)
  t.equal((await tollgate(['validate', file], { DASHBOARD: 'off' })).exitCode, 0)
})

t.test('the schema is data for editors', async t => {
  t.same(await tollgate(['schema']), { exitCode: 0, stdout: jsonSchemaText(), stderr: '' })
})
