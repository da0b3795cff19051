/**
 * A lock on a folder: a file that names its process. What a killed process left behind is taken over;
 * a process is known by its number and the moment of its start, because numbers come back, in a
 * container at every start. Whoever is on another machine, or in another container, is not seen.
 */
import { randomUUID } from 'node:crypto'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

export class EmbeddedInUse extends Error {
  override readonly name = 'EmbeddedInUse'

  constructor(folder: string, pid: number) {
    super(
      `the embedded database in ${folder}/ is in use by process ${pid}: stop that one, or set DATABASE_URL`
    )
  }
}

/** Much longer than another process needs from its look at the file to its next step. */
const SETTLE_MS = 50
/** Of this process. */
const held = new Set<string>()

/** Gives what releases it; undefined: the folder cannot be written. Throws EmbeddedInUse. */
export async function lockFolder(folder: string): Promise<(() => void) | undefined> {
  const path = join(folder, 'postgres.lock')
  const text = `${process.pid} ${startOf(process.pid)} ${randomUUID()}\n`
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    if (!create(path, text)) await takeOver(path, text, folder)
  } catch (error) {
    if (error instanceof EmbeddedInUse) throw error
    return undefined
  }
  held.add(text)
  return () => {
    held.delete(text)
    rmSync(path, { force: true })
  }
}

async function takeOver(path: string, text: string, folder: string): Promise<void> {
  do {
    // One that is being written just now is read as empty.
    if (readFileSync(path, 'utf8') === '') await sleep(SETTLE_MS)
    refuseLiving(path, folder)
    rmSync(path, { force: true })
  } while (!create(path, text))
  // Another process may have looked before and removed since: then the file is that one's.
  await sleep(SETTLE_MS)
  if (readFileSync(path, 'utf8') !== text) refuseLiving(path, folder)
}

function create(path: string, text: string): boolean {
  try {
    writeFileSync(path, text, { flag: 'wx', mode: 0o600 })
    return true
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false
    throw error
  }
}

function refuseLiving(path: string, folder: string): void {
  const text = readFileSync(path, 'utf8')
  const [pid = Number.NaN, start] = text.split(' ', 2).map(Number)
  const isLiving = pid === process.pid ? held.has(text) : isRunning(pid, start)
  if (isLiving) throw new EmbeddedInUse(folder, pid)
}

function isRunning(pid: number, start = 0): boolean {
  // 0 would be this process's own group.
  if (!Number.isInteger(pid) || pid <= 0) return false
  try {
    process.kill(pid, 0)
  } catch (error) {
    // Somebody else's process may not be signalled, and runs all the same.
    if (codeOf(error) !== 'EPERM') return false
  }
  return start === startOf(pid)
}

/** Ticks from boot to the start of a process; 0 where the system does not tell (only Linux does). */
function startOf(pid: number): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // proc(5): the 22nd field; the 2nd is a name in parentheses, which may hold blanks.
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? 0)
  } catch {
    return 0
  }
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined
}
