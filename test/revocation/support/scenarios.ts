/**
 * One run of the model: a fleet of two or three, tokens, one or two DELETEs, and a kind of trouble
 * that is aimed at one rule of the protocol, at moments and for times that the dice choose.
 */
import type { TokenRow } from '../../../src/core/principal.ts'
import { Bus, Gate, type Protocol, type Tally, tokenRow } from './fleet.ts'
import { Database, type Dice, Machine, type Passage, World } from './world.ts'

export interface Outcome extends Tally {
  readonly trouble: string
  /** The order of everything that happened, as a number. */
  readonly schedule: number
}

interface Stage {
  readonly world: World
  readonly dice: Dice
  readonly database: Database
  readonly bus: Bus
  readonly gates: Gate[]
  /** Adds a gate that is not started yet. */
  readonly addGate: () => Gate
  /** The gate that the trouble is aimed at, and the one that revokes. */
  readonly target: Gate
  readonly revoker: Gate
  readonly victim: TokenRow
  readonly other: TokenRow
  readonly at: (atMs: number, what: string, run: () => void) => void
  /** Runs once, when the statement has been executed for the target. */
  readonly when: (statement: string, run: () => void) => void
  /** Whom the next look at the members takes for dead. */
  readonly silent: string[]
  readonly kill: (gate: Gate) => void
  readonly deleteAt: (atMs: number, by?: Gate, row?: TokenRow) => void
}

const LOST: Passage = { thereMs: undefined, backMs: undefined }
/** The longest lease plus margin: when a barrier without acknowledgements ends. */
const DEADLINE_MS = 2520

type Trouble = (stage: Stage) => void

