/** The first minute: one command, and what its banner says works when it is pasted. */
import { execFile } from 'node:child_process'
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { NO_BROWSER, openBrowser, openPage } from '../support/browser.ts'
import { call, runTollgate } from '../support/gate.ts'

const run = promisify(execFile)
const ROOT = join(import.meta.dirname, '../..')

/** An empty folder with the project's route file, as after a clone. */
function makeFolder(t: { teardown(run: () => unknown): void }): string {
  const folder = mkdtempSync(join(tmpdir(), 'tollgate-start-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  cpSync(join(ROOT, 'config'), join(folder, 'config'), { recursive: true })
  return folder
}

/** The gate without anything configured; JWT_SECRET too is left to it. */
async function startEmbedded(
  t: { teardown(run: () => unknown): void },
  cwd: string,
  env: Readonly<Record<string, string>> = {}
) {
  const { child, output } = runTollgate({ cwd, env: { PORT: '0', ADMIN_PORT: '0', ...env } })
  t.teardown(() => child.kill('SIGKILL'))
  const exited = once(child, 'exit')
  while (!output().includes('Ctrl-C ends it.')) {
    if (child.exitCode !== null) throw new Error(output())
    await new Promise(resolve => setTimeout(resolve, 50))
  }
  const port = Number(/^Tollgate \S+ on http:\/\/[^:]+:(\d+),/m.exec(output())?.[1])
  return { port, child, output, exited }
}

const folder = makeFolder(t)

t.test('with nothing configured the banner’s lines work, and what was made is kept', async t => {
  const { port, child, output, exited } = await startEmbedded(t, folder)
  t.match(output(), `Token page    http://127.0.0.1:${port}/settings/api-tokens\n`)
  for (const part of [
    'Database',
    'Nonce store',
    'Upstream',
    'User JWTs',
    'Demo JWT',
    'Demo token'
  ]) {
    t.match(output(), new RegExp(`^${part} +\\S`, 'm'), part)
  }
  const lines = output().split('\n')
  const commands = lines.flatMap((line, i) => {
    const status = /: (\d{3})/.exec(lines[i - 1] ?? '')?.[1]
    return line.startsWith('  curl ') && status ? [{ command: line.trim(), status }] : []
  })
  t.same(
    commands.map(({ status }) => status),
    ['200', '401', '200', '201', '200']
  )
  for (const { command, status } of commands) {
    const { stdout } = await run('bash', ['-c', command.replace('curl -i', 'curl -sS -i')])
    t.match(stdout, `HTTP/1.1 ${status} `, command.replaceAll(/Bearer \S+/g, 'Bearer …'))
  }
  const token = /^Demo token +(ci_\w{36})$/m.exec(output())?.[1]
  const after = await call(`http://127.0.0.1:${port}/api/scans/dashboard`, { bearer: token })
  t.equal(after.status, 401, 'the last line of the banner has revoked it')

  // The page that the banner names signs the demo user in, and what is made there works.
  const page = `http://127.0.0.1:${port}/settings/api-tokens`
  t.match(await call(page), { status: 200, text: /^<!doctype html>/ })
  const session = await call(`${page}/demo-session`, { method: 'POST' })
  const own = `http://127.0.0.1:${port}/api/auth/cli-tokens`
  const onPage = await call(own, {
    method: 'POST',
    bearer: String(session.json['token']),
    body: { name: 'from the page' }
  })
  t.equal(onPage.status, 201)
  const read = `http://127.0.0.1:${port}/api/scans/dashboard`
  t.equal((await call(read, { bearer: String(onPage.json['token']) })).status, 200)

  await t.test('and so it does in a browser', { skip: NO_BROWSER }, async t => {
    const seen = await openPage(await openBrowser(t))
    await seen.page.goto(page)
    const press = (name: string) => seen.page.getByRole('button', { name, exact: true }).click()
    await press('Use the demo account')
    await press('Create token')
    await seen.page.getByLabel('Name', { exact: true }).fill('My first token')
    await press('Create token')
    await seen.page.getByRole('heading', { name: /^Copy your token/ }).waitFor()
    const shown = await seen.page.locator('#try').textContent()
    const { stdout } = await run('bash', ['-c', `${shown}`.replace('curl -i', 'curl -sS -i')])
    t.match(stdout, 'HTTP/1.1 200 ')
    t.same(seen.complaints, [])
  })

  // What is kept outlives a restart, and has one user at a time.
  const jwt = /^Demo JWT +(\S+)$/m.exec(output())?.[1]
  const tokens = (at: number) => `http://127.0.0.1:${at}/api/auth/cli-tokens`
  const made = await call(tokens(port), { method: 'POST', bearer: jwt, body: { name: 'mine' } })
  t.equal(made.status, 201)
  const second = runTollgate({ cwd: folder, args: ['tokens', 'list'] })
  t.same(await once(second.child, 'exit'), [3, null])
  t.match(second.output(), /in use by process \d+/)
  child.kill('SIGINT')
  t.same(await exited, [0, null], 'Ctrl-C ends it with exit code 0')
  t.notOk(existsSync(join(folder, '.tollgate/postgres.lock')), 'the folder is free again')

  // In production only because it is asked for.
  const again = await startEmbedded(t, folder, {
    NODE_ENV: 'production',
    TOLLGATE_ALLOW_EMBEDDED: 'true'
  })
  const bearer = String(made.json['token'])
  const used = await call(`http://127.0.0.1:${again.port}/api/scans/dashboard`, { bearer })
  t.equal(used.status, 200, 'the token of before')
  t.equal((await call(tokens(again.port), { bearer: jwt })).status, 200, 'the JWT of before')
  const secret = readFileSync(join(folder, '.tollgate/jwt-secret'), 'utf8').trim()
  t.notMatch(output() + again.output(), secret, 'the secret is printed nowhere')
  again.child.kill('SIGTERM')
  await again.exited
})

t.test('what is wrong is said before anything starts, all of it, with exit code 2', async t => {
  const folder = makeFolder(t)
  const cases = [
    [{ PORT: 'eighty', LEASE_MS: '1', JWT_SECRET: 'short' }, [/PORT /, /LEASE_MS /, /JWT_SECRET /]],
    [{ ROUTES_FILE: 'nothing.yaml' }, [/nothing\.yaml:1:1 .*include/]],
    [{ TRUSTED_PROXIES: '0.0.0.0/0' }, [/TRUSTED_PROXIES .*trusts every address/]],
    [
      { NODE_ENV: 'production' },
      [/DATABASE_URL must be set/, /REDIS_URL must be set/, /UPSTREAM_URL must/, /JWT_SECRET or/]
    ],
    [{ REDIS_URL: 'redis://a,b' }, [/REDIS_URL: expected/]]
  ] as const
  const runs = cases.map(async ([env, says]) => {
    const { child, output } = runTollgate({
      cwd: folder,
      env: { PORT: '0', ADMIN_PORT: '0', ...env }
    })
    const exit = await once(child, 'exit')
    return { env, says, exit, output }
  })
  for (const { env, says, exit, output } of await Promise.all(runs)) {
    t.same(exit, [2, null], JSON.stringify(env))
    for (const pattern of says) t.match(output(), pattern)
    t.notMatch(output(), /\n {4}at /, 'no stack trace')
  }
})

t.test('a taken port is a sentence', async t => {
  const server = createServer()
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => server.close())
  const address = server.address()
  const port = typeof address === 'object' ? address?.port : 0
  const { child, output } = runTollgate({ cwd: folder, env: { PORT: `${port}`, ADMIN_PORT: '0' } })
  t.same(await once(child, 'exit'), [2, null])
  t.match(output(), `127.0.0.1:${port} is taken by another process`)
  t.notOk(existsSync(join(folder, '.tollgate/postgres.lock')), 'the folder is free again')
  t.notMatch(output(), /\n {4}at /)
})
