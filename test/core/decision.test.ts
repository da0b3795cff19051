import t from 'tap'
import { asFault, deny, Fault } from '../../src/core/decision.ts'

t.test('a denial says its public text first, and nothing of its reason', async t => {
  const denial = deny('INVALID_SIGNATURE', { body: { error: 'why' }, reason: 'secret' })
  t.equal(
    JSON.stringify(denial.body),
    '{"message":"Request signature verification failed","error":"why"}'
  )
  t.match(denial, { kind: 'denial', status: 401, closes: false, reason: 'secret' })
  t.same(deny('NO_TOKEN', { message: 'Other' }).body, { message: 'Other' })
})

t.test('what leaves the connection unreadable closes it', async t => {
  for (const code of ['MALFORMED_REQUEST', 'BODY_TOO_LARGE', 'HEADERS_TOO_LARGE'] as const) {
    t.equal(deny(code).closes, true, code)
  }
  for (const code of ['NO_TOKEN', 'ROUTE_DENIED', 'INVALID_REQUEST'] as const) {
    t.equal(deny(code).closes, false, code)
  }
})

t.test('a fault is told in a public sentence, and its cause is kept for the log', async t => {
  const cause = new Error('connect ECONNREFUSED 10.0.0.1:5432')
  const fault = new Fault('TOKEN_STORE_UNAVAILABLE', { cause })
  t.equal(fault.cause, cause)
  t.match(fault, { status: 503, retryAfterSeconds: 1, message: 'TOKEN_STORE_UNAVAILABLE' })
  t.notMatch(fault.publicMessage, '10.0.0.1')
  t.equal(new Fault('NONCE_STORE_RECOVERING', { retryAfterSeconds: 7 }).retryAfterSeconds, 7)
  t.equal(new Fault('UPSTREAM_RESET').retryAfterSeconds, undefined)
})

t.test('an exception that nobody expected is our fault', async t => {
  const fault = new Fault('OVERLOADED')
  t.equal(asFault(fault), fault)
  for (const thrown of [new TypeError('x'), 'text', undefined, deny('NO_TOKEN')]) {
    t.match(asFault(thrown), { code: 'INTERNAL_ERROR', status: 503, cause: thrown })
  }
})
