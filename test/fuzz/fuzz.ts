/** `npm run fuzz`: FUZZ_SECONDS (60) of it, from FUZZ_SEED (a new one each time). Exit 1: a finding. */
import { fuzz } from './fuzzer.ts'

const seed = Number(process.env['FUZZ_SEED'] ?? Date.now() % 1_000_000)
const seconds = Number(process.env['FUZZ_SECONDS'] ?? 60)
console.log(`seed ${seed}, ${seconds} s`)
const { executions, findings, statuses, passed, ...result } = await fuzz(
  { teardown: () => undefined },
  { seed, seconds, executions: Number.POSITIVE_INFINITY }
)
const mib = Math.round(process.memoryUsage().rss / 1_048_576)
console.log(
  `${executions} inputs in ${result.seconds.toFixed(0)} s, ${passed} requests went on, ${mib} MiB, ` +
    `${findings.length} findings`
)
console.log(
  [...statuses]
    .map(([status, times]) => `${status}: ${times}`)
    .toSorted()
    .join(', ')
)
for (const { problem, inputs } of findings) {
  console.log(problem)
  for (const input of inputs) console.log(`  ${JSON.stringify(input)}`)
}
// What a finding has left open may never close.
process.exit(findings.length > 0 ? 1 : 0)
