/** What holds for every nudge, whatever carries it. */
import type { Test } from 'tap'
import type { Acknowledgement, Nudge, NudgeMessage } from '../../src/core/ports.ts'
import type { TestLog } from './fixtures.ts'

export interface OpenNudge {
  readonly nudge: Nudge
  readonly log: TestLog
}

/** Two of them hear each other (or are the same, where there is one process). */
export type OpenNudges = (t: Test) => Promise<readonly [OpenNudge, OpenNudge]>

export const MESSAGE: NudgeMessage = {
  history: '7401234567890123456/1',
  seq: 42,
  kind: 'revoke',
  ids: ['00000000-0000-4000-8000-000000000001'],
  replyTo: '00000000-0000-4000-8000-00000000000a',
  challenge: '00000000-0000-4000-8000-00000000000b'
}

export const ACKNOWLEDGEMENT: Acknowledgement = {
  history: MESSAGE.history,
  seq: MESSAGE.seq,
  replica: '00000000-0000-4000-8000-00000000000c',
  mac: 'a'.repeat(64)
}

/** Resolves with the first message that is heard. */
export function hear(nudge: Nudge): Promise<NudgeMessage> {
  return new Promise(resolve => nudge.onNudge(resolve))
}

export function testNudge(t: Test, open: OpenNudges): void {
  t.test('an announcement is heard by everybody, whoever announces it', async t => {
    const [one, two] = await open(t)
    const heard = [hear(one.nudge), hear(two.nudge)]
    one.nudge.announce(MESSAGE)
    t.strictSame(await Promise.all(heard), [MESSAGE, MESSAGE])
  })

  t.test('of each kind, with none or many ids', async t => {
    const [one, two] = await open(t)
    const many = Array.from({ length: 1000 }, () => MESSAGE.ids[0] ?? '')
    const messages: readonly NudgeMessage[] = [
      { ...MESSAGE, kind: 'all', ids: [] },
      { ...MESSAGE, kind: 'change', ids: many }
    ]
    const heard: NudgeMessage[] = []
    const hasAll = new Promise<void>(resolve => {
      two.nudge.onNudge(message => heard.push(message) === messages.length && resolve())
    })
    for (const message of messages) one.nudge.announce(message)
    await hasAll
    t.strictSame(heard, messages)
  })

  t.test('an acknowledgement is heard by the revoker it is for, until that stops', async t => {
    const [one, two] = await open(t)
    const heard: string[] = []
    const first = Promise.withResolvers<void>()
    const stop = one.nudge.onAcknowledgement('mine', given => {
      heard.push(`mine ${given.replica}`)
      first.resolve()
    })
    one.nudge.onAcknowledgement('other', given => heard.push(`other ${given.replica}`))
    two.nudge.acknowledge('nobody', { ...ACKNOWLEDGEMENT, replica: 'lost' })
    two.nudge.acknowledge('mine', { ...ACKNOWLEDGEMENT, replica: 'a' })
    await first.promise
    stop()
    const last = new Promise<void>(resolve => {
      one.nudge.onAcknowledgement('other', () => resolve())
    })
    two.nudge.acknowledge('mine', { ...ACKNOWLEDGEMENT, replica: 'b' })
    two.nudge.acknowledge('other', { ...ACKNOWLEDGEMENT, replica: 'c' })
    await last
    t.strictSame(heard, ['mine a', 'other c'])
  })

  t.test('one listener of two stops, the other still hears', async t => {
    const [one, two] = await open(t)
    const stop = one.nudge.onAcknowledgement('mine', () => t.fail('stopped'))
    const heard = new Promise<Acknowledgement>(resolve => {
      one.nudge.onAcknowledgement('mine', resolve)
    })
    stop()
    two.nudge.acknowledge('mine', ACKNOWLEDGEMENT)
    t.strictSame(await heard, ACKNOWLEDGEMENT)
  })

  t.test('a listener that throws is logged, and the others hear', async t => {
    const [one] = await open(t)
    one.nudge.onNudge(() => {
      throw new Error('of the test')
    })
    const heard = hear(one.nudge)
    one.nudge.announce(MESSAGE)
    await heard
    t.strictSame(
      one.log.lines.filter(line => line.startsWith('error')),
      ['error a nudge could not be obeyed']
    )
  })
}
