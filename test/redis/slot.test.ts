import t from 'tap'
import { slotOf } from '../../src/redis/slot.ts'

t.test('slots are those of CLUSTER KEYSLOT', async t => {
  // redis-cli cluster keyslot KEY
  t.equal(slotOf('123456789'), 12_739)
  t.equal(slotOf('foo'), 12_182)
  t.equal(slotOf(''), 0)
})

t.test('only the first hash tag that is not empty counts', async t => {
  t.equal(slotOf('user:{foo}:name'), slotOf('foo'))
  t.equal(slotOf('{foo}{bar}'), slotOf('foo'))
  t.equal(slotOf('a{b'), slotOf('a{b'))
  t.not(slotOf('{}foo'), slotOf('foo'))
  t.equal(slotOf('foo{{bar}}'), slotOf('{bar'))
})
