/**
 * `npm run bench`: the table. `npm run bench -- --quick P1 P3` for a short look at some rows, `--json` for
 * machines. Every figure stands beside its reference of the same run; alone it means nothing.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { type Lab, openLab } from './lab.ts'
import { formatTable, type Result } from './result.ts'
import type { Rounds } from './rounds.ts'
import { measureBulk } from './rows/bulk.ts'
import { measureSigned, measureUnsigned } from './rows/cpu.ts'
import { measureHerd } from './rows/herd.ts'
import { measureLatency } from './rows/latency.ts'
import { measureMemory, measureStart } from './rows/memory.ts'
import { measureOverload } from './rows/overload.ts'
import { measureRevocations } from './rows/revoke.ts'
import { measureLargeFile } from './rows/routes.ts'
import { measureRuleShare } from './rows/rules.ts'

type Measure = (lab: Lab, rounds: Rounds) => Promise<readonly Result[]>

const ROWS: Readonly<Record<string, Measure>> = {
  P1: measureUnsigned,
  P3: measureSigned,
  P4: measureHerd,
  P5: measureRevocations,
  P6: measureMemory,
  P7: measureStart,
  P8: measureBulk,
  P9: measureLatency,
  P10: measureLargeFile,
  P11: measureOverload,
  A6: measureRuleShare
}
/** Rows that are measured with another one. */
const TOGETHER: Readonly<Record<string, string>> = { P2: 'P1' }

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { quick: { type: 'boolean' }, json: { type: 'boolean' } }
})
const rounds = values.quick ? { count: 3, seconds: 3 } : { count: 5, seconds: 5 }
const wanted = new Set(positionals.map(row => TOGETHER[row] ?? row))
const unknown = [...wanted].filter(row => !(row in ROWS))
if (unknown.length > 0) {
  process.stderr.write(
    `No such row: ${unknown.join(', ')}. There are ${Object.keys(ROWS).join(', ')}.\n`
  )
  process.exit(2)
}

await using stack = new AsyncDisposableStack()
const lab = await openLab(stack)
const results: Result[] = []
for (const [row, measure] of Object.entries(ROWS)) {
  if (wanted.size > 0 && !wanted.has(row)) continue
  process.stderr.write(`${row} …\n`)
  results.push(...(await measure(lab, rounds)))
}
const versions = versionsOf()
if (values.json)
  process.stdout.write(`${JSON.stringify({ versions, rounds, results }, undefined, 2)}\n`)
else process.stdout.write(`${formatTable(results)}\n\n${versions.join(' · ')}\n`)

function versionsOf(): readonly string[] {
  const packages = ['fastify', '@fastify/http-proxy', 'undici', 'ioredis', 'pg'].map(name => {
    const file = join(import.meta.dirname, '../node_modules', name, 'package.json')
    return `${name} ${String(JSON.parse(readFileSync(file, 'utf8')).version)}`
  })
  const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim()
  const programs = [said('nginx', '-v'), said('wrk', '-v'), said('redis-server', '--version')]
  return [
    `commit ${commit}`,
    `node ${process.version}`,
    ...packages,
    ...programs.flatMap(text => (text ? [text] : [])),
    `${cpus().length} × ${cpus()[0]?.model ?? 'unknown processor'}`
  ]
}

/** The first line of what a program says, on either stream. */
function said(command: string, ...args: readonly string[]): string | undefined {
  const { stdout, stderr } = spawnSync(command, args, { encoding: 'utf8' })
  return `${stdout ?? ''}${stderr ?? ''}`.split('\n')[0]?.trim()
}
