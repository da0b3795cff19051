import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { readTarget } from '../../src/core/target.ts'
import type { RouteTable } from '../../src/core/rule.ts'
import { checkAside } from '../../src/routes/check-aside.ts'
import { countDiff, diffRoutes } from '../../src/routes/diff.ts'
import { checkRoutes } from '../../src/routes/check.ts'
import { look } from '../../src/routes/sources.ts'
import { watchDirectory } from '../../src/routes/watch.ts'
import { fileWith, lineOf, loadText, OWN_ROUTES } from '../support/routes.ts'
import { eventually } from '../support/gate.ts'

const OPTIONS = { ownRoutes: OWN_ROUTES }
const BEFORE = loadText(fileWith('GET /r0/{id:int}: a:write', 'GET /r1/{id:int}: a:read')).table
const NEVER = new AbortController().signal

function fileOf(t: Test, text: string): string {
  return join(t.testdir({ 'routes.yaml': text }), 'routes.yaml')
}

function ruleFor(table: RouteTable, method: string, path: string): string {
  const target = readTarget(path)
  if ('kind' in target) throw new Error('not canonical')
  const match = table.match(method, target)
  return match.kind === 'rule' ? match.rule.key : match.kind
}

t.test('what the thread hands over is the table that the file makes', async t => {
  const rules = Array.from(
    { length: 700 },
    (_, i) => `GET /r${i}/{id:int}: { scope: a:read, why: R }`
  )
  const more = [
    '"* /all/{rest...}": [a:read, b:read]',
    'POST /Case: { scope: a:write, upstream: u }'
  ]
  const path = fileOf(
    t,
    `options: upstream\ntimeoutMs: 5000\nmode: report\nupstreams: { u: { url: "http://u" } }\n${fileWith(...rules, ...more)}`
  )
  const [aside, here] = await Promise.all([
    checkAside(path, OPTIONS, BEFORE, NEVER),
    checkRoutes(path, OPTIONS)
  ])
  const { table } = aside
  if (!table || !('table' in here)) throw new Error('refused')
  t.same(JSON.parse(JSON.stringify(table)), JSON.parse(JSON.stringify(here.table)))
  t.same([...table.scopes, ...table.upstreams], [...here.table.scopes, ...here.table.upstreams])
  t.same(aside.findings, here.findings)
  const counts = countDiff(await diffRoutes(BEFORE, here.table, OWN_ROUTES))
  t.same(await aside.changes, counts)
  t.ok(counts.widened > 0)
  t.same([...aside.seen], [...(await look([path]))])
  for (const asked of ['GET /r0/1', 'GET /r699/7', 'POST /Case', 'PUT /all/x/y', 'OPTIONS /r3/1']) {
    const [method = '', target = ''] = asked.split(' ')
    t.equal(ruleFor(table, method, target), ruleFor(here.table, method, target), asked)
  }
  t.equal(ruleFor(table, 'POST', '/case'), 'near-miss')
  t.equal(ruleFor(table, 'DELETE', '/api/auth/cli-tokens/x/y'), 'reserved')
})

t.test('a file that is refused comes with its findings, and what was looked at', async t => {
  const path = fileOf(t, `${fileWith('GET /a: a:reed')}\ninclude: [gone.yaml]`)
  const { findings, seen, table, changes } = await checkAside(path, OPTIONS, BEFORE, NEVER)
  t.equal(table, undefined)
  t.equal(await changes, undefined)
  t.match(findings.map(lineOf).join('\n'), /unknown-scope[^]*include/)
  t.equal(seen.get(join(path, '../gone.yaml')), 'ENOENT')
  t.equal(seen.get(path), (await look([path])).get(path))
})

t.test('the signal ends it', async t => {
  const path = fileOf(t, fileWith('GET /a: a:read'))
  await t.rejects(checkAside(path, OPTIONS, BEFORE, AbortSignal.abort()), { name: 'AbortError' })
})

t.test('a look tells contents and why there is none', async t => {
  const folder = t.testdir({ 'a.yaml': 'text', folder: {} })
  const at = (name: string) => join(folder, name)
  const seen = await look([at('a.yaml'), at('b.yaml'), at('folder')])
  t.same(
    [...seen.values()],
    [createHash('sha256').update('text').digest('hex'), 'ENOENT', 'EISDIR']
  )
})

t.test('a watched directory hints at swapped links, also when it is another one now', async t => {
  const root = t.testdir({ conf: { one: {}, two: {} } })
  const conf = join(root, 'conf')
  let hints = 0
  const watch = watchDirectory(conf, () => (hints += 1))
  t.teardown(() => watch.close())
  await watch.renew()
  await watch.renew()
  symlinkSync('one', join(conf, '..data'))
  await eventually('a hint at the new link', () => hints > 0)

  const before = hints
  symlinkSync('two', join(conf, '.new'))
  renameSync(join(conf, '.new'), join(conf, '..data'))
  await eventually('a hint at the swap', () => hints > before)

  rmSync(conf, { recursive: true })
  await watch.renew()
  mkdirSync(conf)
  await watch.renew()
  const gone = hints
  writeFileSync(join(conf, 'routes.yaml'), '')
  await eventually('a hint in the new directory', () => hints > gone)
})

t.test(
  'a directory that is not there, or a closed watch, gives no hints and no errors',
  async t => {
    const watch = watchDirectory(join(t.testdir(), 'nowhere'), () => t.fail('a hint'))
    await watch.renew()
    watch.close()
    await watch.renew()
  }
)
