import t from 'tap'
import { DatabaseError } from 'pg'
import { isOfServer, neverReached, reasonOf, StoreTimeout } from '../../src/store/errors.ts'

function ofServer(code: string): DatabaseError {
  const error = new DatabaseError('it says', 7, 'error')
  error.code = code
  return error
}

function withCode(code: string): Error {
  return Object.assign(new Error('connect'), { code })
}

const REASONS: readonly (readonly [unknown, string])[] = [
  [new StoreTimeout(), 'timeout'],
  [ofServer('25006'), 'readonly'],
  [ofServer('53300'), 'too_many'],
  [ofServer('53100'), 'full'],
  [ofServer('53200'), 'full'],
  [ofServer('57P03'), 'loading'],
  [ofServer('57014'), 'timeout'],
  [ofServer('55P03'), 'timeout'],
  [ofServer('57P01'), 'reset'],
  [ofServer('57P02'), 'reset'],
  [ofServer('08006'), 'reset'],
  [ofServer('23505'), 'other'],
  [ofServer('28P01'), 'other'],
  [ofServer('3D000'), 'other'],
  [withCode('ECONNREFUSED'), 'refused'],
  [withCode('ENOTFOUND'), 'refused'],
  [withCode('EAI_AGAIN'), 'refused'],
  [withCode('EHOSTUNREACH'), 'refused'],
  [withCode('ENETUNREACH'), 'refused'],
  [withCode('ENOENT'), 'refused'],
  [withCode('ECONNRESET'), 'reset'],
  [withCode('EPIPE'), 'reset'],
  [withCode('ETIMEDOUT'), 'timeout'],
  [withCode('EPERM'), 'other'],
  // As Node gives it where a name has several addresses.
  [new AggregateError([withCode('ENETUNREACH'), withCode('ECONNREFUSED')]), 'refused'],
  [new AggregateError([]), 'other'],
  // As the driver says it without a code.
  [new Error('Connection terminated unexpectedly'), 'reset'],
  [new Error('Connection terminated'), 'reset'],
  [new Error('Client has encountered a connection error and is not queryable'), 'reset'],
  [new Error('Client was closed and is not queryable'), 'reset'],
  [new Error('timeout exceeded when trying to connect'), 'timeout'],
  [new Error('Connection terminated due to connection timeout'), 'timeout'],
  [new Error('something else'), 'other'],
  ['a text', 'other'],
  [undefined, 'other']
]

for (const [error, reason] of REASONS) {
  const { code = '' } = error instanceof Error && 'code' in error ? error : {}
  const message = error instanceof Error ? error.message : String(error)
  t.test(`${reason} is the reason of: ${message} ${String(code)}`.trimEnd(), async t => {
    t.equal(reasonOf(error), reason)
  })
}

t.test('a server that refused a statement is well, one that ends or is full is not', async t => {
  for (const code of ['23505', '22P02', '25006', '55P03', '57014', '40P01']) {
    t.equal(isOfServer(ofServer(code)), true, code)
  }
  for (const code of ['57P01', '57P02', '57P03', '08006', '53300']) {
    t.equal(isOfServer(ofServer(code)), false, code)
  }
  for (const error of [new StoreTimeout(), withCode('ECONNRESET'), withCode('23505'), undefined]) {
    t.equal(isOfServer(error), false)
  }
})

t.test('a connection that was never there has sent nothing', async t => {
  for (const code of ['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'ENOENT']) {
    t.equal(neverReached(withCode(code)), true, code)
  }
  for (const code of ['ECONNRESET', 'EPIPE', 'ETIMEDOUT', '57P01']) {
    t.equal(neverReached(withCode(code)), false, code)
  }
  t.equal(neverReached(new StoreTimeout()), false)
})
