import { once } from 'node:events'
import { request } from 'node:http'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import t from 'tap'
import { startDemoUpstream } from '../../src/embedded/upstream.ts'

const upstream = await startDemoUpstream()
t.teardown(() => upstream.close())

type Json = Readonly<Record<string, unknown>>

/** What a gate in front would send: by default, for a caller who may see everything. */
async function get(path: string, repositories: string | null = '*'): Promise<Json> {
  const headers = repositories === null ? {} : { 'x-ci-repositories': repositories }
  const answer = await fetch(upstream.url + path, { headers })
  t.equal(answer.status, 200, path)
  return jsonOf(await answer.text())
}

function jsonOf(text: string): Json {
  const value: unknown = JSON.parse(text)
  if (typeof value !== 'object' || value === null) throw new Error(`no object: ${text}`)
  return { ...value }
}

/** The repositories of a list's members, each once. */
function repositoriesOf(list: unknown): readonly string[] {
  if (!Array.isArray(list)) throw new Error('no list')
  return [...new Set(list.map(({ repositoryConfigId }) => String(repositoryConfigId)))].toSorted()
}

const ALL = ['data-platform', 'network-core', 'shop-production']

t.test('it listens on loopback alone', async t => {
  t.match(upstream.url, /^http:\/\/127\.0\.0\.1:\d+$/)
})

t.test('repositories have the members that the page looks for', async t => {
  const { configs, pagination } = await get('/api/repo-configs')
  t.same(repositoriesOf(configs), ALL)
  t.match(configs, [
    { _id: 'shop-production', repository: { fullName: 'acme/shop' }, branch: 'main' }
  ])
  t.match(pagination, { total: 3 })
})

t.test('every list is narrowed to the repositories that the gate names', async t => {
  const lists = [
    ['/api/repo-configs', 'configs'],
    ['/api/scans/dashboard', 'recentScans'],
    ['/api/drifts', 'drifts'],
    ['/api/runners', 'runners']
  ] as const
  for (const [path, name] of lists) {
    t.ok(repositoriesOf((await get(path))[name]).length > 1, `${path}: all`)
    const two = (await get(path, 'shop-production,network-core'))[name]
    t.same(repositoriesOf(two), ['network-core', 'shop-production'], `${path}: two`)
    t.same((await get(path, 'elsewhere'))[name], [], `${path}: none of them`)
    t.same((await get(path, null))[name], [], `${path}: without a gate`)
  }
})

t.test('the dashboard counts what the caller may see', async t => {
  t.match(await get('/api/scans/dashboard'), { repositories: 3, openDrifts: 2 })
  t.match(await get('/api/scans/dashboard', 'network-core'), { repositories: 1, openDrifts: 0 })
})

t.test('drifts are filtered by the query, with and without a last slash', async t => {
  for (const path of ['/api/drifts', '/api/drifts/']) {
    const { drifts } = await get(`${path}?status=detected&severity=high`)
    t.match(drifts, [{ _id: 'drift-311' }])
    t.equal(Array.isArray(drifts) && drifts.length, 1)
  }
  const { drifts } = await get('/api/drifts?repositoryConfigId=network-core')
  t.same(repositoriesOf(drifts), ['network-core'])
  t.match(await get('/api/drifts?status=x'), { drifts: [], pagination: { total: 0 } })
})

t.test('anything else is told as it was received', async t => {
  const answer = await fetch(`${upstream.url}/api/scans/trigger/r1?dry=1&x=%27`, {
    method: 'POST',
    headers: { 'x-ci-user-id': 'user-1', 'content-type': 'application/json' },
    body: '{"ref":"é"}'
  })
  t.equal(answer.status, 200)
  t.equal(answer.headers.get('content-type'), 'application/json')
  const told = jsonOf(await answer.text())
  t.match(told, {
    method: 'POST',
    target: '/api/scans/trigger/r1?dry=1&x=%27',
    body: { bytes: 12, text: '{"ref":"é"}' }
  })
  const { headers } = told
  t.ok(Array.isArray(headers) && headers.includes('x-ci-user-id: user-1'))
})

t.test('a list asked for by another method is no list', async t => {
  const answer = await fetch(`${upstream.url}/api/runners`, { method: 'POST', body: 'x' })
  t.match(jsonOf(await answer.text()), { method: 'POST', target: '/api/runners' })
})

t.test('a large body is counted whole and shown to 64 KiB', async t => {
  const sent = request(upstream.url, { method: 'PUT' })
  for (const bytes of [65_000, 1000, 500, 900_000]) sent.write('x'.repeat(bytes))
  sent.end()
  const [answer] = await once(sent, 'response')
  const { body } = jsonOf(await text(answer))
  t.same(body, { bytes: 966_500, text: 'x'.repeat(65_536) })
})

t.test('HEAD says how long the answer would be and has no body', async t => {
  const answer = await fetch(`${upstream.url}/api/runners`, { method: 'HEAD' })
  t.equal(answer.status, 200)
  t.ok(Number(answer.headers.get('content-length')) > 0)
  t.equal(await answer.text(), '')
})

t.test('raw targets that no URL parser takes, and clients that leave, do no harm', async t => {
  const { port } = new URL(upstream.url)
  for (const target of ['//', '/%', '/\\x', '/api/drifts?%', '/?a?b']) {
    const socket = connect(Number(port), '127.0.0.1')
    socket.write(`GET ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)
    const [head] = await once(socket.setEncoding('utf8'), 'data')
    t.match(head, /^HTTP\/1\.1 200 /, target)
    socket.destroy()
  }
  const leaving = connect(Number(port), '127.0.0.1')
  leaving.write('POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc')
  await once(leaving, 'connect')
  leaving.resetAndDestroy()
  t.match(await get('/api/runners'), { pagination: { total: 2 } }, 'the next one is answered')
})

t.test('closing ends hanging requests and gives the port back', async t => {
  const other = await startDemoUpstream()
  const { port } = new URL(other.url)
  const socket = connect(Number(port), '127.0.0.1')
  socket.write('POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n')
  socket.write('Expect: 100-continue\r\n\r\nabc')
  await once(socket, 'data') // 100: it waits for the body
  const ended = new Promise(resolve => socket.on('close', resolve))
  socket.on('error', () => undefined)
  await other.close()
  await ended
  await t.rejects(fetch(other.url))
})
