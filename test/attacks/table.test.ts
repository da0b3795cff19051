/**
 * Every attack that we know has a test: by its identifier in a test's title, or by a title that is
 * named here, where the test stands beside what it is about.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'

/** How many rows each class has. */
const ROWS = {
  P: [33, 'path and method'],
  H: [19, 'headers and hop-by-hop'],
  F: [23, 'framing and smuggling'],
  U: [10, 'upgrade and tunnels'],
  S: [10, 'the upstream’s side'],
  C: [23, 'cache, replay, timing, failing open'],
  J: [17, 'JWTs'],
  T: [13, 'token API'],
  R: [16, 'resource exhaustion']
} as const

const ELSEWHERE: Readonly<Record<string, string>> = {
  C3: 'a row that was read before the revocation does not count after it',
  C5: 'no replica accepts a token after its DELETE was answered, round after round',
  C7: 'a replica that is stopped is waited for, and refuses when it goes on',
  C10: 'a colon in a nonce would make one signature good for two requests',
  C13: 'canonical JSON is tried where only one reading is possible',
  C16: 'Postgres away from one replica: its cache to the end of the lease, then 503',
  C17: 'Redis stopped, full, read-only or restarted: signed requests wait, the rest goes on',
  C19: 'whoever sets a clock gets one renewal, and no valid token a 401',
  C20: 'Postgres killed under load: 200 and 503 only, and back without a restart',
  C21: 'a standby is not believed; promoted, it is another history',
  C23: 'a token that was found is not unknown any more',
  R2: 'a client that stops sending its body gets 408',
  R7: 'a digest is looked up once, however many ask',
  R9: 'all held bodies of a process are at most 32 MiB',
  R14: 'thousands of wrong signatures leave no key in Redis'
}

const TEST = join(import.meta.dirname, '..')
const sources = readdirSync(TEST, { recursive: true, encoding: 'utf8' })
  .filter(name => name.endsWith('.test.ts') && name !== join('attacks', 'table.test.ts'))
  .map(name => readFileSync(join(TEST, name), 'utf8'))
const titles = sources.flatMap(text =>
  [...text.matchAll(/\bt\.test\(\s*(['"`])((?:(?!\1).)+)\1/g)].map(([, , title = '']) => title)
)

function idsOf(letter: string, count: number): readonly string[] {
  return Array.from({ length: count }, (_, i) => `${letter}${i + 1}`)
}

t.test('each row of the attack table has a test', async t => {
  const named = new Set(titles.flatMap(title => title.match(/\b[CFHJPRSTU]\d{1,2}\b/g) ?? []))
  for (const [letter, [count, what]] of Object.entries(ROWS)) {
    const ids = idsOf(letter, count)
    const missing = ids.filter(id => !named.has(id) && !titles.includes(ELSEWHERE[id] ?? ''))
    t.same(
      missing,
      [],
      `${letter}, ${what}: ${count - missing.length} of ${count} rows have a test`
    )
  }
})

t.test('each row is closed by one rule of SECURITY.md, whose files are there', async t => {
  const text = readFileSync(join(TEST, '../SECURITY.md'), 'utf8')
  const rules = text
    .slice(
      text.indexOf('| rule | held by | closes |'),
      text.indexOf('`test/attacks/table.test.ts`')
    )
    .split('\n')
    .slice(2)
    .map(line => line.split('|').map(cell => cell.trim()))
    .filter(cells => cells.length === 5)
  const closed = rules.flatMap(([, , , rows = '']) =>
    [...rows.matchAll(/\b([CFHJPRSTU])(\d+)(?:–[A-Z](\d+))?/g)].flatMap(
      ([, letter = '', first, last = first]) => idsOf(letter, Number(last)).slice(Number(first) - 1)
    )
  )
  const all = Object.entries(ROWS).flatMap(([letter, [count]]) => idsOf(letter, count))
  t.same(closed.toSorted(), all.toSorted())
  t.match(text, `${all.length} rows`)
  const files = rules.flatMap(([, , held = '']) =>
    [...held.matchAll(/`([^`]+)`/g)].map(([, file]) => file)
  )
  t.ok(files.length > 30)
  t.same(
    files.filter(file => !existsSync(join(TEST, '../src', file ?? ''))),
    []
  )
})
