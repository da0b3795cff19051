/** The rules of the protocol, each as the change that takes it out. */
import type { Patch } from './mutants.ts'
import type { Protocol } from './fleet.ts'

export interface Rule {
  readonly patches?: readonly Patch[]
  readonly protocol?: Omit<Protocol, 'create'>
}

const NOT_FRESH: Patch = [
  'token-cache.ts',
  'return isCurrent && freshness.isFresh(read.sent, read.leaseMs)',
  'return isCurrent'
]

export const MUTANTS: Readonly<Record<string, Rule>> = {
  'the lease runs from the sending of its poll': {
    patches: [
      [
        'renewal.ts',
        'lease.extend(sent, reply.leaseMs)',
        'lease.extend(freshness.read(), reply.leaseMs)'
      ]
    ]
  },
  'a poll of a replica that is no live member gives nothing': {
    patches: [['renewal.ts', "if (reply.member !== 'live') return becomeNobody()", '']]
  },
  'a look-up of a replica that is no live member gives nothing': {
    patches: [['lookups.ts', "if (reply.member !== 'live') return 'not_member'", '']]
  },
  'a row is used for no longer than a lease after the sending of its read': {
    patches: [
      ['lookups.ts', "if (!freshness.isFresh(at.sent, at.leaseMs)) return 'stale'", ''],
      NOT_FRESH
    ]
  },
  'a row that a change has overtaken is not used': {
    patches: [['lookups.ts', 'if (row && cache.isOvertaken(row.id, at))', 'if (row && false)']]
  },
  'a forgotten change still counts by its number': {
    patches: [
      ['recent.ts', 'const RECENT_IDS = 10_000', 'const RECENT_IDS = 1'],
      ['recent.ts', '      raiseFloor(mark)\n', '']
    ]
  },
  'a decision is looked at once more before it is acted upon': {
    patches: [
      [
        'revocation.ts',
        'const isHeld = cache.holds(digest, entry)\n',
        'const isHeld = cache.holds(digest, entry)\n      if (entry) return undefined\n'
      ]
    ]
  },
  'members are read after COMMIT': { protocol: { readsMembersEarly: true } },
  'the dead are removed only when no lease of theirs can run': {
    patches: [['membership.ts', 'clocks.monoMs() + waitMs + marginMs(waitMs)', 'clocks.monoMs()']]
  },
  'a read under way is void when the replica joins anew': {
    patches: [['token-cache.ts', '      generation += 1\n', '']]
  },
  'changes are applied before the lease is extended': {
    patches: [
      [
        'renewal.ts',
        "for (const event of reply.events) changes.apply(event, 'poll')",
        "for (const event of reply.events) schedule(() => changes.apply(event, 'poll'), 50)"
      ]
    ]
  },
  'a nudge is applied before it is acknowledged': {
    patches: [['nudges.ts', "changes.apply(message, 'nudge')", '']]
  },
  'a repeated DELETE waits like the first': { protocol: { skipsRepeats: true } },
  'the wait is no shorter than the longest lease': {
    patches: [
      [
        'barrier.ts',
        'round.startedMs + waitMs + marginMs(waitMs)',
        'round.startedMs + waitMs * 0.8'
      ]
    ]
  },
  'an acknowledgement is of this very barrier': {
    patches: [
      [
        'acknowledgement.ts',
        'JSON.stringify([history, seq, kind, ids, challenge, id])',
        'JSON.stringify([history, seq, kind, ids, challenge && 0, id])'
      ]
    ]
  },
  'an acknowledgement is of these very tokens': {
    patches: [
      [
        'acknowledgement.ts',
        'JSON.stringify([history, seq, kind, ids, challenge, id])',
        'JSON.stringify([history, seq, kind, ids && 0, challenge, id])'
      ]
    ]
  },
  'sleep ends the lease': {
    patches: [
      ['clocks.ts', '      era += 1\n', ''],
      ['clocks.ts', 'wall >= 0 && wall < spanMs', 'wall === wall']
    ]
  },
  'streams are looked at again when a nudge comes': {
    patches: [['changes.ts', 'streams.recheck(ids)', '{}']]
  },
  'the streams of a revoked token end': {
    patches: [['changes.ts', "else streams.end(ids, 'revoked')", '']]
  },
  'a change is applied where it was made': {
    patches: [['nudges.ts', "changes.apply(message, 'own')", '']]
  },
  'who is being removed is still waited for': {
    patches: [
      [
        'barrier.ts',
        'const members = await epochs.members(SILENT_LEASES * waitMs)\n',
        `const all = await epochs.members(SILENT_LEASES * waitMs)
      const members = all.filter(member => member.state === 'live')\n`
      ]
    ]
  },
  'the cache is cleared when the feed has a gap': {
    patches: [['renewal.ts', 'changes.skipTo(reply.seq)', '']]
  },
  'the change is looked for once more after the deadline': {
    patches: [
      [
        'barrier.ts',
        "end === 'deadline' ? await objectionOf(change) : undefined",
        'await (objectionOf, undefined)'
      ]
    ]
  },
  'the cache is cleared before the row of the replica goes': {
    patches: [
      [
        'revocation.ts',
        `      const settled = renewal.stop()
      lease.end()
      membership.retire()
      changes.forget('left')
      await settled
      await membership.leave()
`,
        `      await membership.leave()
      const settled = renewal.stop()
      lease.end()
      membership.retire()
      changes.forget('left')
      await settled
`
      ]
    ]
  }
}
