/**
 * The check of a route file beside the event loop: reading, compiling and testing 10 000 rules takes
 * a second of one core, and no request waits for it. A thread does it all and hands the rules over
 * in parts; each part is put into the new table in a turn of its own, some milliseconds long.
 */
import { once } from 'node:events'
import { extname } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from 'node:worker_threads'
import { type RouteTableParts, startRouteTable } from '../core/route-table.ts'
import type { Rule, RouteTable } from '../core/rule.ts'
import type { CompileOptions, RefusedRoutes } from './compile.ts'
import type { DiffCounts } from './diff.ts'

export interface CheckedRoutes extends Pick<RefusedRoutes, 'findings' | 'hash' | 'seen'> {
  /** Undefined: the file is refused. */
  readonly table: RouteTable | undefined
  /** Against the table before; undefined where there is none, or where that takes too long. */
  readonly changes: Promise<DiffCounts | undefined>
}

export interface Errand {
  readonly path: string
  readonly options: CompileOptions
  /** Of the table in force. */
  readonly before: TableParts
  /** Lists of some rules at a time: in, those in force, then an empty list; out, the new ones. */
  readonly rules: MessagePort
}

export type TableParts = Omit<RouteTableParts, 'rules' | 'ownRoutes'>

export interface Verdict extends Omit<CheckedRoutes, 'table' | 'changes'> {
  /** Undefined: the file is refused. */
  readonly parts: TableParts | undefined
}

/** In the emitted program an entry of its own, beside the file that this has been joined into. */
const THREAD = new URL(
  extname(import.meta.url) === '.ts' ? 'check-thread.ts' : 'check-thread.js',
  import.meta.url
)

/** Some milliseconds of work for whoever takes them. */
export const RULES_AT_A_TIME = 250
/** The changes of 10 000 rules take that long; nothing waits for them but a line of the log. */
const CHANGES_MS = 30_000

/** As checkRoutes. Rejects where the thread dies, or at the signal. */
export async function checkAside(
  path: string,
  options: CompileOptions,
  before: RouteTable,
  signal: AbortSignal
): Promise<CheckedRoutes> {
  const { port1: rules, port2 } = new MessageChannel()
  const errand: Errand = { path, options, before: partsOf(before), rules: port2 }
  const thread = new Worker(THREAD, { workerData: errand, transferList: [port2] })
  // Whoever waits for the thread is told besides; one that dies later is nobody's concern.
  thread.on('error', () => undefined)
  const end = async () => {
    rules.close()
    await thread.terminate()
  }
  try {
    const told = once(thread, 'message', { signal })
    await Promise.race([told, sendRules(before, rules)])
    const [verdict]: Verdict[] = await told
    if (!verdict) throw new Error('the thread said nothing')
    const { parts, ...rest } = verdict
    const table = parts && (await assemble({ ...parts, ...options }, rules))
    if (!table) await end()
    const changes = table ? readChanges(thread, signal, end) : Promise.resolve(undefined)
    return { ...rest, table, changes }
  } catch (thrown) {
    await end()
    throw thrown
  }
}

export function partsOf(table: RouteTable): TableParts {
  const { scopes, upstreams, mode, options, timeoutMs, hash } = table
  return { scopes, upstreams, mode, options, timeoutMs, hash }
}

async function sendRules({ rules }: RouteTable, port: MessagePort): Promise<void> {
  for (let i = 0; i < rules.length; i += RULES_AT_A_TIME) {
    port.postMessage(rules.slice(i, i + RULES_AT_A_TIME), [])
    await nextTurn()
  }
  port.postMessage([], [])
}

/** Never rejects: whatever prevents it, the new table stands. */
async function readChanges(
  thread: Worker,
  signal: AbortSignal,
  end: () => Promise<void>
): Promise<DiffCounts | undefined> {
  try {
    const late = AbortSignal.any([signal, AbortSignal.timeout(CHANGES_MS)])
    thread.postMessage('changes', [])
    const [counts]: DiffCounts[] = await once(thread, 'message', { signal: late })
    return counts
  } catch {
    return undefined
  } finally {
    await end()
  }
}

async function assemble(
  parts: TableParts & CompileOptions,
  rules: MessagePort
): Promise<RouteTable> {
  const builder = startRouteTable(parts)
  for (;;) {
    const part: { readonly message: readonly Rule[] } | undefined = receiveMessageOnPort(rules)
    if (!part) return builder.finish()
    builder.add(part.message)
    await nextTurn()
  }
}
