/** The canonical target of a path that was put together from segments of the grammar. */
import { readTarget, type Target } from '../core/target.ts'

/** Throws TypeError where it is not canonical, which no path of the grammar's alphabet is. */
export function targetOf(path: string): Target {
  const target = readTarget(path)
  if ('kind' in target) throw new TypeError(`${path} is no canonical target`)
  return target
}
