/**
 * The terminal pictures of the README are what the commands print. They are written by
 * `UPDATE_README=1 node test/commands/readme.test.ts`.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import t from 'tap'
import { tollgate } from './support/tollgate.ts'

const README = join(import.meta.dirname, '../../README.md')
/** Where the files of the pictures are; the README names them without it. */
const FOLDER = `${join(import.meta.dirname, 'terminal')}/`
const PICTURE = /<!-- terminal: (.+?) -->\n(?:```console\n[\s\S]*?```\n)?/g

const SEEN = {
  routesHash: '0'.repeat(64),
  since: '2026-11-20T08:00:00.000Z',
  rules: [
    { key: 'GET /api/scans/{scanId}', requests: 9120 },
    { key: 'GET /api/auth/quota', requests: 0 }
  ],
  unmatched: [{ method: 'GET', path: '/api/reports/{id1:int}', requests: 214 }],
  unmatchedBeyond: 0,
  tokens: [
    {
      id: '0190c5a0-0000-7000-8000-000000000001',
      granted: ['scans:read', 'scans:trigger'],
      needed: ['scans:read']
    }
  ],
  tokensBeyond: 0
}

async function picture(line: string, adminPort: string): Promise<string> {
  const argv = line.split(' ').map(word => (word.endsWith('.yaml') ? FOLDER + word : word))
  const { stdout, stderr } = await tollgate(argv, { ADMIN_PORT: adminPort })
  const text = `$ tollgate ${line}\n${stdout}${stderr}`.replaceAll(FOLDER, '')
  return `<!-- terminal: ${line} -->\n\`\`\`console\n${text}\`\`\`\n`
}

t.test('every picture of a terminal shows what the command prints', async t => {
  const server = createServer((_request, response) => response.end(JSON.stringify(SEEN)))
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const address = server.address()
  const port = String(typeof address === 'object' ? address?.port : '')
  const readme = readFileSync(README, 'utf8')
  let expected = readme
  const found = [...readme.matchAll(PICTURE)]
  for (const [whole, line = ''] of found)
    expected = expected.replace(whole, await picture(line, port))
  if (process.env['UPDATE_README']) writeFileSync(README, expected)
  t.equal(readFileSync(README, 'utf8'), expected)
  const commands = new Set(found.map(([, line = '']) => line.split(' ')[0]))
  for (const command of ['validate', 'explain', 'test', 'diff', 'import', 'coverage']) {
    t.ok(commands.has(command), `${command} has a picture`)
  }
})
