/** Did you mean: the known word that is nearest to a mistyped one. */

/** The nearest word that is 1 or 2 edits away (1 under 5 letters), the first of equals; or none. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  const most = word.length < 5 ? 1 : 2
  const near = known
    .map(other => ({ other, edits: countEdits(word, other) }))
    .filter(({ edits }) => edits > 0 && edits <= most)
  return near.toSorted((a, b) => a.edits - b.edits)[0]?.other
}

/** Insertions, deletions and replacements between two words (Levenshtein). */
function countEdits(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[b.length] ?? 0
}
