import t from 'tap'
import { type Bursts, createBursts, type Refusal } from '../../src/core/bursts.ts'

const SECOND = 1000
const MINUTE = 60_000

const base: Refusal = { code: 'INSUFFICIENT_SCOPE', tokenId: 't1', orgId: 'o1', ip: '192.0.2.1' }

/** So many refusals, so far apart; gives what was told. */
function refuse(
  bursts: Bursts,
  {
    times,
    everyMs,
    fromMs,
    given = base
  }: Readonly<Record<'times' | 'everyMs' | 'fromMs', number>> & {
    readonly given?: Refusal
  }
) {
  return Array.from({ length: times }, (_, i) => bursts.note(given, fromMs + i * everyMs)).filter(
    burst => burst !== undefined
  )
}

t.test('twenty refusals of one token with one code within a minute are told, once', async t => {
  const bursts = createBursts()
  t.same(refuse(bursts, { times: 19, everyMs: SECOND, fromMs: 0 }), [])
  t.same(bursts.note(base, 19 * SECOND), {
    code: 'INSUFFICIENT_SCOPE',
    tokenId: 't1',
    orgId: 'o1',
    count: 20,
    firstMs: 0,
    lastMs: 19 * SECOND,
    addresses: ['192.0.2.1']
  })
  t.same(refuse(bursts, { times: 100, everyMs: SECOND, fromMs: 20 * SECOND }), [])
})

t.test('what goes on is told after five minutes, with all that came in between', async t => {
  const bursts = createBursts()
  const told = refuse(bursts, { times: 700, everyMs: SECOND, fromMs: 0 })
  t.match(told, [
    { count: 20, firstMs: 0, lastMs: 19 * SECOND },
    { count: 300, firstMs: 19 * SECOND, lastMs: 319 * SECOND },
    { count: 300, firstMs: 319 * SECOND, lastMs: 619 * SECOND }
  ])
})

t.test('a trickle is no burst, also one that a fixed minute would cut in two', async t => {
  const bursts = createBursts()
  t.same(refuse(bursts, { times: 500, everyMs: 3.2 * SECOND, fromMs: 0 }), [])
  const split = createBursts()
  const told = refuse(split, { times: 20, everyMs: SECOND, fromMs: MINUTE - 10 * SECOND })
  t.match(told, [{ count: 20, firstMs: 50 * SECOND }])
})

t.test('codes and tokens are counted apart', async t => {
  const bursts = createBursts()
  for (let i = 0; i < 19; i++) {
    bursts.note(base, i)
    bursts.note({ ...base, code: 'REPOSITORY_DENIED' }, i)
    bursts.note({ ...base, tokenId: 't2' }, i)
  }
  t.match(bursts.note({ ...base, tokenId: 't2' }, 20), { tokenId: 't2', count: 20 })
  t.equal(bursts.note({ ...base, tokenId: 't3' }, 20), undefined)
})

t.test('an address that tries unknown tokens is told, up to five addresses are named', async t => {
  const guess = { code: 'INVALID_CLI_TOKEN', tokenId: undefined, orgId: undefined }
  const told = refuse(createBursts(), {
    times: 20,
    everyMs: 1,
    fromMs: 0,
    given: { ...guess, ip: '198.51.100.9' }
  })
  t.match(told, [{ code: 'INVALID_CLI_TOKEN', tokenId: undefined, addresses: ['198.51.100.9'] }])
  const bursts = createBursts()
  const many = Array.from({ length: 20 }, (_, i) => bursts.note({ ...base, ip: `192.0.2.${i}` }, i))
  t.equal(many.at(-1)?.addresses.length, 5)
})

t.test('who shows no token at all is not watched', async t => {
  const given = { code: 'ROUTE_DENIED', tokenId: undefined, orgId: undefined, ip: '192.0.2.1' }
  t.same(refuse(createBursts(), { times: 100, everyMs: 1, fromMs: 0, given }), [])
})

t.test('a flood of addresses does not fill the memory: the quietest is forgotten', async t => {
  const bursts = createBursts()
  const guess = { code: 'INVALID_CLI_TOKEN', tokenId: undefined, orgId: undefined }
  for (let i = 0; i < 19; i++) bursts.note(base, i)
  for (let i = 0; i < 10_000; i++) bursts.note({ ...guess, ip: `a${i}` }, 20)
  t.equal(bursts.note(base, 21), undefined, 'it begins anew')
})
