import t from 'tap'
import { isMisdirected, reasonOf, RedisDown } from '../../src/redis/errors.ts'

t.test('each error has the reason that the metric knows', async t => {
  const known = [
    ["READONLY You can't write against a read only replica.", 'readonly'],
    ["OOM command not allowed when used memory > 'maxmemory'.", 'full'],
    ['LOADING Redis is loading the dataset in memory', 'loading'],
    ['connect ECONNREFUSED 127.0.0.1:6379', 'refused'],
    ['Command timed out', 'timeout'],
    ["Socket timeout. Expecting data, but didn't receive any in 1000ms.", 'timeout'],
    ['connect ETIMEDOUT', 'timeout'],
    ['read ECONNRESET', 'reset'],
    ['Connection is closed.', 'reset'],
    ["Stream isn't writeable and enableOfflineQueue options is false", 'reset'],
    ['NOAUTH Authentication required.', 'other'],
    ['MISCONF Redis is configured to save RDB snapshots', 'other']
  ] as const
  for (const [message, reason] of known) t.equal(reasonOf(new Error(message)), reason, message)
})

t.test('a code of the system counts where the message is silent', async t => {
  t.equal(reasonOf(Object.assign(new Error('no'), { code: 'ECONNREFUSED' })), 'refused')
})

t.test('what is no error has no reason', async t => {
  t.equal(reasonOf('READONLY'), 'other')
})

t.test('being down has the reason of what brought it down', async t => {
  t.equal(reasonOf(new RedisDown('loading')), 'loading')
})

t.test('an answer of the wrong server is known as one', async t => {
  for (const word of ['MOVED 1 h:1', 'ASK 1 h:1', 'CLUSTERDOWN no', 'READONLY no']) {
    t.ok(isMisdirected(new Error(word)), word)
  }
  t.notOk(isMisdirected(new Error('OOM no')))
  t.notOk(isMisdirected('MOVED'))
})

t.test('a cluster that cannot be reached has the reason of its last node', async t => {
  const lastNodeError = new Error('connect ECONNREFUSED 127.0.0.1:7000')
  t.equal(reasonOf(Object.assign(new Error('Failed'), { lastNodeError })), 'refused')
})
