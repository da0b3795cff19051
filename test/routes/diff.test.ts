import * as fc from 'fast-check'
import t from 'tap'
import type { RouteTable } from '../../src/core/rule.ts'
import { readTarget } from '../../src/core/target.ts'
import { countDiff, diffRoutes } from '../../src/routes/diff.ts'
import { formatDiff } from '../../src/routes/diff-text.ts'
import { evaluate } from '../../src/routes/evaluate.ts'
import { sideOf } from '../../src/routes/meetings.ts'
import { ruleOf } from '../../src/routes/probes.ts'
import { effort } from '../support/effort.ts'
import { compileText, loadText, OWN_ROUTES } from '../support/routes.ts'
import { request as randomRequest, routeFile } from './support/random.ts'

const HEAD = `version: 1
upstreams: { reports: { url: "http://reports" } }
scopes:
  a:read: { title: A }
  a:write: { title: W }
  b:read: { title: B }
`
function tableOf(rules: string, head = HEAD): RouteTable {
  const body = rules === '' ? ' {}' : `\n${rules.replaceAll(/^\s*/gm, '  ')}`
  return loadText(`${head}routes:${body}`).table
}

async function textOf(before: string, after: string): Promise<string> {
  return formatDiff(await diffRoutes(tableOf(before), tableOf(after), OWN_ROUTES))
}

t.test('what passes, what no longer does, and what does for others', async t => {
  const before = `DELETE /a/{id}: [a:read, a:write]
    GET /quota: any-token
    POST /a/{id}/retry: a:write
    GET /same: a:read`
  const after = `DELETE /a/{id}: a:read
    GET /quota: { scope: jwt, why: people alone }
    POST /a/{id}/retry: b:read
    GET /same: { scope: a:read, timeoutMs: 500, why: told otherwise }`
  t.equal(
    await textOf(before, after),
    `WIDENED   DELETE /a/{id}       a:read and a:write → a:read
          a token with a:read may now DELETE /a/x
NARROWED  GET /quota           any-token → jwt
          a token without scopes may no longer GET /quota
          why: people alone
MOVED     POST /a/{id}/retry   a:write → b:read
          a token with b:read may now, a token with a:write may no longer, POST /a/x/retry
1 rule unchanged
`
  )
})

/** The first line's word and change; undefined: there is no line. */
async function wordOf(before: string, after: string): Promise<string | undefined> {
  const { lines } = await diffRoutes(tableOf(before), tableOf(after), OWN_ROUTES)
  return lines.map(({ word }) => word).join(' ') || undefined
}

t.test('each part of a rule that decides is compared', async t => {
  const cases: readonly (readonly [string, string, string | undefined])[] = [
    ['GET /x: jwt', 'GET /x: public', 'WIDENED'],
    ['GET /x: public', 'GET /x: any-token', 'NARROWED'],
    ['GET /x: deny', '', undefined],
    ['GET /x: a:read', 'GET /x: { scope: [a:read] }', undefined],
    ['GET /x: [a:read, b:read]', 'GET /x: { any: [a:read, b:read] }', 'WIDENED'],
    ['GET /x: a:read', 'GET /x: { scope: a:read, mode: report }', 'WIDENED'],
    ['GET /x: a:read', 'GET /x: { scope: a:read, signature: required }', 'NARROWED'],
    ['GET /x: a:read', 'GET /x: { scope: a:read, repo: none }', 'WIDENED'],
    [
      'GET /{r}: { scope: a:read, repo: upstream }',
      'GET /{r}: { scope: a:read, repo: "{r}" }',
      'NARROWED'
    ],
    [
      'GET /{r}: { scope: a:read, repo: "{r}" }',
      'GET /{q}: { scope: a:read, repo: "{q}" }',
      undefined
    ],
    [
      'GET /{a}/{b}: { scope: a:read, repo: "{a}" }',
      'GET /{a}/{b}: { scope: a:read, repo: "{b}" }',
      'MOVED'
    ],
    [
      'GET /x: { scope: a:read, repo: query.r }',
      'GET /x: { scope: a:read, repo: [query.r, upstream] }',
      'WIDENED'
    ],
    [
      'POST /x: { scope: a:read, repo: body.r }',
      'POST /x: { scope: a:read, repo: "body.r[]" }',
      'MOVED'
    ],
    [
      'POST /x: { scope: a:read, repo: [body.r, body.s] }',
      'POST /x: { scope: a:read, repo: body.r }',
      'WIDENED'
    ],
    ['GET /x: public', 'GET /x: { scope: public, upstream: reports }', 'MOVED'],
    ['GET /x: public', 'GET /x: { scope: public, upgrade: websocket }', 'WIDENED'],
    ['GET /x: { scope: public, upgrade: websocket }', 'GET /x: public', 'NARROWED'],
    ['GET /x: a:read', 'GET,POST /x: a:read', 'WIDENED'],
    ['GET /{x}: a:read', 'GET /{x}: a:read\nGET /x: b:read', 'NARROWED MOVED'],
    ['GET /x: a:read', '', 'NARROWED'],
    ['GET /x/{n:int}: public', 'GET /x/{n}: public', 'WIDENED'],
    ['GET /x/{n:a|b}: public', 'GET /x/{n:b|c}: public', 'WIDENED NARROWED']
  ]
  for (const [before, after, word] of cases) {
    t.equal(await wordOf(before, after), word, `${before} → ${after}`)
  }
})

