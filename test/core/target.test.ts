import * as fc from 'fast-check'
import t from 'tap'
import { decodeSegment, readTarget, type Target } from '../../src/core/target.ts'

/** The target, or undefined where it is refused; the one refusal there is closes the connection. */
function read(raw: string): Target | undefined {
  const target = readTarget(raw)
  return 'kind' in target ? undefined : target
}

const isAccepted = (raw: string) => read(raw) !== undefined

t.test('an accepted target is its own bytes, cut once', async t => {
  t.same(read('/api/a/x%3Ay/?b=%20&c'), {
    raw: '/api/a/x%3Ay/?b=%20&c',
    path: '/api/a/x%3Ay/',
    query: 'b=%20&c',
    segments: ['api', 'a', 'x%3Ay']
  })
  t.same(read('/a?'), { raw: '/a?', path: '/a', query: '', segments: ['a'] })
  t.same(read('/a?b?c'), { raw: '/a?b?c', path: '/a', query: 'b?c', segments: ['a'] })
  t.same(read('/'), { raw: '/', path: '/', query: undefined, segments: [] })
})

t.test('a refused target is a malformed request', async t => {
  t.match(readTarget('/a/../b'), { status: 400, code: 'MALFORMED_REQUEST', reason: 'target' })
})

t.test('P8: only the origin form is a target', async t => {
  const other = ['', '*', 'pub/x', '?x', 'http://evil.test/pub/x', 'evil.test:443', ' /a', '\\a']
  for (const raw of other) t.equal(isAccepted(raw), false, raw)
})

t.test('P1, P2: dot segments are refused, raw or escaped, everywhere', async t => {
  for (const dots of ['.', '..', '%2e', '%2E', '.%2e', '%2e.', '%2e%2E']) {
    for (const raw of [`/${dots}`, `/${dots}/`, `/pub/${dots}/x`, `/pub/${dots}`, `/${dots}?q`]) {
      t.equal(isAccepted(raw), false, raw)
    }
  }
  for (const name of ['...', '.a', 'a.', '..a', '.well-known', 'a..b']) {
    t.equal(isAccepted(`/pub/${name}/x`), true, name)
  }
})

t.test('P6, P7: empty segments are refused, but for one last slash', async t => {
  for (const raw of ['//', '//admin/x', '/api//a', '/pub/x//', '//evil.test/x', '/\\evil.test/x']) {
    t.equal(isAccepted(raw), false, raw)
  }
  t.equal(isAccepted('/pub/x/'), true)
})

t.test('P3 to P5, P9, P13 to P17: what servers and URL libraries change is refused', async t => {
  for (const char of '\\;#"<>^`{|}[] \t\n\v\f\r\0\u007f\u0080\u00e9\u00ff\u2028')
    t.equal(isAccepted(`/pub/a${char}b`), false, encodeURIComponent(char))
  const escapes = ['%2f', '%2F', '%5c', '%3b', '%23', '%3F', '%25', '%00', '%0a', '%7f', '%c2%80']
  for (const escape of escapes) t.equal(isAccepted(`/pub/a${escape}b`), false, escape)
})

t.test('P10, P11: escapes of characters that need none are refused', async t => {
  for (const char of 'AZaz09-._~') {
    const hex = char.charCodeAt(0).toString(16)
    t.equal(isAccepted(`/pub/x%${hex}y`), false, char)
  }
})

t.test('P16: escapes are whole and well-formed UTF-8', async t => {
  const broken = ['%', '%2', '%zz', '%2g', '%%20', '%u0041', '%ff', '%80', '%e2%82', '%c0%af']
  for (const escape of [...broken, '%ed%a0%80', '%f4%90%80%80', '%e2%82x%ac']) {
    t.equal(isAccepted(`/pub/${escape}`), false, escape)
  }
  for (const escape of ['%C3%A9', '%e2%9c%93', '%F0%9F%9A%80', '%E4%B8%AD%20']) {
    t.equal(isAccepted(`/pub/${escape}`), true, escape)
  }
})

