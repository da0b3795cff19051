import { Command } from 'commander'
import t from 'tap'
import { run } from '../../src/commands/run.ts'
import type { ScopeMap } from '../../src/commands/token-input.ts'
import type { TokenDesk } from '../../src/commands/token-desk.ts'
import { registerTokens } from '../../src/commands/tokens.ts'
import { Fault } from '../../src/core/decision.ts'
import type { Actor, BulkFilter, Change, NewToken } from '../../src/core/ports.ts'
import type { TokenRow } from '../../src/core/principal.ts'
import { digestToken, isWellFormedToken, previewToken } from '../../src/core/token.ts'
import { fakeIo } from '../support/command-io.ts'

const NOW = 1_800_000_000_000 // ms
const ID = '0190c5a0-0000-7000-8000-000000000001'
const TOKEN = 'ci_GoldenVector0OnlyForTests000001xNBA0'

const row: TokenRow = {
  id: ID,
  digest: digestToken(TOKEN),
  preview: previewToken(TOKEN),
  userId: 'u1',
  orgId: null,
  name: 'ci',
  scopes: ['scans:read'],
  repositories: null,
  requireSignature: false,
  createdAtMs: NOW,
  lastUsedAtMs: null,
  expiresAtMs: null,
  revokedAtMs: null
}

const change: Change = { kind: 'revoke', seq: 7, ids: [ID], waitMs: 2000, history: 'h' }
const receipt = { replicas: 3, acknowledged: 3, waitedMs: 12.4 }

const scope = (name: string, isDefault: boolean) =>
  [name, { name, title: name, about: '', risk: 'low', isDefault, implies: [] }] as const
const declared: ScopeMap = new Map([scope('scans:read', true), scope('scans:trigger', false)])

interface Spoiled {
  readonly rows?: readonly TokenRow[]
  readonly scopes?: ScopeMap
  readonly revoke?: 'not-found'
  readonly bulk?: { ids: readonly string[]; change: Change | undefined }
  readonly acknowledged?: number
  readonly barrierFault?: Fault
}

/** Runs `tokens …` on a desk that notes what is asked of it. */
async function tokens(argv: readonly string[], spoiled: Spoiled = {}) {
  const io = fakeIo()
  const created: NewToken[] = []
  const asked: unknown[] = []
  const actors: Actor[] = []
  let isClosed = false
  const desk: TokenDesk = {
    store: {
      create: async (token, actor) => {
        created.push(token)
        actors.push(actor)
        return { ...row, ...token, expiresAtMs: null }
      },
      list: async filter => {
        asked.push(filter)
        return spoiled.rows ?? [row]
      },
      revoke: async (id, userId, actor) => {
        asked.push([id, userId])
        actors.push(actor)
        return spoiled.revoke ?? { revokedAtMs: NOW, change }
      },
      revokeMany: async (filter: BulkFilter, actor) => {
        asked.push(filter)
        actors.push(actor)
        return spoiled.bulk ?? { ids: [ID, 'x'], change }
      },
      rotate: async () => 'not-found',
      confirm: async () => true
    },
    barrier: {
      wait: async given => {
        asked.push(given)
        if (spoiled.barrierFault) throw spoiled.barrierFault
        return { ...receipt, acknowledged: spoiled.acknowledged ?? receipt.acknowledged }
      }
    },
    scopes: async () => spoiled.scopes ?? declared,
    [Symbol.asyncDispose]: async () => void (isClosed = true)
  }
  let isOpened = false
  const load = async () => (program: Command) =>
    registerTokens(program, io, async () => {
      isOpened = true
      return desk
    })
  const exitCode = await run(['tokens', ...argv], io, [{ commands: { tokens: '' }, load }])
  if (isOpened !== isClosed) throw new Error('the desk was left open')
  return { exitCode, stdout: io.stdout(), stderr: io.stderr(), created, asked, actors, isOpened }
}

const CREATE = ['create', '--user', 'u1', '--name', 'GitHub Actions']

t.test('create prints a token, and nothing but the token on stdout', async t => {
  const { exitCode, stdout, stderr, created, actors } = await tokens(CREATE)
  t.equal(exitCode, 0)
  t.ok(isWellFormedToken(stdout.trimEnd()))
  t.equal(stdout.split('\n').length, 2)
  t.match(stderr, `Token ${ID} for u1: scans:read. It is not shown again.`)
  t.same(created, [
    {
      digest: digestToken(stdout.trimEnd()),
      preview: previewToken(stdout.trimEnd()),
      userId: 'u1',
      orgId: null,
      name: 'GitHub Actions',
      scopes: ['scans:read'],
      repositories: null,
      expires: null,
      requireSignature: false
    }
  ])
  t.match(actors, [{ kind: 'operator', id: /^.+@.+$/, ip: undefined }])
})

