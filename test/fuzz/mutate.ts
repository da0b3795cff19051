/** What a fuzzer does to a request: a few of the changes below, at random but by a seed. */

export type Random = (below: number) => number

/** Small and good enough to choose with; the same seed gives the same choices (mulberry32). */
export function randomOf(seed: number): Random {
  let state = seed >>> 0
  return below => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }
}

export function pick<T>(random: Random, from: readonly T[]): T {
  const found = from[random(from.length)]
  if (found === undefined) throw new Error('nothing to choose from')
  return found
}

/** Pieces that mean something to some parser. */
const WORDS = [
  '\r\n',
  '\n',
  '\r',
  '\r\n\r\n',
  '\0',
  '\t',
  ' ',
  '%2e%2e',
  '%2f',
  '%5c',
  '%00',
  '%',
  '/../',
  '//',
  '/./',
  ';',
  '#',
  '?',
  '\\',
  '\xff',
  '\xc0\xaf',
  'HTTP/1.0',
  'HTTP/2.0',
  'GET ',
  'HEAD ',
  'OPTIONS ',
  'DELETE ',
  'CONNECT ',
  'special',
  '/admin/x',
  '/pub/',
  '/api/signed',
  'repo=r2',
  '"repo":"r2",',
  'Host: other\r\n',
  'Content-Length: 0\r\n',
  'Content-Length: 5\r\n',
  'Content-Length: 99999\r\n',
  'Transfer-Encoding: chunked\r\n',
  'Transfer-Encoding: identity\r\n',
  'Transfer_Encoding: chunked\r\n',
  'Connection: close\r\n',
  'Connection: authorization\r\n',
  'Connection: x-ci-user-id\r\n',
  'Connection: Upgrade\r\nUpgrade: websocket\r\n',
  'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n',
  'Expect: 100-continue\r\n',
  'Expect: x\r\n',
  'X-Ci-User-Id: root\r\n',
  'x_ci_auth: jwt\r\n',
  'X-Org-Id: o2\r\n',
  'X-HTTP-Method-Override: DELETE\r\n',
  'X-Original-URL: /admin/x\r\n',
  'X-Forwarded-For: 1.2.3.4\r\n',
  'Authorization: Bearer {R}\r\n',
  'Authorization: Basic {A}\r\n',
  'Content-Encoding: gzip\r\n',
  'Content-Digest: sha-256=:x:\r\n',
  'X-Cli-Nonce: n:1\r\n',
  '__proto__',
  '\\u0061',
  '1e400',
  '[[[[[[[[',
  '0\r\n\r\n',
  '5;ext\r\nabcde\r\n',
  'FFFFFFFFFFFFFFFF\r\n',
  '\x81\x02hi'
]

const MOST_CHANGES = 5
const LONGEST = 40_000

/** `others`: requests to take pieces from. */
export function mutate(random: Random, text: string, others: readonly string[]): string {
  let changed = text
  // One change mostly: a request that is wrong in five places is refused for the first.
  const changes = random(3) === 0 ? 1 + random(MOST_CHANGES) : 1
  for (let left = changes; left > 0; left--) changed = change(random, changed, others)
  return changed.slice(0, LONGEST)
}

function change(random: Random, text: string, others: readonly string[]): string {
  const at = random(text.length + 1)
  const length = 1 + random(random(4) === 0 ? 64 : 4)
  const before = text.slice(0, at)
  const after = text.slice(at)
  switch (random(10)) {
    case 0:
      return before + String.fromCharCode(random(256)) + after.slice(1)
    case 1:
      return (
        before + String.fromCharCode((after.charCodeAt(0) || 0) ^ (1 << random(8))) + after.slice(1)
      )
    case 2:
      return before + after.slice(length)
    case 3:
      return before + pick(random, WORDS) + after
    case 4:
      return before + pick(random, WORDS) + after.slice(length)
    case 5:
      return before + after.slice(0, length).repeat(2 + random(3)) + after.slice(length)
    case 6:
      return insertLine(random, text, pick(random, WORDS))
    case 7:
      return moveLine(random, text)
    case 8: {
      const other = pick(random, others)
      return before + other.slice(random(other.length))
    }
    default:
      return random(3) === 0 ? before : text + pick(random, others)
  }
}

/** Between two lines, so that the head stays one. */
function insertLine(random: Random, text: string, piece: string): string {
  const lines = text.split('\r\n')
  const at = 1 + random(lines.length)
  return [...lines.slice(0, at), piece.replace(/\r\n$/, ''), ...lines.slice(at)].join('\r\n')
}

/** One line again, somewhere else. */
function moveLine(random: Random, text: string): string {
  const lines = text.split('\r\n')
  const line = pick(random, lines)
  const at = 1 + random(lines.length)
  return [...lines.slice(0, at), line, ...lines.slice(at)].join('\r\n')
}
