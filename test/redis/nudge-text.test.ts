import t from 'tap'
import {
  readAcknowledgement,
  readNudge,
  writeAcknowledgement,
  writeNudge
} from '../../src/redis/nudge-text.ts'
import { ACKNOWLEDGEMENT, MESSAGE } from './nudge-claims.ts'

const id = MESSAGE.ids[0] ?? ''

t.test('what was written is read', async t => {
  t.strictSame(readNudge(writeNudge(MESSAGE)), MESSAGE)
  t.strictSame(readAcknowledgement(writeAcknowledgement(ACKNOWLEDGEMENT)), ACKNOWLEDGEMENT)
})

t.test('a member more is no member less: versions may differ for a while', async t => {
  t.strictSame(readNudge(JSON.stringify({ ...MESSAGE, more: 1 })), MESSAGE)
})

t.test('the largest announcement fits', async t => {
  const ids = Array.from({ length: 1000 }, () => id)
  t.strictSame(readNudge(writeNudge({ ...MESSAGE, ids })), { ...MESSAGE, ids })
})

t.test('a nudge that is broken or forged is no message', async t => {
  const spoilt: readonly Readonly<Record<string, unknown>>[] = [
    { history: '' },
    { history: 'x'.repeat(129) },
    { history: 'a b' },
    { history: 1 },
    { seq: -1 },
    { seq: 1.5 },
    { seq: 2 ** 53 },
    { seq: '42' },
    { kind: 'grant' },
    { kind: undefined },
    { ids: id },
    { ids: { length: 1, 0: id } },
    { ids: ['x'] },
    { ids: [id, 1] },
    { ids: Array.from({ length: 2000 }, () => id) },
    { replyTo: '' },
    { replyTo: 'a*' },
    { replyTo: 'x'.repeat(129) },
    { challenge: undefined },
    { challenge: 'a b' }
  ]
  for (const change of spoilt) {
    t.equal(
      readNudge(JSON.stringify({ ...MESSAGE, ...change })),
      undefined,
      Object.keys(change).join()
    )
  }
  for (const text of ['', '{', 'null', '1', '[]', '"text"', 'x'.repeat(100_000)]) {
    t.equal(readNudge(text), undefined, text.slice(0, 10))
  }
})

t.test('an acknowledgement that is broken or forged is no message', async t => {
  const spoilt: readonly Readonly<Record<string, unknown>>[] = [
    { history: undefined },
    { seq: null },
    { replica: 'a b' },
    { replica: 1 },
    { mac: 'a'.repeat(63) },
    { mac: 'A'.repeat(64) },
    { mac: undefined }
  ]
  for (const change of spoilt) {
    const text = JSON.stringify({ ...ACKNOWLEDGEMENT, ...change })
    t.equal(readAcknowledgement(text), undefined, text)
  }
  t.equal(readAcknowledgement('nonsense'), undefined)
})
