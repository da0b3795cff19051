/**
 * When refusals are so many that somebody should know: one token, or one address that tries texts
 * nobody was given, is refused with one code twenty times within a minute. Told once in five
 * minutes, with what came in between.
 */

/** A request that was refused by a verdict, not by a fault of ours. */
export interface Refusal {
  readonly code: string
  /** Undefined: no token that exists. */
  readonly tokenId: string | undefined
  readonly orgId: string | undefined
  readonly ip: string
}

/** A row of the audit trail. */
export interface Burst {
  readonly code: string
  readonly tokenId: string | undefined
  readonly orgId: string | undefined
  /** As many as were refused since the last row. */
  readonly count: number
  readonly firstMs: number
  readonly lastMs: number
  /** Some of those it came from. */
  readonly addresses: readonly string[]
}

export interface Bursts {
  /** Gives what is to be told, if it is time to. */
  note(refusal: Refusal, nowMs: number): Burst | undefined
}

const MANY = 20
const WITHIN_MS = 60_000
const ONCE_IN_MS = 300_000
const MOST_ADDRESSES = 5
/** Tokens and addresses that are watched; above it the one that was quiet longest is forgotten. */
const MOST_WATCHED = 10_000
/** The codes that an address alone is watched for: it tried a token. */
const GUESS = 'INVALID_CLI_TOKEN'

interface Watched {
  /** Of the last refusals, `MANY` at most, oldest first. */
  times: number[]
  count: number
  addresses: Set<string>
  toldMs: number
}

export function createBursts(): Bursts {
  const watched = new Map<string, Watched>()

  function entryOf(key: string, nowMs: number): Watched {
    const known = watched.get(key)
    // To the end of the map, which is in the order of use.
    watched.delete(key)
    const isQuiet = known === undefined || nowMs - (known.times.at(-1) ?? 0) > ONCE_IN_MS
    const entry = isQuiet
      ? { times: [], count: 0, addresses: new Set<string>(), toldMs: -Infinity }
      : known
    const [oldest] = watched.keys()
    if (watched.size >= MOST_WATCHED && oldest !== undefined) watched.delete(oldest)
    watched.set(key, entry)
    return entry
  }

  return {
    note({ code, tokenId, orgId, ip }, nowMs) {
      if (tokenId === undefined && code !== GUESS) return undefined
      const entry = entryOf(tokenId === undefined ? `ip ${ip}` : `${tokenId} ${code}`, nowMs)
      entry.times.push(nowMs)
      if (entry.times.length > MANY) entry.times.shift()
      entry.count += 1
      if (entry.addresses.size < MOST_ADDRESSES) entry.addresses.add(ip)
      const [oldestMs = nowMs] = entry.times
      const isBurst = entry.times.length === MANY && nowMs - oldestMs <= WITHIN_MS
      if (!isBurst || nowMs - entry.toldMs < ONCE_IN_MS) return undefined
      const isFirst = entry.toldMs === -Infinity
      const burst = {
        code,
        tokenId,
        orgId,
        // What trickled in before it is not the burst.
        count: isFirst ? MANY : entry.count,
        firstMs: isFirst ? oldestMs : entry.toldMs,
        lastMs: nowMs,
        addresses: [...entry.addresses]
      }
      entry.count = 0
      entry.addresses = new Set()
      entry.toldMs = nowMs
      return burst
    }
  }
}