t.test('create takes every right that the API takes', async t => {
  const rights =
    '--org o1 --scopes scans:trigger,scans:read --repositories r1,r2,r1 ' +
    '--expires-in-days 30 --require-signature --output json'
  const { exitCode, stdout, created } = await tokens([...CREATE, ...rights.split(' ')])
  t.equal(exitCode, 0)
  t.match(created, [
    {
      orgId: 'o1',
      scopes: ['scans:trigger', 'scans:read'],
      repositories: ['r1', 'r2'],
      expires: { inDays: 30 },
      requireSignature: true
    }
  ])
  const answer: unknown = JSON.parse(stdout)
  t.match(answer, {
    token: /^ci_/,
    id: ID,
    userId: 'u1',
    allRepositories: false,
    repositories: ['r1', 'r2'],
    createdAt: '2027-01-15T08:00:00.000Z',
    revokedAt: null
  })
  t.notMatch(stdout, 'digest')
  t.match((await tokens([...CREATE, '--all'])).created, [{ repositories: null }])
})

t.test('create refuses what the API would refuse, before anything is written', async t => {
  const without = (option: string) => {
    const at = CREATE.indexOf(option)
    return [...CREATE.slice(0, at), ...CREATE.slice(at + 2)]
  }
  const cases: readonly (readonly [readonly string[], RegExp])[] = [
    [without('--user'), /required option '--user <id>'/],
    [without('--name'), /required option '--name <text>'/],
    [[...without('--user'), '--user', 'a,b'], /--user takes/],
    [[...without('--user'), '--user', ''], /--user takes/],
    [[...without('--name'), '--name', ' '], /--name takes/],
    [[...without('--name'), '--name', 'a\nb'], /--name takes/],
    [[...without('--name'), '--name', 'x'.repeat(101)], /--name takes/],
    [[...CREATE, '--org', ' o'], /--org takes/],
    [[...CREATE, '--scopes', 'scans:raed'], /"scans:raed"\. Did you mean "scans:read"\?/],
    [[...CREATE, '--scopes', ''], /does not declare ""/],
    [[...CREATE, '--scopes', 'scans:read,scans:read'], /names one twice/],
    [[...CREATE, '--repositories', 'a/b'], /--repositories takes/],
    [[...CREATE, '--repositories', ''], /--repositories takes/],
    [
      [...CREATE, '--repositories', Array.from({ length: 101 }, (_, i) => i).join(',')],
      /--repositories takes/
    ],
    [[...CREATE, '--repositories', 'a', '--all'], /exclude each other/],
    [[...CREATE, '--expires-in-days', '0'], /whole number from 1 to 3650/],
    [[...CREATE, '--expires-in-days', '3651'], /whole number from 1 to 3650/],
    [[...CREATE, '--expires-in-days', '1.5'], /whole number from 1 to 3650/],
    [[...CREATE, '--output', 'xml'], /Allowed choices are table, json/]
  ]
  for (const [argv, says] of cases) {
    const { exitCode, stdout, stderr, created } = await tokens(argv)
    t.equal(exitCode, 2, argv.join(' '))
    t.match(stderr, says)
    t.same([stdout, created], ['', []])
  }
  const noDefaults: ScopeMap = new Map([scope('scans:read', false)])
  const { exitCode, stderr } = await tokens(CREATE, { scopes: noDefaults })
  t.equal(exitCode, 2)
  t.match(stderr, /--scopes must be given/)
})

t.test('list shows tokens by their preview, for people and for programs', async t => {
  const limited = {
    ...row,
    orgId: 'o1',
    repositories: ['r1', 'r2'],
    requireSignature: true,
    lastUsedAtMs: NOW,
    expiresAtMs: NOW,
    revokedAtMs: NOW
  }
  const { exitCode, stdout, asked } = await tokens(['list'], { rows: [row, limited] })
  t.equal(exitCode, 0)
  const [head = '', first = '', second = ''] = stdout.split('\n')
  t.match(head, /^ID +USER +ORG +NAME +TOKEN +SCOPES +REPOSITORIES +SIGNED +CREATED/)
  t.match(first, /u1 +- +ci +ci_Gold…NBA0 +scans:read +\* +optional +2027-\S+ +never +never +-$/)
  t.match(second, /o1 .* r1,r2 +required +2027-\S+ +2027-\S+ +2027-\S+ +2027-\S+$/)
  t.same(asked, [{ includeInactive: false }])
  const json = await tokens(['list', '--user', 'u1', '--include', 'inactive', '--output', 'json'])
  t.same(json.asked, [{ userId: 'u1', includeInactive: true }])
  const answer: unknown = JSON.parse(json.stdout)
  t.match(answer, { tokens: [{ id: ID, preview: 'ci_Gold…NBA0', allRepositories: true }] })
  t.notMatch(json.stdout, /digest|GoldenVector/)
  t.equal((await tokens(['list', '--include', 'all'])).exitCode, 2)
  t.equal((await tokens(['list', '--user', 'a,b'])).isOpened, false)
})

