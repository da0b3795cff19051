/** Where servers of the tests keep their files. */
import { mkdtempSync, statfsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const MEMORY = '/dev/shm'
const GIB = 2 ** 30

/**
 * A new folder in memory where there is plenty: a cluster of Postgres is a thousand files, and making
 * and removing those on a disk took a fifth of some tests.
 */
export function makeScratch(prefix: string): string {
  return mkdtempSync(join(hasRoom() ? MEMORY : tmpdir(), prefix))
}

function hasRoom(): boolean {
  try {
    const { bavail, bsize } = statfsSync(MEMORY)
    return bavail * bsize > 2 * GIB && process.availableMemory() > 4 * GIB
  } catch {
    return false
  }
}
