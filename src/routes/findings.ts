/**
 * What is wrong, or worth a look, in a route file: each finding with its code, level and place.
 *
 * Every problem is reported in one run. A word that is nearly a known one names that one.
 */
import type { Place } from '../core/rule.ts'

const LEVELS = {
  yaml: 'error',
  'unknown-key': 'error',
  'bad-value': 'error',
  'bad-key': 'error',
  duplicate: 'error',
  overlap: 'error',
  'case-twins': 'error',
  'reserved-path': 'error',
  'unknown-scope': 'error',
  'unknown-upstream': 'error',
  'unknown-param': 'error',
  'implies-circle': 'error',
  'no-effect': 'error',
  include: 'error',
  'failing-test': 'error',
  'unused-scope': 'warning',
  unreachable: 'warning',
  'report-mode': 'warning',
  crossing: 'note'
} as const satisfies Record<string, Level>

export type Level = 'error' | 'warning' | 'note'
export type FindingCode = keyof typeof LEVELS

export interface Finding {
  readonly level: Level
  readonly code: FindingCode
  readonly place: Place
  /** One line for people. */
  readonly message: string
  /** Further lines, each ended; undefined: the message says it all. */
  readonly detail?: string
}

/** `level` only where it is not the code's own. */
export function finding(
  code: FindingCode,
  place: Place,
  message: string,
  level: Level = LEVELS[code]
): Finding {
  return { level, code, place, message }
}

/** Takes findings while a file is read. */
export type Report = (code: FindingCode, place: Place, message: string) => void

/** `config/routes.yaml:41:44`. */
export function placeText({ file, line, col }: Place): string {
  return `${file}:${line}:${col}`
}

/** Where another thing stands, seen from `here`: `line 58`, or with its file where that differs. */
export function placeSeenFrom(here: Place, there: Place): string {
  return here.file === there.file ? `line ${there.line}` : placeText(there)
}

const LEVEL_ORDER: readonly Level[] = ['error', 'warning', 'note']

/** Errors first, then in the order of `files`, then by place. */
export function sortFindings(
  findings: readonly Finding[],
  files: readonly string[]
): readonly Finding[] {
  return findings.toSorted(
    (a, b) =>
      LEVEL_ORDER.indexOf(a.level) - LEVEL_ORDER.indexOf(b.level) ||
      files.indexOf(a.place.file) - files.indexOf(b.place.file) ||
      a.place.line - b.place.line ||
      a.place.col - b.place.col
  )
}

export function hasError(findings: readonly Finding[]): boolean {
  return findings.some(({ level }) => level === 'error')
}

/** ` Did you mean "scans:read"?`, or nothing where no known word is near. */
export function suggestion(word: string, known: Iterable<string>): string {
  const near = nearest(word, known)
  return near === undefined ? '' : ` Did you mean "${near}"?`
}

/** The first of the nearest words: at most two edits away, one under five letters. */
function nearest(word: string, known: Iterable<string>): string | undefined {
  let best: string | undefined
  let limit = word.length < 5 ? 1 : 2
  for (const candidate of known) {
    if (Math.abs(candidate.length - word.length) > limit) continue
    const distance = editDistance(word, candidate)
    if (distance > limit || (best !== undefined && distance === limit)) continue
    best = candidate
    limit = distance
  }
  return best
}

/** Levenshtein distance: insertions, deletions and replacements that make one the other. */
export function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (const [i, letter] of a.split('').entries()) {
    const next = [i + 1]
    for (const [j, other] of b.split('').entries()) {
      const replaced = (row[j] ?? 0) + (letter === other ? 0 : 1)
      next.push(Math.min(replaced, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1))
    }
    row = next
  }
  return row.at(-1) ?? 0
}
