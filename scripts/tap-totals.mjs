// Prints `N passed, N failed` from what tap counted: the last totals comment of its output.
import { readFileSync } from 'node:fs'

const TOTALS = /^# \{ total: \d+(?:, [a-z]+: \d+)* \}$/gm
const [, , file] = process.argv
const last = readFileSync(file, 'utf8').match(TOTALS)?.at(-1)
if (!last) {
  console.error('tap printed no totals: the run did not reach its end')
  process.exit(1)
}
const count = name => Number(new RegExp(` ${name}: (\\d+)`).exec(last)?.[1] ?? 0)
const skipped = count('skip') + count('todo')
console.log(`${count('pass')} passed, ${count('fail')} failed${skipped ? `, ${skipped} skipped` : ''}`)
