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

export interface CheckedRoutes extends Pick<RefusedRoutes, 'findings' | 'hash' | 'seen'> {
  /** Undefined: the file is refused. */
  readonly table: RouteTable | undefined
}

export interface Errand {
  readonly path: string
  readonly options: CompileOptions
  /** Takes the rules, lists of some of them at a time, before the verdict is told. */
  readonly rules: MessagePort
}

export type TableParts = Omit<RouteTableParts, 'rules' | 'ownRoutes'>

export interface Verdict extends Omit<CheckedRoutes, 'table'> {
  /** Undefined: the file is refused. */
  readonly parts: TableParts | undefined
}

/** In source and in the emitted program alike. */
const THREAD = new URL(`check-thread${extname(import.meta.url)}`, import.meta.url)

/** As checkRoutes. Rejects where the thread dies, or at the signal. */
export async function checkAside(
  path: string,
  options: CompileOptions,
  signal: AbortSignal
): Promise<CheckedRoutes> {
  const { port1: rules, port2 } = new MessageChannel()
  const errand: Errand = { path, options, rules: port2 }
  const thread = new Worker(THREAD, { workerData: errand, transferList: [port2] })
  try {
    const [verdict]: Verdict[] = await once(thread, 'message', { signal })
    if (!verdict) throw new Error('the thread said nothing')
    const { parts, ...told } = verdict
    const table = parts && (await assemble({ ...parts, ...options }, rules))
    return { ...told, table }
  } finally {
    rules.close()
    await thread.terminate()
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
