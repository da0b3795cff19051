/** What holds for every request, whatever was sent: random heads and mistyped tokens. */
import { array, assert, asyncProperty, constantFrom, tuple, uniqueArray } from 'fast-check'
import t from 'tap'
import { effort } from '../support/effort.ts'
import { sendRaw } from '../support/raw.ts'
import { A, get, type Row, startRange, tryRows } from './support/rows.ts'

t.setTimeout(120_000)

const seed = Date.now() % 1_000_000
const options = (usual: number, full: number) => ({ seed, numRuns: effort(usual, full) })
t.comment(`seed ${seed}`)

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
