/** Commands as a shell runs them, inside the process. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { run } from '../../../src/commands/run.ts'
import { fakeIo } from '../../support/command-io.ts'

export async function tollgate(
  argv: readonly string[],
  env: Readonly<Record<string, string>> = {},
  isTerminal = false
) {
  const io = fakeIo(env, isTerminal)
  const exitCode = await run(argv, io)
  return { exitCode, stdout: io.stdout(), stderr: io.stderr() }
}

/** A file of this text in a folder of its own, for the length of the test. */
export function fileOf(t: Test, text: string, name = 'routes.yaml'): string {
  const folder = mkdtempSync(join(tmpdir(), 'tollgate-routes-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const file = join(folder, name)
  writeFileSync(file, text)
  return file
}
