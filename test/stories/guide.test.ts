/** The published token guide's own commands, with only the host and the placeholders changed. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import t from 'tap'
import { sharedGate } from '../support/fleet.ts'
import { userJwt } from '../support/gate.ts'

const run = promisify(execFile)

/** Runs a shell script as a CI job would; gives the status and the body of its last curl. */
async function shell(script: string, env: Readonly<Record<string, string>> = {}) {
  const withStatus = script.replaceAll(/^(\s*)curl /gm, String.raw`$1curl -sS -w '\n%{http_code}' `)
  const { stdout } = await run('bash', ['-euc', withStatus], {
    env: { PATH: process.env['PATH'], ...env }
  })
  const lines = stdout.trimEnd().split('\n')
  const status = Number(lines.pop())
  const body: unknown = JSON.parse(lines.join('\n'))
  if (typeof body !== 'object' || body === null) throw new Error(`no object: ${stdout}`)
  return { status, body: { ...body } as Readonly<Record<string, unknown>> }
}

const { gate, upstream } = await sharedGate(t)
const jwt = await userJwt()

const create = (json: string) => `
curl -X POST ${gate.url}/api/auth/cli-tokens \\
  -H "Authorization: Bearer ${jwt}" \\
  -H "Content-Type: application/json" \\
  -d '${json}'`

const guideToken = `{
    "name": "GitHub Actions CI",
    "scopes": ["repos:read", "scans:read", "scans:trigger", "drifts:read"],
    "allRepositories": true
  }`

t.test('the create call of the guide makes a token that the next calls use', async t => {
  const made = await shell(create(guideToken))
  t.equal(made.status, 201)
  t.match(made.body, { name: 'GitHub Actions CI', allRepositories: true, token: /^ci_\w{36}$/ })
  const token = String(made.body['token'])

  const dashboard = await shell(`
curl -H "Authorization: Bearer ${token}" \\
  ${gate.url}/api/scans/dashboard`)
  t.equal(dashboard.status, 200)

  const env = { CONTROLINFRA_TOKEN: token, REPO_CONFIG_ID: 'repo-config-id-1' }
  const trigger = await shell(
    `
curl -X POST \\
  -H "Authorization: Bearer $CONTROLINFRA_TOKEN" \\
  ${gate.url}/api/scans/trigger/$REPO_CONFIG_ID`,
    env
  )
  t.equal(trigger.status, 200)
  t.match(upstream.last(), { method: 'POST', target: '/api/scans/trigger/repo-config-id-1' })

  const drifts = await shell(
    `
curl -H "Authorization: Bearer $CONTROLINFRA_TOKEN" \\
  "${gate.url}/api/drifts/?status=detected&severity=high"`,
    env
  )
  t.equal(drifts.status, 200)
  t.match(upstream.last(), { target: '/api/drifts/?status=detected&severity=high' })

  const list = await shell(`
curl -H "Authorization: Bearer ${jwt}" \\
  ${gate.url}/api/auth/cli-tokens`)
  t.equal(list.status, 200)
  t.notMatch(JSON.stringify(list.body), token, 'the list never shows a token')

  const revoked = await shell(`
curl -X DELETE -H "Authorization: Bearer ${jwt}" \\
  ${gate.url}/api/auth/cli-tokens/${String(made.body['id'])}`)
  t.equal(revoked.status, 200)
  t.match(revoked.body, { success: true, id: made.body['id'] })

  const after = await shell(`
curl -H "Authorization: Bearer ${token}" \\
  ${gate.url}/api/scans/dashboard`)
  t.equal(after.status, 401)
  t.match(after.body, { message: 'Invalid or expired CLI token' })
})

t.test('a token for specific repositories reaches those alone', async t => {
  const made = await shell(
    create(`{
  "name": "Prod Only",
  "scopes": ["scans:read", "scans:trigger", "drifts:read"],
  "allRepositories": false,
  "repositories": ["repo-config-id-1", "repo-config-id-2"]
}`)
  )
  t.equal(made.status, 201)
  const env = { CONTROLINFRA_TOKEN: String(made.body['token']) }
  const trigger = (id: string) =>
    shell(
      `
curl -X POST \\
  -H "Authorization: Bearer $CONTROLINFRA_TOKEN" \\
  ${gate.url}/api/scans/trigger/${id}`,
      env
    )
  t.equal((await trigger('repo-config-id-2')).status, 200)
  const refused = await trigger('repo-config-id-3')
  t.equal(refused.status, 403)
  t.match(refused.body, {
    message: 'Repository access denied',
    error: 'This token does not have access to this repository'
  })
})
