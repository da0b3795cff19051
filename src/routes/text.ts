/**
 * Aligned text for terminals. Colour is the caller's: it is put around what is already in its column.
 */

export type Tone = 'good' | 'bad' | 'warn' | 'quiet' | 'strong'

/** Puts a colour around a text, or leaves it. */
export type Paint = (tone: Tone, text: string) => string

export const PLAIN: Paint = (_tone, text) => text

export interface Cell {
  readonly text: string
  readonly tone?: Tone | undefined
}

/**
 * Lines of columns, `gap` blanks apart, none with blanks at its end. What stands last in its row
 * makes no column wider.
 */
export function alignCells(
  rows: readonly (readonly Cell[])[],
  paint: Paint,
  gap = 3
): readonly string[] {
  const widths: number[] = []
  for (const row of rows) {
    for (const [i, { text }] of row.slice(0, -1).entries()) {
      widths[i] = Math.max(widths[i] ?? 0, widthOf(text))
    }
  }
  const shown = rows.map(row => row.slice(0, row.findLastIndex(({ text }) => text !== '') + 1))
  return shown.map(row =>
    row
      .map(({ text, tone }, i) => {
        const padding = i === row.length - 1 ? 0 : (widths[i] ?? 0) - widthOf(text) + gap
        return (tone ? paint(tone, text) : text) + ' '.repeat(padding)
      })
      .join('')
  )
}

/** Code points: near enough to columns for names and ids. */
function widthOf(text: string): number {
  return Array.from(text).length
}

/** Nothing from outside can move the cursor or hide what follows it. */
export function printable(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, '\u{FFFD}')
}
