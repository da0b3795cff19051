/** What is broken during a soak, one thing after the other, and mended again each time. */
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FaultProxy } from '../../test/support/fault-proxy.ts'
import type { GateProcess } from '../../test/support/gate.ts'
import type { RedisServer } from '../../test/support/redis.ts'
import { type Book, NO_NONCES, NO_TIME, NO_TOKENS } from './book.ts'

export interface FaultsOptions {
  readonly gates: readonly GateProcess[]
  readonly postgresLink: FaultProxy
  readonly redisLink: FaultProxy
  readonly redis: RedisServer
  readonly book: Book
  readonly everyMs: number
}

interface Breaking {
  readonly cause: string
  readonly explains: RegExp
  readonly make: () => unknown
  readonly mend: () => unknown
  readonly forMs: number
}

/** Runs until the signal. Never rejects. */
export async function breakThings(options: FaultsOptions, signal: AbortSignal): Promise<void> {
  const { gates, postgresLink, redisLink, redis, book, everyMs } = options
  const [gate] = gates
  const things: readonly Breaking[] = [
    {
      cause: 'Postgres refuses',
      explains: NO_TOKENS,
      make: () => postgresLink.refuse(),
      mend: () => postgresLink.pass(),
      forMs: 4000
    },
    {
      cause: 'Redis flushed',
      explains: NO_NONCES,
      make: () => redis.command('FLUSHALL'),
      mend: () => undefined,
      forMs: 0
    },
    {
      cause: 'Postgres hangs',
      explains: NO_TOKENS,
      make: () => postgresLink.hold(),
      mend: () => postgresLink.release(),
      forMs: 4000
    },
    {
      cause: 'Redis refuses',
      explains: NO_NONCES,
      make: () => redisLink.refuse(),
      mend: () => redisLink.pass(),
      forMs: 3000
    },
    {
      cause: 'a replica stopped',
      explains: NO_TIME,
      make: () => gate?.signal('SIGSTOP'),
      mend: () => gate?.signal('SIGCONT'),
      forMs: 3000
    },
    {
      cause: 'Redis hangs',
      explains: NO_NONCES,
      make: () => redisLink.hold(),
      mend: () => redisLink.release(),
      forMs: 3000
    },
    {
      cause: 'Postgres connections reset',
      explains: NO_TOKENS,
      make: () => postgresLink.reset(),
      mend: () => postgresLink.pass(),
      forMs: 500
    }
  ]
  for (let round = 0; !signal.aborted; round++) {
    await pause(everyMs, signal)
    const thing = things[round % things.length]
    if (signal.aborted || !thing) return
    const span = book.open(thing.cause, thing.explains)
    await thing.make()
    await pause(thing.forMs, signal)
    await thing.mend()
    span.toMs = performance.now()
  }
}

/** The route file anew each time; every third one is broken, and must change nothing. */
export async function reloadRoutes(
  file: string,
  everyMs: number,
  signal: AbortSignal
): Promise<number> {
  const good = readFileSync(file, 'utf8')
  let round = 0
  for (; !signal.aborted; round++) {
    const text = round % 3 === 2 ? `${good}\n  nonsense: [` : `${good}# ${round}\n`
    writeFileSync(`${file}.new`, text)
    renameSync(`${file}.new`, file)
    await pause(everyMs, signal)
  }
  return round
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => undefined)
}
