/** What holds for every request that goes on, whatever was sent: random heads, texts and faults. */
import {
  assert,
  asyncProperty,
  array,
  constantFrom,
  property,
  string,
  tuple,
  uniqueArray
} from 'fast-check'
import t from 'tap'
import { identityHeaders } from '../../src/core/identity.ts'
import { nonceKey } from '../../src/core/nonce.ts'
import { decodeSegment, readTarget } from '../../src/core/target.ts'
import { digestToken } from '../../src/core/token.ts'
import { effort } from '../support/effort.ts'
import { loadText } from '../support/routes.ts'
import { sendRaw } from '../support/raw.ts'
import { A, get, ROUTES, type Row, startRange, tryRows } from './support/rows.ts'

t.setTimeout(120_000)

const seed = Date.now() % 1_000_000
const options = (usual: number, full: number) => ({ seed, numRuns: effort(usual, full) })
t.comment(`seed ${seed}`)

/** Texts in which the parts of targets are likelier than others. */
const targetText = array(
  constantFrom(
    '/',
    'a',
    'pub',
    '%20',
    '%C3%A9',
    '%2e',
    '.',
    '..',
    '~',
    '(',
    '?',
    'q=1',
    '&',
    '%',
    '#',
    ';',
    '\\',
    'é',
    ':',
    '@',
    '%25'
  )
).map(parts => `/${parts.join('')}`)

t.test('1: an accepted target is one that no URL library changes, and decodes once', t => {
  assert(
    property(targetText, raw => {
      const target = readTarget(raw)
      if ('kind' in target) return true
      const url = new URL(raw, 'http://h')
      for (const segment of target.segments) decodeSegment(segment)
      return target.raw === raw && url.pathname === target.path && url.host === 'h'
    }),
    options(3000, 100_000)
  )
  t.end()
})

const NAMES = [
  'x-ci-user-id',
  'X_Ci_User_Id',
  'x.ci.scopes',
  'x-ci-auth',
  'x-ci-anything',
  'x-forwarded-for',
  'X-Forwarded-Proto',
  'Forwarded',
  'x_real_ip',
  'Keep-Alive',
  'TE',
  'Trailer',
  'Proxy-Authorization',
  'Proxy',
  'Client-Cert-Chain',
  'X-SSL-Client-DN',
  'X-Original-URL',
  'X-HTTP-Method-Override',
  'HTTP2-Settings',
  'X-Custom',
  'Accept',
  'x-request-id',
  'x_cli_other'
] as const
const line = tuple(constantFrom(...NAMES), constantFrom('root', 'a, b', '', '1'))
const connection = uniqueArray(
  constantFrom(
    'x-ci-user-id',
    'x-ci-scopes',
    'x-forwarded-for',
    'x-custom',
    'close',
    'x-request-id'
  )
)

t.test(
  '3, 4: of any head, what goes on is the gate’s own names, each once, and none of what is hop-by-hop',
  async t => {
    const range = await startRange(t)
    let run = 0
    await assert(
      asyncProperty(
        array(line, { maxLength: 12 }),
        connection,
        constantFrom('', A),
        async (lines, named, auth) => {
          const head = lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')
          const nominating = named.length > 0 ? `Connection: ${named.join(', ')}\r\n` : ''
          const row: Row = {
            name: `head ${(run += 1)}`,
            send: get(auth === '' ? '/pub/x' : '/api/a/1', `${auth}${head}${nominating}`),
            status: 200,
            saw: 1
          }
          await tryRows(t, range, [row])
        }
      ),
      options(60, 2000)
    )
  }
)

t.test('5: different tokens and nonces never share a key', t => {
  const nonce = string({ minLength: 1, maxLength: 8 }).filter(text =>
    /^[A-Za-z0-9._~+/=-]+$/.test(text)
  )
  assert(
    property(tuple(nonce, nonce), tuple(nonce, nonce), ([a, b], [c, d]) => {
      const isSame = a === c && b === d
      return isSame === (nonceKey(a, b).key === nonceKey(c, d).key)
    }),
    options(1000, 50_000)
  )
  t.end()
})

t.test('13: a token with one character changed is refused, and nobody is asked', async t => {
  const { proxy, a } = await startRange(t)
  const character = constantFrom(
    ...Array.from('0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_-. ')
  )
  const place = constantFrom(...Array.from({ length: a.text.length - 3 }, (_, i) => i + 3))
  await assert(
    asyncProperty(place, character, async (at, to) => {
      const text = `${a.text.slice(0, at)}${to}${a.text.slice(at + 1)}`
      if (text === a.text) return
      const send = get('/api/a/1', `Authorization: Bearer ${text}\r\n`)
      const { answers } = await sendRaw(proxy.port, send, { closingMs: 0 })
      if (answers[0]?.status !== 401) throw new Error(`${answers[0]?.status} for ${text}`)
    }),
    options(100, 5000)
  )
  t.equal(proxy.counts.get('tokens_refused_total unknown'), undefined)
  t.equal(proxy.upstream.begun, 0)
})

t.test('14: any name of a token fits one header, and is read from it again', t => {
  const { table } = loadText(ROUTES)
  const token = {
    id: 't1',
    digest: digestToken('ci_'),
    preview: '',
    userId: 'u1',
    orgId: null,
    scopes: ['a:read'],
    repositories: null,
    requireSignature: false,
    createdAtMs: 0,
    lastUsedAtMs: null,
    expiresAtMs: null,
    revokedAtMs: null
  }
  assert(
    property(string({ unit: 'grapheme', minLength: 1, maxLength: 100 }), name => {
      const principal = { kind: 'cli-token', token: { ...token, name } } as const
      const headers = identityHeaders({ principal, signed: false, table })
      const sent = headers[headers.indexOf('x-ci-token-name') + 1] ?? ''
      return /^[A-Za-z0-9%._~!*'()-]*$/.test(sent) && decodeURIComponent(sent) === name
    }),
    options(1000, 50_000)
  )
  t.end()
})
