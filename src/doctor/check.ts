/** A check of `doctor`: what it finds, within its time; all of them run side by side. */
import { Fault } from '../core/decision.ts'
import { scrub } from '../telemetry/scrub.ts'

export type Level = 'ok' | 'warn' | 'fail' | 'skip'

export interface Finding {
  readonly level: Level
  /** What is so, and where it is not well, what to do. */
  readonly message: string
  /** Nobody answered: it may be well, and could not be asked. */
  readonly isUnreachable?: true
}

export interface Check {
  readonly name: string
  /** For what takes its time by its nature. */
  readonly deadlineMs?: number
  /** What it throws counts as out of reach. The signal is its deadline. */
  run(signal: AbortSignal): Promise<readonly Finding[]>
}

export interface Row extends Finding {
  readonly check: string
}

const DEADLINE_MS = 3000

/** In the order of the checks; a check may find several things. Never rejects. */
export async function runChecks(checks: readonly Check[]): Promise<readonly Row[]> {
  const found = await Promise.all(
    checks.map(async check =>
      (await runCheck(check)).map(finding => ({ check: check.name, ...finding }))
    )
  )
  return found.flat()
}

async function runCheck(check: Check): Promise<readonly Finding[]> {
  const { deadlineMs = DEADLINE_MS } = check
  const ended = new AbortController()
  const late = Promise.withResolvers<readonly Finding[]>()
  const timer = setTimeout(() => {
    ended.abort()
    // What gives up at the signal knows more about it than this sentence.
    setTimeout(() => late.resolve([unreachable(`no answer within ${deadlineMs / 1000} s`)]), 50)
  }, deadlineMs)
  try {
    return await Promise.race([check.run(ended.signal), late.promise])
  } catch (thrown) {
    return [unreachable(reasonOf(thrown))]
  } finally {
    clearTimeout(timer)
  }
}

export function ok(message: string): Finding {
  return { level: 'ok', message }
}

export function warn(message: string): Finding {
  return { level: 'warn', message }
}

export function fail(message: string): Finding {
  return { level: 'fail', message }
}

export function skip(message: string): Finding {
  return { level: 'skip', message }
}

export function unreachable(message: string): Finding {
  return { level: 'fail', message, isUnreachable: true }
}

/** In few words, without anything secret. */
export function reasonOf(thrown: unknown): string {
  if (thrown instanceof Fault && thrown.cause !== undefined) return reasonOf(thrown.cause)
  if (thrown instanceof AggregateError) return reasonOf(thrown.errors.at(-1))
  if (!(thrown instanceof Error)) return scrub(String(thrown))
  // What fetch throws says why in its cause alone.
  if (thrown.message === 'fetch failed' && thrown.cause !== undefined) return reasonOf(thrown.cause)
  return scrub(thrown.message || ('code' in thrown ? String(thrown.code) : thrown.name))
}
