/** Load at a fixed rate, from a process on the other core. */
import { once } from 'node:events'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { launch, LOAD_CORE } from './processes.ts'

export interface Rated {
  readonly count: number
  readonly statuses: Readonly<Record<string, number>>
  /** Of accepted requests, in ms. */
  readonly p50: number
  readonly p99: number
  /** How far the client fell behind its own rate, in ms. */
  readonly late: number
}

export async function loadAtRate(
  url: string,
  { perSecond, seconds, token = '' }: { perSecond: number; seconds: number; token?: string }
): Promise<Rated> {
  const file = join(import.meta.dirname, 'rate-client.ts')
  const command = [process.execPath, file, url, String(perSecond), String(seconds), token]
  await using client = launch(command, { core: LOAD_CORE, stdout: 'pipe' })
  const { stdout } = client.child
  if (!stdout) throw new Error('no output')
  const [printed] = await Promise.all([text(stdout), once(client.child, 'exit')])
  return JSON.parse(printed)
}