t.test('every other printable ASCII character may be escaped', async t => {
  for (const char of ' !"$&\'()*+,:<=>@[]^`{|}') {
    const hex = char.charCodeAt(0).toString(16)
    t.equal(isAccepted(`/pub/x%${hex}y`), true, char)
  }
})

t.test('text that Unicode would change, or that nobody sees, is refused', async t => {
  const changed = ['\u212a', '\uff0f', '\ufb01', 'e\u0301', '\u2025', '\u3000']
  const unseen = ['\u200b', '\u202e', '\ufeff', '\u00ad', '\u2028', '\u2029', '\u0085']
  for (const text of [...changed, ...unseen]) {
    t.equal(isAccepted(`/pub/${encodeURIComponent(text)}`), false, encodeURIComponent(text))
  }
  // Composed across the border of what is escaped.
  t.equal(isAccepted('/pub/e%CC%81'), false)
})

t.test('P15, P16: a query is visible ASCII with whole escapes', async t => {
  for (const query of ['', '/../../admin/x', 'a=b&c[]=d;e\'f\\g|h{}^`<>"', '%00%ff%2F', '??']) {
    t.equal(isAccepted(`/pub/x?${query}`), true, query)
  }
  for (const query of ['#', 'a#b', ' ', '%', '%2', 'q=%zz', '\u007f', '\u00e9', '\t', '\0']) {
    t.equal(isAccepted(`/pub/x?${query}`), false, query)
  }
})

t.test('segments are decoded once', async t => {
  t.equal(decodeSegment('r1'), 'r1')
  t.equal(decodeSegment('a+b'), 'a+b')
  t.equal(decodeSegment('caf%C3%A9%20%e2%9c%93'), 'café ✓')
})

/** Pieces that targets are made of, good and bad, so that many are accepted and many nearly. */
const PIECES = (
  `/ / / a B 0 . .. ~ - _ ! $ & ' ( * + , : = @ ; \\ # " < [ ^ \` { | ? % \u00e9 ` +
  '%2e %2F %5C %20 %22 %3A %41 %C3%A9 %CC%81 %E2%84%AA %00'
).split(' ')
const target = fc
  .array(fc.constantFrom(...PIECES), { maxLength: 12 })
  .map(pieces => `/${pieces.join('')}`)

t.test('no URL library changes the path of an accepted target', async t => {
  let accepted = 0
  const law = fc.property(target, raw => {
    const found = read(raw)
    if (!found) return true
    accepted++
    const query = found.query === undefined ? '' : `?${found.query}`
    if (found.raw !== raw || found.path + query !== raw) return false
    const decoded = found.segments.map(decodeSegment)
    if (decoded.some(text => text === '' || text.includes('/'))) return false
    return new URL(raw, 'http://h').pathname === found.path
  })
  fc.assert(law, { numRuns: 5000 })
  t.ok(accepted > 100, `${accepted} of 5000 targets were accepted`)
})

t.test('a target is decided within 5 ms, however long and hostile', async t => {
  const length = 16_000
  const filled = (piece: string) => piece.repeat(length / piece.length)
  const hostile = [
    `/${filled('a')}\0`,
    `${filled('/a')}\0`,
    `/${filled('a.')}/..`,
    filled('/'),
    `/a?${filled('%20')}%`,
    `/a?${filled('a')}#`,
    `/${filled('%20')}%`,
    `/${filled('%C3%A9')}`
  ]
  for (const raw of hostile) {
    // The best of a few: what is measured is the work, not the machine's other work.
    const times = Array.from({ length: 10 }, () => {
      const startedMs = performance.now()
      readTarget(raw)
      return performance.now() - startedMs
    })
    t.ok(Math.min(...times) < 5, raw.slice(0, 8))
  }
})
