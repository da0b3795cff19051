/**
 * A change of the route file while the gate runs. The file is looked at every few seconds, and
 * sooner after a hint; once it is quiet it is read, checked and tested as at the start, and only a
 * good one is put in force, whole and at once. Whatever is wrong: the last good one stays.
 *
 * What counts is the content that was read, not times or numbers of files: a file that changes
 * while it is read is read again.
 */
import type { Observer } from '../core/observer.ts'
import type { Log, LogFields } from '../core/ports.ts'
import type { RouteTable } from '../core/rule.ts'
import type { CheckedRoutes } from './check-aside.ts'
import { type Finding, placeText } from './findings.ts'
import type { Seen } from './sources.ts'
import type { DirectoryWatch } from './watch.ts'

export interface ReloadDeps {
  /** Of the route file. */
  readonly path: string
  /** What is in force at the start. */
  readonly loaded: { readonly table: RouteTable; readonly seen: Seen }
  /** Never rejects. */
  readonly look: (paths: Iterable<string>) => Promise<Seen>
  /** Rejects where the check itself fails, or at the signal. */
  readonly check: (before: RouteTable, signal: AbortSignal) => Promise<CheckedRoutes>
  readonly watch: (onHint: () => void) => DirectoryWatch
  /** Runs once; gives what cancels it. */
  readonly schedule: (run: () => void, afterMs: number) => () => void
  /** Puts a table in force. Throws where that cannot be; then nothing has changed. */
  readonly adopt: (table: RouteTable) => void
  readonly observer: Observer
  readonly log: Log
}

export interface Reload {
  /** Reads the file anew, also if it has not changed: it may name files that have. */
  now(): void
  stop(): void
}

/** How often the file is looked at without a hint. */
const POLL_MS = 5000
/** While the newest file is not in force, somebody is mending it. */
const REFUSED_POLL_MS = 1000
/** Writers of more than one file, and slow ones, need some time between their first and last byte. */
const QUIET_MS = 200

/** Begins at once, with `loaded` in force. */
export function createReload(deps: ReloadDeps): Reload {
  const { path, look, schedule, observer, log } = deps
  let { table, seen: known } = deps.loaded
  let pollMs = POLL_MS
  let changes = 0
  let asked: 'look' | 'load' | undefined
  let isRunning = false
  const ending = new AbortController()
  const watch = deps.watch(() => ask('look'))
  let cancelPoll: (() => void) | undefined
  void watch.renew()
  poll()
  return {
    now: () => ask('load'),
    stop() {
      ending.abort()
      cancelPoll?.()
      watch.close()
    }
  }

  function poll(): void {
    cancelPoll = schedule(() => {
      void watch.renew()
      ask('look')
      poll()
    }, pollMs)
  }

  function ask(what: 'look' | 'load'): void {
    if (asked !== 'load') asked = what
    if (!isRunning) void run()
  }

  async function run(): Promise<void> {
    isRunning = true
    while (asked && !ending.signal.aborted) {
      const isForced = asked === 'load'
      asked = undefined
      await turn(isForced)
    }
    isRunning = false
  }

  async function turn(isForced: boolean): Promise<void> {
    const found = await look(known.keys())
    if (!isForced && isSame(found, known)) return
    await quiet(found)
    try {
      const checked = await deps.check(table, ending.signal)
      if (ending.signal.aborted) return
      // Whatever the files are now, they were not read as they are.
      if (!isSame(await look(checked.seen.keys()), checked.seen)) asked ??= 'look'
      else conclude(checked)
    } catch (cause) {
      if (!ending.signal.aborted) fail(cause)
    }
  }

  /** Resolves when what is there has been there for some time. */
  async function quiet(found: Seen): Promise<void> {
    const paused = Promise.withResolvers<void>()
    schedule(paused.resolve, QUIET_MS)
    await paused.promise
    const now = await look(found.keys())
    if (!isSame(now, found) && !ending.signal.aborted) await quiet(now)
  }

  function conclude(checked: CheckedRoutes): void {
    changes += 1
    const next = checked.table
    if (next) {
      deps.adopt(next)
      const { hash: from, rules: rulesBefore } = table
      const counts = { rules: next.rules.length, rulesBefore: rulesBefore.length }
      void tellLoaded({ from, to: next.hash, ...counts }, checked)
      table = next
    } else tell(checked)
    known = checked.seen
    if (next) settle('ok', POLL_MS)
    else settle('error', REFUSED_POLL_MS)
  }

  /** The table is in force already: what changed with it takes a moment longer to count. */
  async function tellLoaded(fields: LogFields, { changes: changed }: CheckedRoutes): Promise<void> {
    const counts = await changed
    if (!ending.signal.aborted) log.info('route file loaded', { ...fields, ...counts })
  }

  function tell({ findings, hash, seen }: CheckedRoutes): void {
    const errors = findings.filter(({ level }) => level === 'error').map(lineOf)
    const main = seen.get(path) ?? ''
    const which = isDigest(main) ? hash.slice(0, 12) : main
    // With a number, because errors of one text are told once in a while, and each refusal counts.
    log.error(`route file refused (${which}), change ${changes}`, {
      inForce: table.hash,
      refused: isDigest(main) ? hash : undefined,
      errors: errors.length,
      findings: errors
    })
  }

  /** Not the file's fault, so it is tried again at the next look. */
  function fail(cause: unknown): void {
    log.error('route file could not be put in force', { inForce: table.hash, cause })
    settle('error', POLL_MS)
  }

  function settle(result: 'ok' | 'error', nextPollMs: number): void {
    observer.count('routes_reloads_total', { result })
    observer.gauge('routes_last_reload_success', result === 'ok' ? 1 : 0)
    pollMs = nextPollMs
    cancelPoll?.()
    poll()
  }
}

function isSame(a: Seen, b: Seen): boolean {
  return a.size === b.size && [...a].every(([path, content]) => b.get(path) === content)
}

function isDigest(content: string): boolean {
  return /^[0-9a-f]{64}$/.test(content)
}

function lineOf({ place, code, message }: Finding): string {
  return `${placeText(place)} ${code} ${message}`
}
