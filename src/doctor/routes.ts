/** The route file as `serve` would take it, and how it is mounted. */
import { readdirSync, readFileSync, realpathSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import type { OwnRoute, RouteTable } from '../core/rule.ts'
import { checkRoutes } from '../routes/check.ts'
import { placeText } from '../routes/findings.ts'
import { type Check, fail, type Finding, ok, warn } from './check.ts'

/** What is told of a file with many errors. */
const MOST_FINDINGS = 10

export interface CheckedRoutes {
  readonly findings: readonly Finding[]
  /** Undefined: the file is not loaded. */
  readonly table: RouteTable | undefined
}

export async function judgeRoutes(
  file: string,
  ownRoutes: readonly OwnRoute[]
): Promise<CheckedRoutes> {
  const checked = await checkRoutes(file, { ownRoutes })
  if (!('table' in checked)) {
    const errors = checked.findings.filter(({ level }) => level === 'error')
    const findings = errors
      .slice(0, MOST_FINDINGS)
      .map(({ place, message }) => fail(`${placeText(place)} ${message}`))
    return { findings, table: undefined }
  }
  const { table, tests } = checked
  const found = [...judgeModes(table), ...judgeMount(file)]
  const count = tests.length
  const good = ok(
    `${file}: ${table.rules.length} rules, ${count} ${count === 1 ? 'test' : 'tests'} passed`
  )
  return { findings: found.length > 0 ? found : [good], table }
}

export function routesCheck(checked: Promise<CheckedRoutes>): Check {
  return { name: 'routes', run: async () => (await checked).findings }
}

function judgeModes({ rules, mode }: RouteTable): readonly Finding[] {
  const reported = rules.filter(rule => rule.mode === 'report').length
  if (mode === 'report')
    return [warn('the whole file is in report mode: nothing it refuses is refused')]
  if (reported === 0) return []
  return [
    warn(
      `${reported} ${reported === 1 ? 'rule is' : 'rules are'} in report mode: their refusals are only recorded`
    )
  ]
}

/** A change must be able to arrive, and to arrive whole. */
function judgeMount(file: string): readonly Finding[] {
  const path = resolve(file)
  if (mountPoints().includes(path)) {
    return [
      warn(
        `${file} is mounted by itself (subPath): it will never change; mount its whole directory`
      )
    ]
  }
  const others = readdirSync(dirname(realpathSync(path)), { withFileTypes: true }).filter(
    entry => entry.isDirectory() && !entry.name.startsWith('..')
  )
  if (others.length === 0) return []
  return [
    warn(
      `${file} is not in a directory of its own: give it one, so that it can be mounted and watched`
    )
  ]
}

function mountPoints(): readonly string[] {
  try {
    const lines = readFileSync('/proc/self/mountinfo', 'utf8').split('\n')
    return lines.map(line => line.split(' ')[4] ?? '')
  } catch {
    // Another platform: mounts are no question there.
    return []
  }
}