t.test('revoke ends with the receipt of its barrier', async t => {
  const { exitCode, stdout, asked, actors } = await tokens(['revoke', ID])
  t.equal(exitCode, 0)
  t.equal(
    stdout,
    `Token ${ID} is revoked since 2027-01-15T08:00:00.000Z. 3 of 3 replicas acknowledged in 12 ms.\n`
  )
  t.same(asked, [[ID, undefined], change], "anybody's token; then the barrier")
  t.match(actors, [{ kind: 'operator' }])
  const silent = await tokens(['revoke', ID], { acknowledged: 2 })
  t.match(
    silent.stdout,
    '2 of 3 replicas acknowledged in 12 ms; the leases of the others have ended.'
  )
  const json: unknown = JSON.parse((await tokens(['revoke', ID, '--output', 'json'])).stdout)
  t.same(json, { success: true, id: ID, revokedAt: '2027-01-15T08:00:00.000Z', barrier: receipt })
})

t.test('an unknown token is a finding, an unconfirmed revocation is none', async t => {
  t.match(await tokens(['revoke', ID], { revoke: 'not-found' }), {
    exitCode: 1,
    stdout: '',
    stderr: 'Token not found\n'
  })
  t.match(await tokens(['revoke', ID], { barrierFault: new Fault('REVOCATION_UNCONFIRMED') }), {
    exitCode: 3,
    stdout: '',
    stderr: /not confirmed everywhere/
  })
})

t.test('many are revoked by what they have in common, behind one barrier', async t => {
  const cases: readonly (readonly [readonly string[], BulkFilter])[] = [
    [['--all-of-user', 'u1'], { userId: 'u1' }],
    [['--all-of-org', 'o1'], { orgId: 'o1' }],
    [['--created-before', '2027-01-15T08:00:00Z'], { createdBeforeMs: NOW }],
    [['--created-before', '2027-01-15'], { createdBeforeMs: NOW - 28_800_000 }],
    [['--all-of-user', 'u1', '--all-of-org', 'o1'], { userId: 'u1', orgId: 'o1' }]
  ]
  for (const [argv, filter] of cases) {
    const { exitCode, stdout, asked } = await tokens(['revoke', ...argv])
    t.equal(exitCode, 0)
    t.same(asked, [filter, change], argv.join(' '))
    t.equal(stdout, `${ID}\nx\nRevoked: 2. 3 of 3 replicas acknowledged in 12 ms.\n`)
  }
  const none = { bulk: { ids: [], change: undefined } }
  const { exitCode, stdout } = await tokens(['revoke', '--all-of-user', 'u2'], none)
  t.same([exitCode, stdout], [0, 'No active token is like that.\n'])
  const argv = ['revoke', '--all-of-user', 'u2', '--output', 'json']
  const json: unknown = JSON.parse((await tokens(argv, none)).stdout)
  t.same(json, { success: true, ids: [], barrier: null })
})

t.test('revoke wants one token or many, not both, not neither', async t => {
  const cases: readonly (readonly [readonly string[], RegExp])[] = [
    [[], /Name one token by its id, or many/],
    [[ID, '--all-of-user', 'u1'], /Name one token by its id, or many/],
    [['not-an-id'], /no token id/],
    [[TOKEN], /no token id/],
    [['--all-of-user', ''], /--all-of-user takes/],
    [['--created-before', 'yesterday'], /--created-before takes/],
    [['--created-before', '2027-02-30'], /--created-before takes/],
    [['--created-before', '2027-13-01'], /--created-before takes/],
    [['--created-before', '2027-01-15T08:00:00'], /--created-before takes/]
  ]
  for (const [argv, says] of cases) {
    const { exitCode, stderr, isOpened } = await tokens(['revoke', ...argv])
    t.equal(exitCode, 2, argv.join(' '))
    t.match(stderr, says)
    t.notMatch(stderr, TOKEN)
    t.equal(isOpened, false)
  }
})
