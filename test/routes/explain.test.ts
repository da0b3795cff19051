import * as fc from 'fast-check'
import t from 'tap'
import { evaluate } from '../../src/routes/evaluate.ts'
import { explainRequest } from '../../src/routes/explain.ts'
import { formatExplanation } from '../../src/routes/explain-text.ts'
import type { Caller } from '../../src/routes/tests.ts'
import { effort } from '../support/effort.ts'
import { compileText, loadText } from '../support/routes.ts'
import { request as randomRequest, routeFile } from './support/random.ts'

const FILE = `version: 1
options: upstream
scopes:
  scans:read: { title: R }
  scans:trigger: { title: T, implies: [scans:read] }
upstreams: { reports: { url: "http://reports" } }
routes:
  POST /api/auth/login: { scope: public, why: this is where a JWT comes from }
  GET /api/scans: { scope: scans:read, repo: upstream }
  GET /api/scans/{scanId}: { scope: scans:read, repo: none }
  POST /api/scans/trigger/{repositoryConfigId}: { scope: scans:trigger, repo: "{repositoryConfigId}" }
  POST /api/scans/{scanId}/cancel: { scope: scans:trigger, repo: upstream }
  POST /api/scans/{scanId}/retry: { scope: scans:trigger, repo: upstream }
  GET /api/find/{n:int}: { scope: { any: [scans:read, scans:trigger] }, repo: [query.repo, upstream] }
  GET /api/find/{level:low|high}/x: { scope: scans:read, repo: query.repo }
  POST /api/reports: { scope: scans:read, repo: [body.repo, "body.repos[]"], upstream: reports, timeoutMs: 500 }
  POST /api/signed: { scope: any-token, signature: required }
  GET /api/soft: { scope: scans:trigger, mode: report }
  POST /api/orgs: jwt
  GET /api/files/{rest...}: scans:read
  "* /internal/{rest...}": deny
`
const { table } = loadText(FILE)

const token = (
  scopes: readonly string[],
  repositories: readonly string[] | null = null,
  isSigned = false
): Caller => ({ kind: 'cli-token', scopes, repositories, isSigned })
const NOBODY: Caller = { kind: 'none' }
const USER: Caller = { kind: 'jwt' }

async function explained(request: string, caller: Caller, body?: string): Promise<string> {
  const [method = '', target = ''] = request.split(' ')
  const bytes = body === undefined ? undefined : Buffer.from(body)
  return formatExplanation(await explainRequest(table, { method, target, caller, body: bytes }))
}

t.test(
  'a refusal shows the rule, what is missing, what was nearly meant and what to change',
  async t => {
    t.equal(
      await explained('POST /api/scans/trigger/r2', token(['scans:read'], ['r1'])),
      `403 INSUFFICIENT_SCOPE
rule      POST /api/scans/trigger/{repositoryConfigId}   routes.yaml:11:3
          repositoryConfigId = r2
needs     scope scans:trigger   missing   token has: scans:read
          repository r2         missing   token is limited to: r1
          signature             optional
upstream  default, 30000 ms
not       POST /api/scans/{scanId}/cancel   :12:3   segment 4: "r2" is not "cancel"
          POST /api/scans/{scanId}/retry    :13:3   segment 4: "r2" is not "retry"
fix       a token with scopes scans:trigger and repository r2
`
    )
  }
)

t.test('what is allowed shows the same, without anything to change', async t => {
  t.equal(
    await explained('POST /api/auth/login', NOBODY),
    `allow
rule      POST /api/auth/login   routes.yaml:8:3
          this is where a JWT comes from
needs     credential   not asked   open to everybody
upstream  default, 30000 ms
`
  )
  t.match(
    await explained('GET /api/scans/7', token(['scans:trigger'], [])),
    /given +through scans:t/
  )
})

t.test('without a rule it shows those that were nearly right, the likeliest first', async t => {
  t.equal(
    await explained('GET /api/scan', NOBODY),
    `403 ROUTE_DENIED
because   no rule of the route file covers this method and path
not       GET /api/scans            routes.yaml:9:3    segment 2: "scan" is not "scans"
          GET /api/soft             routes.yaml:18:3   segment 2: "scan" is not "soft"
          GET /api/scans/{scanId}   routes.yaml:10:3   segment 2: "scan" is not "scans"; it has 3 segments, the request 2
fix       a rule in the route file, for GET /api/scan
`
  )
})

