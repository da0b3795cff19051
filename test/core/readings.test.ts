/**
 * The promise that targets and rules make together: however a server behind the gate normalises an
 * accepted target, it acts on the rule that was decided by.
 */
import * as fc from 'fast-check'
import t from 'tap'
import { createRouteTable } from '../../src/core/route-table.ts'
import { parseOrThrow } from '../../src/core/route-pattern.ts'
import type { Rule } from '../../src/core/rule.ts'
import { readTarget } from '../../src/core/target.ts'
import { rule } from './examples.ts'

function toRule(key: string): Rule {
  const { methods, isWildcard, path, params } = parseOrThrow(key)
  return { ...rule, key, methods, isWildcard, path, params }
}

function tableOf(keys: readonly string[]) {
  return createRouteTable({
    rules: keys.map(toRule),
    ownRoutes: [{ key: 'GET /api/tokens', name: 'tokens.list', need: 'jwt' }],
    scopes: new Map(),
    upstreams: new Map(),
    mode: 'enforce',
    options: 'deny',
    timeoutMs: 30_000,
    hash: '0'.repeat(64)
  })
}

/** What decides a request: a rule's key, or the kind of the match. Undefined: 400. */
function deciderOf(table: ReturnType<typeof tableOf>, raw: string): string | undefined {
  const target = readTarget(raw)
  if ('kind' in target) return undefined
  const match = table.match('GET', target)
  if (match.kind === 'near-miss') return undefined
  return match.kind === 'rule' ? match.rule.key : match.kind
}

/** What servers do to a path before they look for the handler; each takes the path alone. */
const NORMALISERS: Readonly<Record<string, (path: string) => string>> = {
  'resolves dot segments': path => new URL(path.replace(/^\/+/, '/'), 'http://h').pathname,
  'merges slashes': path => path.replaceAll(/\/+/g, '/'),
  'reads a backslash as a slash': path => path.replaceAll('\\', '/'),
  'cuts at a semicolon': path => path.replace(/;[^/]*/g, ''),
  'cuts at a number sign': path => path.replace(/#.*$/s, ''),
  'ignores case': path => path.toLowerCase(),
  'decodes once': decode,
  'decodes twice': path => decode(decode(path)),
  'decodes and ignores case': path => decode(path).toLowerCase(),
  'normalises Unicode': path => decode(path).normalize('NFKC'),
  'drops the last slash': path => path.replace(/(?<=.)\/$/, ''),
  'cuts at NUL': path => decode(path).replace(/\0.*$/s, '')
}

function decode(path: string): string {
  try {
    return decodeURIComponent(path)
  } catch {
    return path
  }
}

/** What such a server then acts on: its own segments against the same patterns, without our checks. */
function handlerOf(keys: readonly string[], path: string): string {
  const segments = path
    .split('/')
    .filter((text, i, all) => i > 0 && (text !== '' || i < all.length - 1))
  const ranked = keys
    .map(key => ({ key, ranks: ranksOf(parseOrThrow(key).path.slice(1).split('/'), segments) }))
    .filter(({ ranks }) => ranks !== undefined)
    .toSorted((a, b) => ((a.ranks ?? '') < (b.ranks ?? '') ? 1 : -1))
  return ranked[0]?.key ?? 'none'
}

/** One digit a segment, the higher the more specific; undefined: no match. */
function ranksOf(pattern: readonly string[], segments: readonly string[]): string | undefined {
  let ranks = ''
  for (const [i, part] of pattern.entries()) {
    const text = segments[i]
    if (text === undefined) return undefined
    if (part.endsWith('...}')) return `${ranks}0`
    const values = part.includes(':') ? part.slice(part.indexOf(':') + 1, -1).split('|') : []
    if (!part.startsWith('{')) {
      if (part !== text) return undefined
      ranks += '4'
    } else if (values.length > 0) {
      if (!values.includes(text)) return undefined
      ranks += '3'
    } else ranks += '1'
  }
  return pattern.length === segments.length ? ranks : undefined
}

const KEYS = [
  'GET /pub/{rest...}',
  'GET /api/a/{id}',
  'GET /api/a/special',
  'GET /api/{level:low|high}/x',
  'GET /api/a/{id}/b',
  'GET /admin/{rest...}',
  'GET /admin'
]

const words = 'pub api a special low high x b admin other 1'.split(' ')
const spellings = fc.constantFrom<(word: string) => string>(
  word => word,
  word => word,
  word => word.toUpperCase(),
  word => word.replace(/./, char => `%${char.charCodeAt(0).toString(16)}`),
  word => `${word};v=1`,
  word => `${word}#`,
  word => `${word}%00`,
  word => `${word}%20`,
  word => `${word}%C3%A9`,
  word =>
    word.replace(/[a-z]/, char =>
      encodeURIComponent(String.fromCodePoint(char.charCodeAt(0) + 0xfee0))
    )
)
const segment = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.tuple(fc.constantFrom(...words), spellings).map(([word, spell]) => spell(word))
  },
  { weight: 1, arbitrary: fc.constantFrom('.', '..', '%2e%2e', '', '..;', '.%2E') }
)
const separator = fc.constantFrom('/', '/', '/', '/', '//', '\\', '%2f', '%5c', '/./', '/../')
const path = fc
  .array(fc.tuple(separator, segment), { minLength: 1, maxLength: 4 })
  .map(parts => parts.flat().join(''))

t.test('no server acts on another rule than the one decided by, however it normalises', async t => {
  const table = tableOf(KEYS)
  let accepted = 0
  const law = fc.property(path, raw => {
    const decider = deciderOf(table, raw)
    if (decider === undefined) return
    accepted++
    for (const [does, normalise] of Object.entries(NORMALISERS)) {
      const handler = handlerOf(KEYS, normalise(raw))
      if (handler !== decider) t.equal(handler, decider, `a server that ${does}, for ${raw}`)
    }
  })
  fc.assert(law, { numRuns: 20_000 })
  t.ok(accepted > 500, `${accepted} of 20000 paths were accepted`)
})

t.test('nothing that a server could read as an own path reaches a rule', async t => {
  const table = tableOf(['GET /{rest...}'])
  for (const raw of [
    '/api/TOKENS',
    '/api/%74okens',
    '/API/tokens/x',
    '/api//tokens',
    '/api/./tokens'
  ]) {
    t.equal(deciderOf(table, raw), undefined, raw)
  }
  for (const raw of ['/api/tokens/', '/api/tokens/x', '/api/tokens/%20']) {
    t.match(deciderOf(table, raw), /own|reserved/, raw)
  }
})
