import t from 'tap'
import { createRecent } from '../../src/revocation/recent.ts'

const ID = 'id-good'

t.test('a read under way that did not see the change is overtaken by it', async t => {
  const recent = createRecent()
  const before = { seq: 10, order: recent.order() }
  t.equal(recent.isOvertaken(ID, before), false)
  recent.mark(ID, 11)
  t.equal(recent.isOvertaken(ID, before), true)
  t.equal(recent.isOvertaken(ID, { ...before, seq: 11 }), false, 'this one saw it')
  t.equal(recent.isOvertaken('another', before), false)
})

t.test('a later mark with a lower number takes nothing back', async t => {
  const recent = createRecent()
  const before = { seq: 10, order: recent.order() }
  recent.mark(ID, 12)
  recent.mark(ID, 11)
  t.equal(recent.isOvertaken(ID, { ...before, seq: 11 }), true)
})

t.test(
  'a read sent after the mark is not overtaken: who invents changes can stop nobody',
  async t => {
    const recent = createRecent()
    recent.mark(ID, 9999)
    t.equal(recent.isOvertaken(ID, { seq: 10, order: recent.order() }), false)
    recent.markAll(9999)
    t.equal(recent.isOvertaken(ID, { seq: 10, order: recent.order() }), false)
  }
)

t.test('a mark for all overtakes every read under way', async t => {
  const recent = createRecent()
  const before = { seq: 10, order: recent.order() }
  recent.markAll(11)
  t.equal(recent.isOvertaken(ID, before), true)
  t.equal(recent.isOvertaken(ID, { ...before, seq: 11 }), false)
})

t.test('a forgotten mark still overtakes', async t => {
  const recent = createRecent()
  const before = { seq: 10, order: recent.order() }
  recent.mark(ID, 11)
  for (let i = 0; i < 9999; i++) recent.mark(`other-${i}`, 12)
  t.equal(recent.isOvertaken('never seen', before), false, '10 000 marks are remembered')
  recent.mark('one-more', 12)
  t.equal(recent.isOvertaken(ID, before), true)
  t.equal(recent.isOvertaken('never seen', before), true, 'by the floor, so everybody')
  t.equal(recent.isOvertaken('never seen', { ...before, seq: 11 }), false)
})

t.test('what is marked again is remembered anew', async t => {
  const recent = createRecent()
  recent.mark(ID, 11)
  const between = { seq: 11, order: recent.order() }
  for (let i = 0; i < 9999; i++) recent.mark(`other-${i}`, 12)
  recent.mark(ID, 13)
  recent.mark('one-more', 14)
  t.equal(recent.isOvertaken(ID, { ...between, seq: 12 }), true)
  t.equal(recent.isOvertaken('never seen', { ...between, seq: 12 }), false)
})

t.test('cleared, it remembers nothing', async t => {
  const recent = createRecent()
  const before = { seq: 10, order: recent.order() }
  recent.mark(ID, 11)
  recent.markAll(11)
  recent.clear()
  t.equal(recent.isOvertaken(ID, before), false)
})
