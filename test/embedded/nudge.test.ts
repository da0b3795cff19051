import t from 'tap'
import { createEmbeddedNudge } from '../../src/embedded/nudge.ts'
import { createLog } from '../redis/fixtures.ts'
import { MESSAGE, testNudge } from '../redis/nudge-claims.ts'

function open() {
  const log = createLog()
  return { log, nudge: createEmbeddedNudge({ log }) }
}

testNudge(t, async () => {
  const one = open()
  return [one, one]
})

t.test('who announces goes on before anybody hears', async t => {
  const { nudge } = open()
  const order: string[] = []
  const heard = new Promise<void>(resolve => {
    nudge.onNudge(() => {
      order.push('heard')
      resolve()
    })
  })
  nudge.announce(MESSAGE)
  order.push('announced')
  await heard
  t.strictSame(order, ['announced', 'heard'])
})
