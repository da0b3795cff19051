/** A, B, A, B …: every side gets the same load in turn, so that a busy machine is unkind to all alike. */
import { type Load, load } from './load.ts'
import { median, spreadPercent } from './result.ts'
import { cpuMicros } from './processes.ts'

export interface Side {
  readonly name: string
  readonly pid: number
  /** The load of one round. */
  round(number: number): Load
}

export interface Cost {
  /** CPU of the proxying process per request, median of the rounds, in µs. */
  readonly micros: number
  readonly spreadPercent: number
  readonly perSecond: number
}

export interface Rounds {
  readonly count: number
  readonly seconds: number
}

/** By the sides' names. Throws where a side refuses or breaks: then it did not do the work. */
export async function costOf(
  sides: readonly Side[],
  { count, seconds }: Rounds
): Promise<ReadonlyMap<string, Cost>> {
  const seen = new Map(sides.map(side => [side.name, { micros: [0], perSecond: [0] }]))
  for (let number = 0; number < count + 1; number++) {
    for (const side of sides) {
      // The first round only warms up.
      const given = {
        ...side.round(number),
        ...(number === 0 ? { seconds: Math.min(3, seconds) } : {})
      }
      const before = cpuMicros(side.pid)
      const { requests, perSecond, failed } = await load(given)
      if (failed > 0 || requests === 0) {
        throw new Error(`${side.name}: ${failed} of ${requests} requests failed`)
      }
      const figures = seen.get(side.name)
      if (number === 0) seen.set(side.name, { micros: [], perSecond: [] })
      else {
        figures?.micros.push((cpuMicros(side.pid) - before) / requests)
        figures?.perSecond.push(perSecond)
      }
    }
  }
  return new Map(
    [...seen].map(([name, { micros, perSecond }]) => [
      name,
      {
        micros: median(micros),
        spreadPercent: spreadPercent(micros),
        perSecond: median(perSecond)
      }
    ])
  )
}