t.test('what scopes imply, and which are granted by default, is compared too', async t => {
  const rules = 'GET /x: a:read'
  const implying = HEAD.replace('{ title: W }', '{ title: W, implies: [a:read] }')
  const diff = await diffRoutes(tableOf(rules), tableOf(rules, implying), OWN_ROUTES)
  t.match(formatDiff(diff), 'a token with a:write may now GET /x\n0 rules unchanged')
  const byDefault = HEAD.replace('{ title: B }', '{ title: B, default: true }')
  const wider = await diffRoutes(tableOf(rules), tableOf(rules, byDefault), OWN_ROUTES)
  t.equal(
    formatDiff(wider),
    `WIDENED   scope b:read   default: false → true
          a new token made without scopes gets b:read
1 rule unchanged
`
  )
  t.same(countDiff(wider), { widened: 1, narrowed: 0, moved: 0, unchanged: 1 })
  const back = await diffRoutes(tableOf(rules, byDefault), tableOf(rules), OWN_ROUTES)
  t.match(
    formatDiff(back),
    /^NARROWED  scope b:read   default: true → false\n.*no longer gets b:read/
  )
})

t.test('requests without a rule are compared by what the file says of them', async t => {
  const before = tableOf('GET /x: a:read')
  const reporting = tableOf('GET /x: { scope: a:read, mode: enforce }', `mode: report\n${HEAD}`)
  t.match(
    formatDiff(await diffRoutes(before, reporting, OWN_ROUTES)),
    /WIDENED +requests that no rule covers +no rule → no rule\n +a token without scopes may now /
  )
  const open = tableOf('GET /x: a:read', `options: upstream\n${HEAD}`)
  t.match(
    formatDiff(await diffRoutes(before, open, OWN_ROUTES)),
    /WIDENED +OPTIONS requests that no rule names .*\n +anybody may now OPTIONS \/x\n/
  )
})

t.test('each kind of change has its sentence', async t => {
  const moved = await textOf(
    'GET /x: public\nPOST /y: { scope: a:read, repo: body.r }',
    'GET /x: { scope: public, upstream: reports, upgrade: websocket }\nPOST /y: { scope: a:read, repo: [body.r, body.s] }'
  )
  t.match(moved, 'GET /x goes to reports, no longer to default')
  t.match(moved, 'a token with a:read limited to r1 may no longer POST /y with the body {"r":"r1"}')
  const tunnel = await textOf('GET /x: public', 'GET /x: { scope: public, upgrade: websocket }')
  t.match(tunnel, 'no websocket → websocket\n          anybody may now open a WebSocket at /x\n')
  const none = await textOf(
    'GET /x: { scope: public, upgrade: websocket, why: live }',
    'GET /x: public'
  )
  t.match(none, 'anybody may no longer open a WebSocket at /x\n          why it was: live\n')
  const near = await textOf('GET /x: a:read\nGET /{y}: a:read', 'GET /{y}: a:read')
  t.equal(
    near,
    `WIDENED   GET /{y}   refused as malformed → a:read
          a token with a:read may now GET /X
0 rules unchanged
`
  )
  const signed = await textOf('GET /x: deny', 'GET /x: { scope: any-token, signature: required }')
  t.match(signed, 'a token without scopes, signing, may now GET /x')
})

t.test('a file is no different from itself, whatever its rules are', async t => {
  const law = fc.asyncProperty(routeFile, async text => {
    const [first, second] = [compileText(text), compileText(text)]
    fc.pre('table' in first && 'table' in second)
    const { lines, defaults, unchanged } = await diffRoutes(first.table, second.table, OWN_ROUTES)
    if (lines.length + defaults.length > 0) t.fail('a difference', { text, lines })
    if (unchanged !== first.rules.length) t.fail('not all unchanged', { text, unchanged })
  })
  await fc.assert(law, { numRuns: effort(30, 1000) })
})

t.test(
  'for two random files and a request: a different answer is told by a line with its word',
  async t => {
    let differing = 0
    const law = fc.asyncProperty(
      routeFile,
      routeFile,
      fc.array(randomRequest, { minLength: 20, maxLength: 20 }),
      async (oldText, newText, requests) => {
        const [old, next] = [compileText(oldText), compileText(newText)]
        fc.pre('table' in old && 'table' in next)
        const { lines } = await diffRoutes(old.table, next.table, OWN_ROUTES)
        for (const { examples } of lines) {
          for (const { asked, change } of examples) {
            const [first, second] = [
              await evaluate(old.table, asked),
              await evaluate(next.table, asked)
            ]
            const [was, is] = [first, second].map(({ decision }) => decision.kind !== 'denial')
            const isTrue =
              change === 'upstream'
                ? was && is && first.upstream !== second.upstream
                : was === (change === 'may no longer') && is === (change === 'may now')
            if (!isTrue) t.fail('an example is none', { oldText, newText, asked, change })
          }
        }
        for (const asked of requests) {
          const [first, second] = [
            await evaluate(old.table, asked),
            await evaluate(next.table, asked)
          ]
          const target = readTarget(asked.target)
          if ('kind' in target) continue
          const [was, is] = [first, second].map(({ decision }) => decision.kind !== 'denial')
          const isMoved = was && is && first.upstream !== second.upstream
          if (was === is && !isMoved) continue
          differing++
          const sides = [old.table, next.table].map(table => table.match(asked.method, target))
          const word = isMoved ? 'MOVED' : is ? 'WIDENED' : 'NARROWED'
          const isCovered = lines.some(
            line =>
              (line.word === word || line.word === 'MOVED') &&
              sides.every((side, i) => ruleOf(side) === (i === 0 ? line.before : line.after))
          )
          if (!isCovered) {
            const said = lines.map(({ word, before, after }) => [word, before?.key, after?.key])
            t.fail('no line', { oldText, newText, asked, sides: sides.map(sideOf), said, word })
          }
        }
      }
    )
    await fc.assert(law, { numRuns: effort(30, 3000) })
    t.ok(differing > 25, `${differing} requests were answered differently`)
  }
)
