/** What the process may use, and what it runs on. */
import { readFileSync } from 'node:fs'
import { type Check, fail, type Finding, ok } from './check.ts'

export interface LimitFacts {
  /** Undefined: not known, or no limit. */
  readonly openFiles: number | undefined
  readonly memoryBytes: number | undefined
  readonly cacheMaxTokens: number
  /** `v26.10.0`. */
  readonly nodeVersion: string
  readonly nodeOptions: string
  readonly nowMs: number
}

const LEAST_OPEN_FILES = 4096
/** A gate at rest, what bodies and log lines may take, and room for the collector. */
const BASE_BYTES = 128 * 1_048_576
const TOKEN_BYTES = 1024
/** Source: https://github.com/nodejs/Release. */
const END_OF_LIFE: Readonly<Record<string, string>> = {
  20: '2026-04-30',
  21: '2024-06-01',
  22: '2027-04-30',
  23: '2025-06-01',
  24: '2028-04-30',
  25: '2026-06-01',
  26: '2029-04-30'
}
/** Switches that open the process, or change what its parser accepts. Underscores mean dashes. */
const FORBIDDEN = [
  '--insecure-http-parser',
  '--max-http-header-size',
  '--inspect',
  '--inspect-brk',
  '--tls-min-v1.0',
  '--tls-min-v1.1'
]

export function limitsCheck(facts: () => LimitFacts): Check {
  return { name: 'limits', run: async () => judgeLimits(facts()) }
}

export function judgeLimits(facts: LimitFacts): readonly Finding[] {
  const { openFiles, memoryBytes, cacheMaxTokens, nodeVersion, nodeOptions, nowMs } = facts
  const found: Finding[] = []
  if (openFiles !== undefined && openFiles < LEAST_OPEN_FILES) {
    found.push(
      fail(`${openFiles} open files are allowed: raise the limit to ${LEAST_OPEN_FILES} or more`)
    )
  }
  const needed = BASE_BYTES + cacheMaxTokens * TOKEN_BYTES
  if (memoryBytes !== undefined && memoryBytes < needed) {
    found.push(
      fail(
        `the memory limit is ${megabytes(memoryBytes)}, and CACHE_MAX_TOKENS=${cacheMaxTokens} may need ${megabytes(needed)}`
      )
    )
  }
  const major = /^v?(\d+)/.exec(nodeVersion)?.[1] ?? ''
  const end = END_OF_LIFE[major]
  if (end !== undefined && nowMs > Date.parse(end)) {
    found.push(fail(`Node ${nodeVersion} gets no more security fixes since ${end}`))
  }
  const given = nodeOptions.split(/\s+/).map(option => option.replaceAll('_', '-'))
  for (const flag of FORBIDDEN) {
    if (given.some(option => option === flag || option.startsWith(`${flag}=`))) {
      found.push(fail(`NODE_OPTIONS has ${flag}: take it out`))
    }
  }
  return found.length > 0
    ? found
    : [ok(`Node ${nodeVersion}, ${openFiles ?? 'any number of'} open files`)]
}

function megabytes(bytes: number): string {
  return `${Math.round(bytes / 1_048_576)} MiB`
}

/** Of this process, where the platform tells: Linux, cgroup version 2. */
export function readLimits(): Pick<LimitFacts, 'openFiles' | 'memoryBytes'> {
  const files = /^Max open files\s+(\d+)/m.exec(read('/proc/self/limits'))?.[1]
  const memory = /^\d+/.exec(read('/sys/fs/cgroup/memory.max'))?.[0]
  return {
    openFiles: files === undefined ? undefined : Number(files),
    memoryBytes: memory === undefined ? undefined : Number(memory)
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