/** What may go wrong, each at a moment that matters to some rule. */
const TROUBLES: Readonly<Record<string, Trouble>> = {
  calm: ({ deleteAt, dice }) => deleteAt(dice.between(20, 700)),

  noise: stage => {
    const { dice, gates, world, deleteAt } = stage
    for (const { machine } of gates) {
      const usual = machine.passage
      machine.passage = statement => (dice.chance(0.2) ? LOST : usual(statement))
      machine.isDeaf = dice.chance(0.4)
      machine.isMute = dice.chance(0.2)
      if (dice.chance(0.3)) {
        world.after(dice.between(10, 900), 'stop', machine, () =>
          machine.stopFor(dice.pick([40, 400, 1500, 2600]))
        )
      }
    }
    deleteAt(dice.between(20, 700))
    if (dice.chance(0.5)) deleteAt(dice.between(20, 900), dice.pick([stage.target, stage.revoker]))
  },

  parked: stage => {
    const { dice, target, victim, at, deleteAt } = stage
    const startMs = dice.between(20, 300)
    for (let i = 0; i < 3; i++) {
      const parkMs = dice.between(1, 60)
      at(startMs - dice.between(0, 20), 'parked', () => void target.request(victim.digest, parkMs))
    }
    deleteAt(startMs)
  },

  /** A row is read before COMMIT and arrives after the answer. */
  refill: ({ dice, target, victim, other, at, when, deleteAt }) => {
    const usual = target.machine.passage
    const holdMs = dice.between(3, 990)
    target.machine.passage = statement =>
      statement === 'lookUp' && dice.chance(0.7)
        ? { thereMs: 0.5, backMs: holdMs }
        : usual(statement)
    const startMs = dice.between(20, 300)
    at(startMs, 'cold', () => void target.request(victim.digest))
    when('lookUp', () => deleteAt(startMs + dice.between(0, 30)))
    // Two revocations at once: the first one's mark may be forgotten for the second one's.
    if (dice.chance(0.5)) deleteAt(startMs + dice.between(2, 60), target, other)
  },

  /** Queries pass, replies are slow, and from some moment on nothing passes. */
  cut: ({ dice, world, target, deleteAt }) => {
    const usual = target.machine.passage
    const startMs = dice.between(430, 900)
    const cutMs = startMs + dice.between(-400, 20)
    const leastMs = dice.pick([0, 530])
    target.machine.isDeaf = true
    target.machine.passage = statement => {
      if (world.nowMs >= cutMs) return LOST
      const isSlow = statement === 'poll' && world.nowMs > 20
      return isSlow ? { thereMs: 0.5, backMs: dice.between(leastMs, 990) } : usual(statement)
    }
    deleteAt(startMs)
  },

  stopped: ({ dice, world, target, victim, at, deleteAt }) => {
    const startMs = dice.between(30, 600)
    target.machine.isDeaf = dice.chance(0.7)
    at(startMs - dice.between(0, 100), 'before', () => void target.request(victim.digest, 30))
    at(startMs - dice.between(0, 30), 'stop', () => {
      target.machine.stopFor(dice.pick([60, 2560, 2700]))
    })
    world.after(startMs + 10, 'waiting', target.machine, () => void target.request(victim.digest))
    deleteAt(startMs)
  },

  /** As `refill`, but the process is stopped while the reply waits in its socket. */
  late: ({ dice, target, victim, when, at, deleteAt }) => {
    const startMs = dice.between(20, 300)
    target.machine.isDeaf = dice.chance(0.8)
    target.machine.passage = statement => ({
      thereMs: 0.5,
      backMs: statement === 'lookUp' ? dice.between(2, 40) : 0.5
    })
    when('lookUp', () => {
      target.machine.stopFor(DEADLINE_MS + dice.between(-50, 300))
      deleteAt(startMs + dice.between(0, 5))
    })
    at(startMs, 'cold', () => void target.request(victim.digest))
  },

  /** Taken for dead while a read is under way, back under another id. */
  rejoin: ({ dice, database, target, victim, at, when, deleteAt }) => {
    const usual = target.machine.passage
    const startMs = dice.between(20, 300)
    const joinMs = dice.between(1, 120)
    target.machine.isDeaf = dice.chance(0.6)
    target.machine.passage = statement => {
      if (statement === 'lookUp') return { thereMs: 0.5, backMs: dice.between(1, 900) }
      if (statement === 'join' && target.revocation.state().id !== '') {
        return { thereMs: joinMs, backMs: 0.5 }
      }
      return usual(statement)
    }
    at(startMs, 'cold', () => void target.request(victim.digest))
    at(startMs + dice.between(0, 30), 'mark', () => {
      database.markLeaving(target.revocation.state().id)
    })
    when('leave', () => deleteAt(startMs + dice.between(0, 20)))
  },

  /** Taken for dead and removed by somebody, while it goes on somehow. */
  removed: ({ dice, database, world, target, victim, at, deleteAt }) => {
    const usual = target.machine.passage
    const startMs = dice.between(10, 100)
    const removedMs = startMs + DEADLINE_MS + dice.between(0, 300)
    const lost = dice.pick(['poll', 'lookUp', 'nothing'])
    target.machine.isDeaf = dice.chance(0.8)
    target.machine.passage = statement =>
      statement === lost && world.nowMs > startMs ? LOST : usual(statement)
    at(startMs, 'mark', () => {
      const { id } = target.revocation.state()
      database.markLeaving(id)
      at(removedMs, 'removal', () => database.remove([id]))
    })
    for (let i = 0; i < 3; i++) {
      const usedMs = removedMs + dice.between(-400, 20)
      at(usedMs, 'use', () => void target.request(victim.digest, dice.pick([0, 5])))
    }
    deleteAt(removedMs + dice.between(0, 20))
  },

  /** A first DELETE takes it for dead; a second one comes soon after. */
  reaped: ({ dice, gates, world, target, revoker, victim, other, silent, at, deleteAt }) => {
    const startMs = dice.between(20, 300)
    const secondMs = dice.pick([startMs + 5, startMs + DEADLINE_MS + 20])
    target.machine.isDeaf = true
    at(startMs - 1, 'silent', () => silent.push(target.revocation.state().id))
    const usual = target.machine.passage
    const isCut = dice.chance(0.7)
    target.machine.passage = statement =>
      isCut && world.nowMs > startMs - 300 ? LOST : usual(statement)
    deleteAt(startMs, revoker, dice.chance(0.5) ? other : victim)
    deleteAt(secondMs + dice.between(0, 60), gates[2] ?? revoker)
  },

  /** A replica joins while the DELETE is on its way. */
  join: ({ dice, addGate, revoker, victim, at, deleteAt }) => {
    const startMs = dice.between(20, 100)
    const usual = revoker.machine.passage
    revoker.machine.passage = statement =>
      statement === 'revoke' ? { thereMs: dice.between(0, 40), backMs: 0.5 } : usual(statement)
    deleteAt(startMs)
    at(startMs + dice.between(-20, 20), 'start', () => {
      const gate = addGate()
      gate.machine.isDeaf = dice.chance(0.7)
      void gate.revocation.start().then(() => gate.request(victim.digest))
    })
  },

  /** A second DELETE while the first one waits, or after its revoker died. */
  repeat: ({ dice, gates, world, target, revoker, deleteAt, at, kill }) => {
    const startMs = dice.between(30, 300)
    const usual = target.machine.passage
    target.machine.isDeaf = true
    target.machine.passage = statement => (world.nowMs > startMs - 300 ? LOST : usual(statement))
    deleteAt(startMs)
    if (dice.chance(0.5)) {
      at(startMs + dice.between(1, 6), 'kill', () => kill(revoker))
    }
    deleteAt(startMs + dice.between(5, 200), gates[2] ?? revoker)
  },

  /** The machine sleeps, and somebody sets its clock. */
  asleep: ({ dice, target, victim, at, deleteAt }) => {
    const startMs = dice.between(30, 300)
    const sleepMs = dice.pick([400, 2560, 3000])
    target.machine.isDeaf = true
    at(startMs - dice.between(0, 30), 'sleep', () => {
      target.machine.sleepFor(sleepMs)
      // Set back by just the time slept is what the clocks together cannot tell.
      target.machine.setWallBy(dice.pick([0, 0, 3_600_000, -60_000]))
    })
    at(startMs + sleepMs, 'wake', () => void target.request(victim.digest))
    deleteAt(startMs)
  },

  wall: ({ dice, world, target, victim, at, deleteAt }) => {
    const startMs = dice.between(30, 300)
    const usual = target.machine.passage
    target.machine.isDeaf = dice.chance(0.5)
    target.machine.passage = statement => (world.nowMs > startMs + 20 ? LOST : usual(statement))
    at(startMs + dice.between(-30, 30), 'set', () => {
      target.machine.setWallBy(dice.pick([3_600_000, -3_600_000, -700]))
      void target.request(victim.digest, 20)
    })
    deleteAt(startMs)
  },

  /** It shuts down in good order while requests are parked. */
  leave: ({ dice, target, victim, at, when, deleteAt }) => {
    const startMs = dice.between(30, 300)
    const usual = target.machine.passage
    target.machine.isDeaf = dice.chance(0.5)
    target.machine.passage = statement =>
      statement === 'leave' ? { thereMs: 0.5, backMs: dice.between(1, 60) } : usual(statement)
    for (let i = 0; i < 3; i++) {
      at(startMs - dice.between(0, 20), 'parked', () => {
        void target.request(victim.digest, dice.between(1, 40))
      })
    }
    at(startMs + dice.between(-5, 5), 'leave', () => void target.revocation.stop())
    if (dice.chance(0.5)) deleteAt(startMs)
    else when('leave', () => deleteAt(startMs))
  },

  /** The feed is shorter than what a replica has missed. */
  pruned: ({ dice, database, world, target, at, deleteAt }) => {
    const startMs = dice.between(30, 300)
    const mendedMs = startMs + dice.between(600, 2600)
    const usual = target.machine.passage
    target.machine.isDeaf = true
    target.machine.passage = statement =>
      world.nowMs > startMs - 5 && world.nowMs < mendedMs ? LOST : usual(statement)
    at(startMs + dice.between(30, 590), 'prune', () => database.prune())
    deleteAt(startMs)
  },

  /** A failover loses the revocation before its barrier has ended. */
  lost: ({ dice, database, world, target, victim, at, deleteAt }) => {
    const startMs = dice.between(30, 300)
    const lostMs = startMs + dice.between(130, 2500)
    const usual = target.machine.passage
    target.machine.isMute = true
    target.machine.isDeaf = dice.chance(0.8)
    target.machine.passage = statement =>
      world.nowMs > startMs - 1 && world.nowMs < lostMs ? LOST : usual(statement)
    at(lostMs, 'failover', () => database.failOver(victim))
    deleteAt(startMs)
  },

  restarted: ({ dice, database, at, deleteAt }) => {
    const startMs = dice.between(30, 300)
    at(startMs + dice.between(-50, 50), 'restart', () => {
      database.history = 'server 2/1'
    })
    deleteAt(startMs)
  },

  /** Somebody in Redis collects acknowledgements in advance, and swallows or alters the nudge. */
  forged: ({ dice, database, bus, target, victim, at, deleteAt }) => {
    const startMs = dice.between(60, 300)
    const forged = {
      seq: database.seq + 1,
      kind: 'revoke' as const,
      ids: [victim.id],
      history: database.history,
      replyTo: 'attacker',
      challenge: 'any'
    }
    const collected: Parameters<typeof bus.acknowledge>[1][] = []
    const altersIds = dice.chance(0.5)
    bus.onAcknowledge = (replyTo, given) => {
      collected.push(given)
      return replyTo !== 'attacker'
    }
    bus.onAnnounce = message => {
      if (altersIds) bus.nudge({ ...message, ids: ['another'] })
      for (const given of collected) bus.acknowledge(message.replyTo, given)
      return false
    }
    if (!altersIds) at(startMs - dice.between(10, 40), 'forge', () => bus.nudge(forged))
    at(startMs - dice.between(0, 8), 'use', () => void target.request(victim.digest))
    deleteAt(startMs)
  }
}