/** The lines that tell two explanations apart. */
async function lines(request: string, caller: Caller, body?: string): Promise<readonly string[]> {
  return (await explained(request, caller, body))
    .split('\n')
    .map(line => line.replaceAll(/ +/g, ' '))
}

t.test('each kind of need is told as what it is for this caller', async t => {
  const has = async (request: string, caller: Caller, wanted: readonly string[], body?: string) => {
    const found = await lines(request, caller, body)
    for (const line of wanted) {
      const isThere = found.some(each => each.endsWith(line))
      t.ok(isThere, `${request}: ${line}`, { found })
    }
  }
  const limited = token(['scans:read'], ['r1'])
  await has('POST /api/orgs', NOBODY, [
    '401 NO_TOKEN',
    'user JWT missing none is sent',
    'fix a user JWT'
  ])
  await has('POST /api/orgs', limited, ['403 JWT_REQUIRED', 'user JWT missing a ci_ token is sent'])
  await has('POST /api/orgs', USER, ['allow', 'user JWT given a user JWT'])
  await has('POST /api/signed', NOBODY, [
    'credential missing none is sent',
    'signature missing no credential is sent',
    'fix any token, the request signed, or a user JWT'
  ])
  await has('POST /api/signed', token([]), [
    '401 INVALID_SIGNATURE',
    'credential given a ci_ token',
    'signature missing the request is not signed',
    'fix any token, the request signed'
  ])
  await has('POST /api/signed', token([], null, true), ['allow', 'signature given'])
  await has('POST /api/signed', USER, ['allow', 'signature not asked a JWT cannot sign'])
  await has('GET /api/soft', token([]), [
    'report 403 INSUFFICIENT_SCOPE',
    'in report mode: what it refuses is let through',
    'scope scans:trigger missing token has: no scopes',
    'fix a token with scopes scans:trigger'
  ])
  await has('POST /api/reports', USER, [
    'reports, 500 ms',
    'scope scans:read not asked scopes limit ci_ tokens alone',
    'repository in body.repo not asked repositories limit ci_ tokens alone'
  ])
  await has('POST /api/reports', token(['scans:read']), [
    'repository in body.repos[] given the token is for all'
  ])
  await has('POST /api/reports', limited, [
    'repository in body.repo missing the request does not name it',
    'fix name the repository in the request: body.repo, body.repos[]'
  ])
  await has(
    'POST /api/reports',
    limited,
    [
      'repository in body.repo given',
      'repository in body.repos[] missing token is limited to: r1',
      'fix a token with scopes scans:read and repositories r1, r2'
    ],
    '{"repo":"r1","repos":["r2"]}'
  )
  await has(
    'POST /api/reports',
    limited,
    [
      '400 MALFORMED_REQUEST',
      'because the body cannot be read in one way: it is no JSON object',
      'repository in body.repo missing it cannot be read in one way'
    ],
    '[]'
  )
  await has('GET /api/scans', limited, [
    'allow',
    'repository not asked the upstream answers for: r1'
  ])
  await has('GET /api/scans/7', limited, ['allow', 'repository not asked none is touched'])
  await has('GET /api/files/x/y', limited, [
    'rest = x/y',
    'repository missing the rule names none: no limited token may use it',
    'fix a token with scopes scans:read for all repositories; or repo on the rule, at routes.yaml:20:3'
  ])
  await has('GET /api/find/1?repo=r2', limited, [
    'repository r2 missing token is limited to: r1',
    'one of scans:read, scans:trigger given',
    'fix a token with scopes scans:read and repository r2'
  ])
  await has('GET /api/find/1', token([], []), [
    'repository in query.repo not asked absent: the upstream answers for: none',
    'one of scans:read, scans:trigger missing token has: no scopes'
  ])
  await has('GET /api/find/1', NOBODY, [
    'repository in query.repo not asked asked of limited tokens alone'
  ])
  await has('GET /api/find/low/x', limited, [
    'level = low',
    'fix name the repository in the request: query.repo'
  ])
  await has('GET /internal/x', USER, [
    '403 ROUTE_DENIED',
    'because the rule refuses everybody',
    'fix nothing but the rule, at routes.yaml:21:3'
  ])
})

