/** A command's view of its process, held in memory. */
import type { CommandIo } from '../../src/commands/output.ts'

export interface FakeIo extends CommandIo {
  /** What was printed so far. */
  stdout(): string
  stderr(): string
}

export function fakeIo(
  env: Readonly<Record<string, string | undefined>> = {},
  isTerminal = false
): FakeIo {
  let stdout = ''
  let stderr = ''
  return {
    env,
    isTerminal,
    out: text => void (stdout += text),
    err: text => void (stderr += text),
    onSignal: () => undefined,
    stdout: () => stdout,
    stderr: () => stderr
  }
}
