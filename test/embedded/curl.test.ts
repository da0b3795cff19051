import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import t from 'tap'
import type { Rule, RouteTable } from '../../src/core/rule.ts'
import { curlLines } from '../../src/embedded/curl.ts'
import { scopeTable } from '../support/token-api.ts'

const gateUrl = 'http://127.0.0.1:8080'
const jwt = 'eyJh.eyJz.c2ln'
const token = {
  id: '0190c5a0-0000-7000-8000-000000000001',
  token: 'ci_text',
  scopes: ['scans:all']
}

function tableOf(needs: Readonly<Record<string, Rule['need']>>): RouteTable {
  const rules = Object.entries(needs).map(([key, need]): Rule => {
    const [method = '', path = ''] = key.split(' ')
    return {
      key,
      methods: [method],
      isWildcard: false,
      path,
      params: [],
      need,
      bindings: undefined,
      signature: 'optional',
      mode: 'enforce',
      timeoutMs: 30_000,
      upstream: 'default',
      upgrade: undefined,
      why: undefined,
      place: { file: 'routes.yaml', line: 1, col: 1 }
    }
  })
  const implied = ['scans:all', 'scans:read', 'scans:trigger']
  const effectiveScopes = (granted: readonly string[]) =>
    granted.includes('scans:all') ? implied : granted
  return { ...scopeTable({}), rules, effectiveScopes }
}

const DASHBOARD = 'GET /api/scans/dashboard'
const TRIGGER = 'POST /api/scans/trigger/{repositoryConfigId}'
const table = tableOf({
  [DASHBOARD]: { kind: 'all', scopes: ['scans:read'] },
  [TRIGGER]: { kind: 'all', scopes: ['scans:trigger'] }
})

function commands(spoiled: Partial<Parameters<typeof curlLines>[0]> = {}): readonly string[] {
  return curlLines({ gateUrl, jwt, token, table, ...spoiled }).filter(line => !line.startsWith('#'))
}

t.test('each command is whole and stands under a line that says what it shows', async t => {
  t.same(curlLines({ gateUrl, jwt, token, table }), [
    '# Read with the demo token: 200',
    `curl -i -H 'Authorization: Bearer ci_text' ${gateUrl}/api/scans/dashboard`,
    '# The same without a token: 401',
    `curl -i ${gateUrl}/api/scans/dashboard`,
    '# See what the upstream receives: 200',
    `curl -i -X POST -H 'Authorization: Bearer ci_text' ${gateUrl}/api/scans/trigger/shop-production`,
    '# Make a token, as the demo user: 201',
    `curl -i -X POST -H 'Authorization: Bearer ${jwt}' -H 'Content-Type: application/json' ` +
      `-d '{"name":"My first token"}' ${gateUrl}/api/auth/cli-tokens`,
    '# Revoke the demo token: 200, and 401 for it from then on',
    `curl -i -X DELETE -H 'Authorization: Bearer ${jwt}' ${gateUrl}/api/auth/cli-tokens/${token.id}`
  ])
})

t.test('only what the route file permits this token is offered', async t => {
  const without = (key: string, need: Rule['need']) => {
    const needs = table.rules.map(rule => [rule.key, rule.key === key ? need : rule.need] as const)
    return commands({ table: tableOf(Object.fromEntries(needs)) })
  }
  const scope = { kind: 'all', scopes: ['scans:read', 'admin:all'] } as const
  for (const need of [scope, { kind: 'deny' }, { kind: 'jwt' }] as const) {
    t.notMatch(without(DASHBOARD, need).join('\n'), '/dashboard')
    t.match(without(DASHBOARD, need).join('\n'), '/trigger/')
    t.notMatch(without(TRIGGER, need).join('\n'), '/trigger/')
  }
  t.equal(commands({ table: tableOf({}) }).length, 2, 'another route file: the token API is left')
  t.equal(commands({ token: undefined }).length, 1)
})

t.test('a shell reads each command as it is meant', async t => {
  const run = promisify(execFile)
  for (const command of commands()) {
    const { stdout } = await run('bash', ['-c', `curl() { printf '%s\\n' "$@"; }; ${command}`])
    const args = stdout.trimEnd().split('\n')
    t.equal(args[0], '-i')
    t.match(args.at(-1), /^http:\/\/127\.0\.0\.1:8080\/api\/[\w/-]+$/)
    t.notMatch(
      args.filter(arg => arg.startsWith('-')),
      /'/
    )
  }
})