t.test('what decided without a rule is told in a sentence', async t => {
  const cause = async (request: string, caller: Caller = NOBODY) =>
    (await lines(request, caller)).find(line => line.startsWith('because'))
  const cases: readonly (readonly [string, string])[] = [
    ['GET /api/auth/cli-tokens', 'the gate answers this path itself'],
    ['PUT /api/auth/cli-tokens/x', "this path is at or below one of the gate's own"],
    ['OPTIONS /api/scans', 'no rule names OPTIONS; the file says options: upstream'],
    ['OPTIONS /nothing', 'no rule names OPTIONS for this path'],
    ['GET /api/Scans', 'segment 2: "Scans" is not "scans", but a less strict server'],
    ['GET /api/find/LOW/x', 'segment 3: "LOW" is not "low", but'],
    ['GET /API/auth/cli-tokens', 'segment 1: "API" is not "api", but'],
    ['GET /Settings/x', "a segment is nearly one of the gate's own paths"],
    ['get /api/scans', 'this is no method; they are written in capitals'],
    ['GET api', 'the target must begin with "/"'],
    ['GET /api#x', 'a "#" is never part of a request'],
    ['GET /api//scans', 'the path has an empty segment'],
    ['GET /api/../x', 'the path has a segment "." or ".."'],
    ['GET /api/%2e%2e', 'the path has a segment "." or ".."'],
    ['GET /api/a%2Fb', 'the path has an encoded slash or a backslash'],
    ['GET /api/a;b', 'the path has a ";", at which some servers cut'],
    ['GET /api/%zz', 'a "%" is not followed by two hex digits'],
    ['GET /%61pi', 'the path escapes what needs no escape'],
    ['GET /api/é', 'a blank, a control character or a letter beyond ASCII'],
    ['GET /api/"', 'the path has a character that two servers could read in two ways']
  ]
  for (const [request, wanted] of cases) {
    const found = (await cause(request)) ?? ''
    t.ok(found.startsWith(`because ${wanted}`), `${request}: ${wanted}`, { found })
  }
  const limited = token(['scans:read'], ['r1'])
  t.match(
    await cause('GET /api/find/1?repo=r1&repo=r1', limited),
    /the repository's name stands there twice/
  )
  t.match(await cause('GET /api/find/1?repo=r1;x', limited), /some servers separate at ";"/)
})

t.test('the nearest rules are told with what tells them apart', async t => {
  const near = async (request: string) => {
    const [method = '', target = ''] = request.split(' ')
    const { losers } = await explainRequest(table, {
      method,
      target,
      caller: USER,
      body: undefined
    })
    return losers.map(({ rule: { key }, reason }) => `${key}: ${reason}`)
  }
  t.match(await near('GET /api/find/x'), ['GET /api/find/{n:int}: segment 3: "x" is no int'])
  t.match(await near('GET /api/find/mid/x'), [
    'GET /api/find/{level:low|high}/x: segment 3: "mid" is none of low, high'
  ])
  t.match(await near('PUT /api/scans'), ['GET /api/scans: PUT is not GET'])
  t.match(await near('GET /api/files'), [
    'GET /api/files/{rest...}: it has 3 segments or more, the request 2'
  ])
  t.match(await near('HEAD /api/scans/7'), [])
  t.same(await near('GET /totally/elsewhere/and/deep'), [])
  const crossing = await near('POST /api/scans/trigger/cancel')
  t.match(crossing, ['POST /api/scans/{scanId}/cancel: less specific in segment 3: {scanId}'])
})

t.test(
  'for random files and requests: refused means something is missing, and the fix is one',
  async t => {
    let refused = 0
    let fixed = 0
    const law = fc.asyncProperty(routeFile, randomRequest, async (text, asked) => {
      const loaded = compileText(text)
      fc.pre('table' in loaded)
      const explanation = await explainRequest(loaded.table, asked)
      const { outcome, rule, needs, cause, fix } = explanation
      if (rule) {
        const isMissing = needs.some(({ state }) => state === 'missing')
        if (isMissing !== (outcome !== 'allow') && cause === undefined) {
          t.fail('needs and outcome differ', { text, asked, explanation })
        }
      } else if (cause === undefined) t.fail('neither rule nor cause', { text, asked, explanation })
      if (outcome !== 'allow') refused++
      if (!fix?.caller) return
      fixed++
      const after = await evaluate(loaded.table, { ...asked, caller: fix.caller })
      if (after.outcome !== 'allow') t.fail('the fix is none', { text, asked, explanation })
      formatExplanation(explanation)
    })
    await fc.assert(law, { numRuns: effort(300, 20_000) })
    t.ok(refused > 30 && fixed > 3, `${refused} refused, ${fixed} fixed`)
  }
)
