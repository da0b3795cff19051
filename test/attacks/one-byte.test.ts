/** Good requests with one byte changed: refused, or sent on as what they then are. Never two. */
import { createHmac, hash } from 'node:crypto'
import { assert, asyncProperty, constantFrom, nat, oneof } from 'fast-check'
import t from 'tap'
import { type RawResult, sendRaw } from '../support/raw.ts'
import type { Recorded } from '../support/upstream.ts'
import { A, get, type Range, startRange, tryGood } from './support/rows.ts'

t.setTimeout(120_000)

interface Read {
  readonly method: string
  readonly target: string
  /** Lower-case name and value. */
  readonly headers: readonly (readonly [string, string])[]
  readonly body: string
}

/** One plain reading of the bytes, by the letter of RFC 9112; undefined: no whole request. */
function readPlainly(text: string): Read | undefined {
  const end = text.indexOf('\r\n\r\n')
  const [first = '', ...lines] = text.slice(0, end).split('\r\n')
  const [method = '', target = ''] = first.split(' ')
  const headers = lines.map(line => {
    const colon = line.indexOf(':')
    const value = line.slice(colon + 1).replaceAll(/^[ \t]+|[ \t]+$/g, '')
    return [line.slice(0, colon).toLowerCase(), value] as const
  })
  const valueOf = (name: string) => headers.find(([other]) => other === name)?.[1]
  const rest = text.slice(end + 4)
  const body =
    valueOf('transfer-encoding') === undefined
      ? takeLength(rest, Number(valueOf('content-length') ?? 0))
      : takeChunks(rest)
  return end < 0 || body === undefined ? undefined : { method, target, headers, body }
}

function takeLength(rest: string, length: number): string | undefined {
  return rest.length < length ? undefined : rest.slice(0, length)
}

function takeChunks(given: string): string | undefined {
  let rest = given
  let body = ''
  for (;;) {
    const [line = '', digits = ''] = /^([0-9A-Fa-f]+)[^\r\n]*\r\n/.exec(rest) ?? []
    if (line === '') return undefined
    const size = Number.parseInt(digits, 16)
    const chunk = rest.slice(line.length, line.length + size)
    rest = rest.slice(line.length + size)
    if (size === 0) return /^(?:[^\r\n]+\r\n)*\r\n/.test(rest) ? body : undefined
    if (!rest.startsWith('\r\n')) return undefined
    body += chunk
    rest = rest.slice(2)
  }
}

/** Names that are the gate's to write, whatever was sent. */
const OURS = /^(?:x-ci-|x-forwarded-|x-request-id$|connection$|transfer-encoding$|content-length$)/

/** Undefined: as it should be. */
function problemOf(sent: string, result: RawResult, begun: number, seen: readonly Recorded[]) {
  const status = result.answers.find(answer => answer.status >= 200)?.status
  if (begun > 1 || seen.length > 1) return `${begun} requests went on, ${seen.length} of them whole`
  if (status === undefined || status >= 400) {
    return seen.length === 0 ? undefined : `answered ${status}, and sent on`
  }
  const [request] = seen
  const read = readPlainly(sent)
  if (status !== 200 || !request) return `answered ${status}, and not sent on`
  if (!read) return 'what is no whole request was sent on as one'
  const { method, target, body, headers } = read
  if (request.method !== method || request.target !== target) return 'another request line'
  const expected = method === 'GET' ? '' : body
  if (request.body.toString('latin1') !== expected) return 'another body'
  const strange = request.headers.find(
    ([name, value]) => !OURS.test(name) && !headers.some(([n, v]) => n === name && v === value)
  )
  return strange && `a header that was not sent: ${strange.join(': ')}`
}

function signed(token: string, body: string): string {
  const timestamp = Date.now()
  const nonce = crypto.randomUUID()
  const text = `${timestamp}:${nonce}:POST:/api/signed:${hash('sha256', body, 'hex')}`
  const signature = createHmac('sha256', token).update(text).digest('hex')
  return `X-Cli-Timestamp: ${timestamp}\r\nX-Cli-Nonce: ${nonce}\r\nX-Cli-Signature: ${signature}\r\n`
}

/** Each is good, and carries in its body what would be another good request, if that began there. */
function goodRequests({ a, fill }: Range): readonly (() => string)[] {
  const inner = `body ${get('/pub/inner')}`
  const lines = `Host: g\r\n${A}X-Custom: one two\r\n`
  const length = `Content-Length: ${inner.length}\r\n\r\n${inner}`
  const chunks = `${inner.length.toString(16)};a=b\r\n${inner}\r\n3\r\nabc\r\n0\r\n\r\n`
  return [
    () => fill(get('/api/a/x%3Ay/?q=%20', `${A}X-Custom: one two\r\n`)),
    () => get('/pub/a/b?c=d'),
    () => fill(`POST /api/a/1 HTTP/1.1\r\n${lines}${length}`),
    () => fill(`POST /api/a/1 HTTP/1.1\r\n${lines}Transfer-Encoding: chunked\r\n\r\n${chunks}`),
    () =>
      fill(`GET /api/a/1 HTTP/1.1\r\n${lines}${length}`).replace(inner, 'x'.repeat(inner.length)),
    () => fill(`POST /api/signed HTTP/1.1\r\n${lines}${signed(a.text, inner)}${length}`)
  ]
}

t.test('a request with one byte changed is refused, or is one other request', async t => {
  const range = await startRange(t)
  const { upstream, port } = range.proxy
  const good = goodRequests(range)
  for (const make of good) {
    const { answers } = await sendRaw(port, make())
    t.equal(answers[0]?.status, 200, 'it is good as it is')
  }
  const outcomes = new Map<string, number>()
  /** Bytes that mean something are likelier than others. */
  const byte = oneof(
    nat(255).map(code => String.fromCharCode(code)),
    constantFrom(...Array.from('\r\n\t \0:;,/?#%.\\0123456789abcdefGPOST_-"\x7f\xa0'))
  )
  await assert(
    asyncProperty(constantFrom(...good), nat(1_000_000), byte, async (make, at, to) => {
      const whole = make()
      const i = at % whole.length
      const sent = `${whole.slice(0, i)}${to}${whole.slice(i + 1)}`
      const before = { begun: upstream.begun, whole: upstream.requests.length }
      const result = await sendRaw(port, sent, { waitMs: 400 })
      // What the client gave up may still be on its way.
      await range.proxy.rest()
      const seen = upstream.requests.slice(before.whole)
      const problem = problemOf(sent, result, upstream.begun - before.begun, seen)
      if (problem) throw new Error(`${problem}\n${JSON.stringify(sent)}`)
      const outcome = String(result.answers[0]?.status)
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
    }),
    { numRuns: 300, includeErrorInReport: true }
  )
  t.ok(outcomes.has('200') && outcomes.has('400'), JSON.stringify([...outcomes]))
  await tryGood(t, range, 'one byte')
})
