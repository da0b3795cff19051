/** The chart, rendered by real helm: both majors where they can be had, in short-lived processes. */
import { execFile } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { parseAllDocuments } from 'yaml'
import { findKubeTool } from './kube-tools.ts'

const run = promisify(execFile)

export const CHART = join(import.meta.dirname, '../../helm')

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** What stands there, or undefined: `at(pod, 'spec', 'containers', 0)`. */
export function at(value: unknown, ...path: readonly (string | number)[]): unknown {
  return path.reduce<unknown>(
    (found, step) =>
      Array.isArray(found) ? found[Number(step)] : isRecord(found) ? found[step] : undefined,
    value
  )
}

export function listAt(value: unknown, ...path: readonly (string | number)[]): readonly unknown[] {
  const found = at(value, ...path)
  return Array.isArray(found) ? found : []
}

export interface Helm {
  readonly major: 3 | 4
  readonly path: string
}

/**
 * Both majors, 4 first; where they are missing, the file ends as skipped, with the reason. Where CI
 * runs, on the machines that they are made for, it throws instead: a chart that nobody rendered is
 * not tested.
 */
export async function findHelms(t: {
  plan(count: number, reason: string): void
}): Promise<readonly [Helm, Helm]> {
  const [four, three] = await Promise.all([findKubeTool('helm4'), findKubeTool('helm3')])
  if ('path' in four && 'path' in three) {
    return [
      { major: 4, path: four.path },
      { major: 3, path: three.path }
    ]
  }
  const reason = 'reason' in four ? four.reason : 'reason' in three ? three.reason : ''
  const isMeantToBeThere = process.platform === 'linux' && process.arch === 'x64'
  if (process.env['CI'] && isMeantToBeThere) throw new Error(reason)
  t.plan(0, reason)
  return process.exit()
}

/** The cases of the matrix: the chart's own examples, by file. */
export const CASES: readonly string[] = readdirSync(join(CHART, 'ci')).toSorted()

export function caseFile(name: string): string {
  return join(CHART, 'ci', name)
}

export interface Rendering {
  readonly chart?: string
  /** Files of values. */
  readonly values?: readonly string[]
  /** Arguments besides: `--set`, `--kube-version`. */
  readonly args?: readonly string[]
}

/** What helm printed; `code` is 0 where it rendered. */
export async function helm(
  { path }: Helm,
  command: 'template' | 'lint' | 'install',
  { chart = CHART, values = [], args = [] }: Rendering
): Promise<{ readonly code: number; readonly stdout: string; readonly stderr: string }> {
  const files = values.flatMap(file => ['--values', file])
  const names = command === 'lint' ? [chart] : ['gate', chart]
  try {
    const printed = await run(path, [command, ...names, ...files, ...args], {
      maxBuffer: 16_777_216,
      env: { PATH: process.env['PATH'], HOME: '/nonexistent' }
    })
    return { code: 0, ...printed }
  } catch (thrown) {
    if (!isRecord(thrown) || typeof thrown['code'] !== 'number') throw thrown
    return {
      code: thrown['code'],
      stdout: String(thrown['stdout']),
      stderr: String(thrown['stderr'])
    }
  }
}

/** The objects, in the order of helm; throws its message where it did not render. */
export async function render(
  tool: Helm,
  rendering: Rendering
): Promise<readonly Record<string, unknown>[]> {
  const { code, stdout, stderr } = await helm(tool, 'template', rendering)
  if (code !== 0) throw new Error(stderr)
  return parseObjects(stdout)
}

function parseObjects(text: string): readonly Record<string, unknown>[] {
  return parseAllDocuments(text).flatMap(document => {
    if (document.errors.length > 0) throw new Error(document.errors.join('\n'))
    // Lists that `items` share become lists of their own, as in the cluster.
    const value: unknown = document.toJS({ maxAliasCount: -1 })
    return isRecord(value) ? [value] : []
  })
}

/** `Deployment/gate-tollgate`. */
export function idOf(object: Record<string, unknown>): string {
  return `${String(object['kind'])}/${String(at(object, 'metadata', 'name'))}`
}

export function find(objects: readonly Record<string, unknown>[], id: string) {
  const found = objects.find(object => idOf(object) === id)
  if (!found) throw new Error(`no ${id} among ${objects.map(idOf).join(', ')}`)
  return found
}
