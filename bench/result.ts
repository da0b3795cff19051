/** What a row of the table says, and how the table is printed. */

export interface Result {
  /** As in `P1`. */
  readonly row: string
  readonly work: string
  /** What was measured, with its unit: `31.2 µs`. */
  readonly figure: string
  /** What it is compared with, in the same run. */
  readonly reference: string
  /** Of the figure and the reference's; undefined: the goal is no ratio. */
  readonly ratio: number | undefined
  readonly goal: string
  /** Undefined: there is no goal, or it was not measured (`figure` says why). */
  readonly isHeld: boolean | undefined
}

/** A row that cannot be measured here; never a guess. */
export function skipped(row: string, work: string, reason: string): Result {
  const figure = `skipped: ${reason}`
  return { row, work, figure, reference: '', ratio: undefined, goal: '', isHeld: undefined }
}

export function formatTable(results: readonly Result[]): string {
  const lines = [
    ['row', 'work', 'figure', 'reference', 'ratio', 'goal', 'held'],
    ...results.map(({ row, work, figure, reference, ratio, goal, isHeld }) => [
      row,
      work,
      figure,
      reference,
      ratio === undefined ? '' : `${ratio.toFixed(2)} ×`,
      goal,
      isHeld === undefined ? '' : isHeld ? 'yes' : 'NO'
    ])
  ]
  const widths = (lines[0] ?? []).map((_, column) =>
    Math.max(...lines.map(line => line[column]?.length ?? 0))
  )
  return lines
    .map(line =>
      line
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd()
    )
    .join('\n')
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length / 2
  const upper = sorted[Math.floor(middle)] ?? NaN
  return Number.isInteger(middle) ? ((sorted[middle - 1] ?? NaN) + upper) / 2 : upper
}

/** Half of the distance between the smallest and the largest, in percent of the median. */
export function spreadPercent(values: readonly number[]): number {
  return (100 * (Math.max(...values) - Math.min(...values))) / 2 / median(values)
}
