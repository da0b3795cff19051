import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, existsSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import t from 'tap'

const CLI = join(import.meta.dirname, '../src/cli.ts')

async function tollgate(argv: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const child = spawn(process.execPath, [CLI, ...argv], {
    env: { PATH: process.env['PATH'], ...env },
    stdio: ['ignore', 'pipe', 'pipe']
  })
  const [stdout, stderr] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'exit')
  ])
  return { code: child.exitCode, stdout, stderr }
}

t.test('data goes to stdout with exit code 0', async t => {
  t.match(await tollgate(['--version']), { code: 0, stdout: /^\d+\.\d+\.\d+\n$/, stderr: '' })
  const help = await tollgate(['--help'])
  t.equal(help.code, 0)
  for (const command of ['serve', 'validate', 'tokens', 'sign', 'migrate']) {
    t.match(help.stdout, new RegExp(`^  ${command}`, 'm'))
  }
})

t.test('messages go to stderr with exit code 2 for a wrong call', async t => {
  t.match(await tollgate(['severe']), { code: 2, stdout: '', stderr: /unknown command 'severe'/ })
  t.match(await tollgate([]), { code: 2, stdout: '', stderr: /Usage: tollgate/ })
})

t.test('bad settings are all told and end with exit code 2', async t => {
  const env = { PORT: 'x', JWT_SECRET: 'hunter2' }
  const { code, stdout, stderr } = await tollgate(['migrate'], env)
  t.equal(code, 2)
  t.equal(stdout, '')
  t.match(stderr, /environment: PORT must be[\s\S]*environment: JWT_SECRET must have/)
  t.notMatch(stderr, 'hunter2')
})

const NO_FULL_DISK = existsSync('/dev/full') ? false : 'this system has no /dev/full'

t.test('output that could not be written is no success', { skip: NO_FULL_DISK }, async t => {
  const fd = openSync('/dev/full', 'w')
  const child = spawn(process.execPath, [CLI, '--version'], { stdio: ['ignore', fd, 'ignore'] })
  await once(child, 'exit')
  closeSync(fd)
  t.equal(child.exitCode, 1)
})

t.test('a reader that has enough is no failure', async t => {
  const child = spawn(process.execPath, [CLI, '--help'], { stdio: ['ignore', 'pipe', 'ignore'] })
  child.stdout.destroy()
  await once(child, 'exit')
  t.equal(child.exitCode, 0)
})
