import t from 'tap'
import { fileWith } from '../support/routes.ts'
import { fileOf, tollgate } from './support/tollgate.ts'

const OLD = fileWith('GET /a: a:read', 'GET /b: any-token')
const NEW = fileWith('GET /a: any-token', 'GET /b: jwt')

t.test('a difference is data, and no failure unless that is asked for', async t => {
  const [old, next] = [fileOf(t, OLD), fileOf(t, NEW)]
  const { exitCode, stdout, stderr } = await tollgate(['diff', old, next])
  t.equal(exitCode, 0)
  t.equal(stderr, '')
  t.match(
    stdout,
    /^WIDENED {3}GET \/a {3}a:read → any-token\n {10}a token without scopes may now GET \/a\n/
  )
  t.match(stdout, /\nNARROWED {2}GET \/b [^]*\n0 rules unchanged\n$/)
  t.equal((await tollgate(['diff', old, next, '--fail-on', 'widened'])).exitCode, 1)
})

t.test('what is only narrower does not fail', async t => {
  const [old, next] = [fileOf(t, fileWith('GET /b: any-token')), fileOf(t, fileWith('GET /b: jwt'))]
  t.equal((await tollgate(['diff', old, next, '--fail-on', 'widened'])).exitCode, 0)
  const same = await tollgate(['diff', old, old, '--fail-on', 'widened'])
  t.same(same, { exitCode: 0, stdout: '1 rule unchanged\n', stderr: '' })
})

t.test('the same as JSON', async t => {
  const [old, next] = [fileOf(t, OLD), fileOf(t, NEW)]
  const { stdout } = await tollgate(['diff', old, next, '--output', 'json'])
  t.match(JSON.parse(stdout), {
    widened: 1,
    narrowed: 1,
    moved: 0,
    unchanged: 0,
    lines: [
      {
        word: 'WIDENED',
        key: 'GET /a',
        change: 'a:read → any-token',
        place: { file: next, line: 7 },
        examples: [{ change: 'may now', method: 'GET', target: '/a', caller: { scopes: [] } }]
      },
      { word: 'NARROWED', examples: [{ change: 'may no longer' }] }
    ],
    defaults: []
  })
})

t.test('a file that does not load is bad configuration', async t => {
  const [old, wrong] = [fileOf(t, OLD), fileOf(t, fileWith('GET /a: a:reed'))]
  t.match(await tollgate(['diff', old, wrong]), {
    exitCode: 2,
    stdout: '',
    stderr: /unknown-scope/
  })
})
