import { createHash } from 'node:crypto'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { loadRoutes } from '../../src/routes/compile.ts'
import { fileWith, lineOf, OWN_ROUTES } from '../support/routes.ts'

/** Loads `routes.yaml` of a folder made of these files; places without the folder. */
async function load(t: Test, files: Readonly<Record<string, string | Buffer>>) {
  const folder = t.testdir({ ...files })
  const loaded = await loadRoutes(join(folder, 'routes.yaml'), { ownRoutes: OWN_ROUTES })
  const lines = loaded.findings.map(lineOf).map(line => line.replaceAll(`${folder}/`, ''))
  return { loaded, lines, files: loaded.files.map(file => file.replace(`${folder}/`, '')) }
}

const GOOD = fileWith('GET /a: a:read', 'GET /b: [a:write, b:read]')

t.test('a file is read with its includes, and hashed over all bytes', async t => {
  const main = `include: [one.yaml, two.yaml]\n${GOOD}`
  const one = 'routes: { GET /c: c:read }\nscopes: { c:read: { title: C } }'
  const two = 'upstreams: { u: { url: "http://u" } }\ntests: [{ request: GET /c, expect: 401 }]'
  const { loaded, lines, files } = await load(t, {
    'routes.yaml': main,
    'one.yaml': one,
    'two.yaml': two
  })
  t.same(lines, [])
  t.same(files, ['routes.yaml', 'one.yaml', 'two.yaml'])
  t.equal(
    loaded.hash,
    createHash('sha256')
      .update(main + one + two)
      .digest('hex')
  )
  if (!('table' in loaded)) throw new Error('refused')
  t.same(
    loaded.rules.map(({ key }) => key),
    ['GET /a', 'GET /b', 'GET /c']
  )
  t.same([...loaded.table.scopes.keys()], ['a:read', 'a:write', 'b:read', 'c:read'])
  t.equal(loaded.table.upstreams.get('u')?.url, 'http://u')
  t.equal(loaded.tests.length, 1)
})

t.test('what is defined twice is an error in either file, also when it is equal', async t => {
  const { lines } = await load(t, {
    'routes.yaml': `include: [one.yaml]\n${GOOD}`,
    'one.yaml': 'routes:\n  GET /a: a:read\nscopes: { a:read: { title: a:read } }\n'
  })
  t.same(lines, [
    'one.yaml:2:3 error duplicate "GET /a" stands twice, first in routes.yaml:8:3',
    'one.yaml:3:11 error duplicate "a:read" stands twice, first in routes.yaml:4:3'
  ])
})

t.test('a fragment holds what a fragment may hold', async t => {
  const { lines } = await load(t, {
    'routes.yaml': `include: [one.yaml]\n${GOOD}`,
    'one.yaml': 'version: 1\nmode: report\ninclude: [two.yaml]'
  })
  t.same(lines, [
    'one.yaml:1:1 error unknown-key "version" is not known here.',
    'one.yaml:2:1 error unknown-key "mode" is not known here.',
    'one.yaml:3:1 error unknown-key "include" is not known here.'
  ])
})

t.test('an include is a plain name of a file that is there', async t => {
  const { lines } = await load(t, {
    'routes.yaml': `include: [gone.yaml, ../x.yaml, /etc/x, .x, 5]\n${GOOD}`
  })
  t.same(lines, [
    'routes.yaml:1:11 error include gone.yaml cannot be read: ENOENT',
    ...[22, 33, 41, 45].map(
      col =>
        `routes.yaml:1:${col} error bad-value an item of "include" must be a plain file name, without a directory`
    )
  ])
  const twice = await load(t, {
    'routes.yaml': `include: [x.yaml, x.yaml]\n${GOOD}`,
    'x.yaml': '{}'
  })
  t.match(twice.lines, [/1:10 error bad-value "include" must be .* each once/])
  const text = await load(t, { 'routes.yaml': `include: x.yaml\n${GOOD}` })
  t.match(text.lines, [/1:10 error bad-value "include" must be a list/])
})

t.test('a file that is missing, empty, too large or not UTF-8 is not loaded', async t => {
  const one = async (files: Readonly<Record<string, string | Buffer>>) =>
    (await load(t, files)).lines
  t.same(await one({}), ['routes.yaml:1:1 error include routes.yaml cannot be read: ENOENT'])
  t.match(await one({ 'routes.yaml': '' }), [/1:1 error bad-value this must be a map with/])
  t.match(await one({ 'routes.yaml': '- 1' }), [/1:1 error bad-value this must be a map with/])
  t.same(await one({ 'routes.yaml': Buffer.from([0x61, 0xff]) }), [
    'routes.yaml:1:1 error yaml the file is not UTF-8'
  ])
  t.same(await one({ 'routes.yaml': `${GOOD}\n#${'x'.repeat(4 * 1024 * 1024)}` }), [
    'routes.yaml:1:1 error yaml a file has at most 4 MiB'
  ])
})
