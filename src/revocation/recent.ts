/**
 * Which rows have been overtaken: a row that was read before a change must not enter the cache after
 * the change was applied here. Remembered per token id, and beyond a bound by one floor for all.
 *
 * A mark speaks about reads that were under way when it was made. One sent later sees the change, if
 * there was one; a mark that such a read contradicts came from a forged nudge and binds nobody.
 */

/** When a row was read: the number the database was at, and the marks made here before sending. */
export interface ReadPosition {
  readonly seq: number
  readonly order: number
}

export interface Recent {
  mark(id: string, seq: number): void
  markAll(seq: number): void
  isOvertaken(id: string, read: ReadPosition): boolean
  /** Number of marks made so far. */
  order(): number
  clear(): void
}

/** Some 1.5 MB at most. Forgetting is safe: the floor rises to the number that is forgotten. */
const RECENT_IDS = 10_000
const NONE: ReadPosition = { seq: 0, order: 0 }

export function createRecent(): Recent {
  const marks = new Map<string, ReadPosition>()
  let floor = NONE
  let order = 0
  const raiseFloor = (to: ReadPosition) => {
    floor = { seq: Math.max(floor.seq, to.seq), order: Math.max(floor.order, to.order) }
  }
  const isBelow = (read: ReadPosition, mark: ReadPosition) =>
    read.seq < mark.seq && read.order < mark.order
  return {
    mark(id, seq) {
      order += 1
      const known = marks.get(id) ?? NONE
      marks.delete(id) // so that the order of the map is the order of the marks
      marks.set(id, { seq: Math.max(known.seq, seq), order })
      if (marks.size <= RECENT_IDS) return
      for (const [oldest, mark] of marks) {
        raiseFloor(mark)
        marks.delete(oldest)
        break
      }
    },
    markAll(seq) {
      order += 1
      raiseFloor({ seq, order })
    },
    isOvertaken(id, read) {
      const mark = marks.get(id)
      return isBelow(read, floor) || (mark !== undefined && isBelow(read, mark))
    },
    order: () => order,
    clear() {
      marks.clear()
      floor = NONE
    }
  }
}