const NAMES = Object.keys(TROUBLES)

/** Plays one run to its end, or to its first violation. */
export async function play(seed: number, protocol: Protocol): Promise<Outcome> {
  const world = new World(seed)
  const { dice } = world
  const name = NAMES[Math.floor(dice.roll() * NAMES.length)] ?? 'calm'
  const stage = setUp(world, protocol)
  const { gates, target, victim, other, at, tally } = stage
  for (const gate of gates) void gate.revocation.start()
  const isCold = name === 'refill' || name === 'late' || name === 'rejoin'
  for (const gate of gates) {
    const isWarm = !(isCold && gate === target)
    if (isWarm) at(dice.between(9, 20), 'warm', () => void gate.request(victim.digest))
    if (dice.chance(0.3)) at(dice.between(9, 20), 'warm', () => void gate.request(other.digest))
  }
  TROUBLES[name]?.(stage)
  while (tally.violation === undefined && world.step(stage.endMs())) {
    // Runs when every microtask has.
    await new Promise<void>(resolve => process.nextTick(resolve))
  }
  return { ...tally, trouble: name, schedule: world.schedule }
}

function setUp(world: World, protocol: Protocol) {
  const { dice } = world
  const database = new Database(world)
  const slowMs = dice.pick([1, 1, 5, 40])
  const bus = new Bus(world, () => dice.between(0.1, slowMs))
  const victim = tokenRow('victim')
  const other = tokenRow('other')
  database.add(victim)
  database.add(other)
  const gone = new Set<TokenRow['digest']>()
  const silent: string[] = []
  const hooks = new Map<string, () => void>()
  const gates: Gate[] = []
  const tally: Tally = {
    accepted: 0,
    refused: 0,
    faults: 0,
    answered: 0,
    unconfirmed: 0,
    violation: undefined
  }
  let endMs = 6000
  let unanswered = 0

  function addGate(): Gate {
    const passage = () => {
      const isQuick = world.nowMs < 20
      const mostMs = isQuick ? 1 : slowMs
      return { thereMs: dice.between(0.1, mostMs), backMs: dice.between(0.1, mostMs) }
    }
    const machine = new Machine(world, gates.length, passage)
    const onStatement = (statement: string, by: Machine) => {
      if (by !== gates[0]?.machine) return
      const hook = hooks.get(statement)
      hooks.delete(statement)
      hook?.()
    }
    const parts = { world, database, bus, machine, protocol, tally, gone, silent, onStatement }
    const gate = new Gate(parts)
    gates.push(gate)
    return gate
  }

  const at = (atMs: number, what: string, run: () => void) =>
    world.after(Math.max(0, atMs - world.nowMs), what, undefined, run)

  /** After the answer everybody is asked, at once and for a while. */
  function afterwards(): void {
    unanswered -= 1
    const tailMs = dice.pick([2, 2, 30, 30, 400, 2100])
    if (unanswered <= 0) endMs = world.nowMs + tailMs + 1
    for (const gate of gates) {
      for (const delayMs of [0, 0.5, dice.between(0, tailMs), dice.between(0, tailMs)]) {
        world.after(delayMs, 'use', gate.machine, () => {
          gate.passChunks()
          void gate.request(victim.digest)
          if (dice.chance(0.2)) void gate.request(other.digest)
        })
      }
    }
  }

  const target = addGate()
  const revoker = addGate()
  if (dice.chance(0.4)) addGate()
  function deleteAt(atMs: number, by = revoker, row = victim): void {
    unanswered += 1
    world.after(Math.max(0, atMs - world.nowMs), 'delete', by.machine, () => {
      void by.delete(row.id, row.digest).then(afterwards)
    })
  }
  function kill(gate: Gate): void {
    gate.machine.kill()
    unanswered -= 1
  }
  const when = (statement: string, run: () => void) => void hooks.set(statement, run)
  const stage = { world, dice, database, bus, gates, addGate, target, revoker, victim, other }
  return { ...stage, at, when, silent, kill, deleteAt, tally, endMs: () => endMs }
}
