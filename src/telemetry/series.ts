/**
 * The series of one metric: a label set, bounded to the values the catalogue allows, and what was
 * counted for it. Found by one map look-up, so that counting costs a request next to nothing;
 * metrics.ts carries the numbers over to prom-client when they are asked for.
 */
import type { Labels } from '../core/observer.ts'
import type { Metric } from './catalogue.ts'
import type { Values } from './labels.ts'

/** One series; `T` is what is kept of it. */
export interface Series<T> {
  readonly labels: Labels
  readonly state: T
}

export interface SeriesSet<T> {
  /** The series of these labels, made when it is the first time. */
  of(labels: Labels): T
  all(): Iterable<Series<T>>
  /** Forgets series whose labels are no longer allowed. */
  prune(): void
}

/** Whether a label may have a value that is in no fixed list. */
export type IsAllowed = (values: Exclude<Values, readonly string[]>, value: string) => boolean

export const OTHER = 'other'

/** `make` starts a series. Its labels are those of the catalogue, all of them, in its order. */
export function createSeriesSet<T>(
  { labels: allowed }: Metric,
  isAllowed: IsAllowed,
  make: (labels: Labels) => T
): SeriesSet<T> {
  const names = Object.keys(allowed)
  const isSingle = Object.values(allowed).includes('newest')
  const known = new Map<string, Series<T>>()
  /** Of labels that cannot change: whoever counts often keeps them, and pays no key. */
  let byIdentity = new WeakMap<Labels, { readonly state: T }>()
  const keyOf = (labels: Labels) => {
    let key = ''
    for (const name of names) key += `${labels[name]}\n`
    return key
  }
  const isIn = (name: string, value: string | undefined): value is string => {
    const values = allowed[name]
    if (values === undefined || value === undefined) return false
    return typeof values === 'string' ? isAllowed(values, value) : values.includes(value)
  }
  const bound = (labels: Labels): Labels =>
    Object.fromEntries(
      names.map(name => {
        const value = labels[name]
        return [name, isIn(name, value) ? value : OTHER]
      })
    )
  const add = (labels: Labels): T => {
    const bounded = bound(labels)
    const key = keyOf(bounded)
    const found = known.get(key)
    if (found) return found.state
    if (isSingle) {
      known.clear()
      byIdentity = new WeakMap()
    }
    const series = { labels: bounded, state: make(bounded) }
    known.set(key, series)
    return series.state
  }

  const find = (labels: Labels): T => known.get(keyOf(labels))?.state ?? add(labels)

  return {
    of(labels) {
      const kept = byIdentity.get(labels)
      if (kept) return kept.state
      const state = find(labels)
      if (Object.isFrozen(labels)) byIdentity.set(labels, { state })
      return state
    },
    all: () => known.values(),
    prune() {
      byIdentity = new WeakMap()
      for (const [key, { labels }] of known) {
        const isKept = names.every(name => labels[name] === OTHER || isIn(name, labels[name]))
        if (!isKept) known.delete(key)
      }
    }
  }
}

/** Every label set of a metric whose labels are all fixed lists; none if one is not. */
export function allLabels({ labels }: Metric): readonly Labels[] {
  let sets: readonly Labels[] = [{}]
  for (const [name, values] of Object.entries(labels)) {
    if (typeof values === 'string') return []
    sets = sets.flatMap(set => values.map(value => ({ ...set, [name]: value })))
  }
  return sets
}
