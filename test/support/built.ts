/**
 * The emitted program with kept code, made once for each state of its sources: whoever asks first builds
 * it, all others find it. A gate of it is up for half the CPU that one from the source takes, and it is
 * what the image runs.
 */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync
} from 'node:fs'
import { join } from 'node:path'
import { unhooked } from './unhooked.ts'

const ROOT = join(import.meta.dirname, '../..')
/** Inside of the project and of no package, so that its description and packages are found from there. */
const BUILDS = join(ROOT, '.tap/built')
const OLD_MS = 86_400_000
let cli: string | undefined

/** The file that is started instead of `src/cli.ts`. */
export function builtCli(): string {
  if (cli !== undefined) return cli
  const state = hashOfSources()
  const folder = join(BUILDS, state)
  if (!existsSync(folder)) build(folder)
  cli = join(folder, 'cli.js')
  return cli
}

/** Makes it anew in this folder, with kept code, as the stages of the Dockerfile do. */
export function emitProgram(folder: string): void {
  execFileSync(...unhooked(process.execPath, [join(ROOT, 'scripts/build.mjs'), folder]))
  execFileSync(...unhooked(process.execPath, [join(folder, 'warm.js')]))
}

function hashOfSources(): string {
  const hash = createHash('sha256')
  const files = readdirSync(join(ROOT, 'src'), { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name))
    .toSorted()
  const others = ['scripts/build.mjs', 'package-lock.json'].map(name => join(ROOT, name))
  for (const file of [...files, ...others]) hash.update(file).update(readFileSync(file))
  return hash.update(process.version).digest('hex').slice(0, 16)
}

function build(folder: string): void {
  mkdirSync(BUILDS, { recursive: true })
  const making = `${folder}.${process.pid}`
  emitProgram(making)
  try {
    renameSync(making, folder)
  } catch (thrown) {
    // Somebody else was first.
    if (!existsSync(folder)) throw thrown
    rmSync(making, { recursive: true })
  }
  // Another run may be at work with one that is not old.
  for (const name of readdirSync(BUILDS)) {
    const path = join(BUILDS, name)
    const made = statSync(path, { throwIfNoEntry: false })
    if (made && Date.now() - made.mtimeMs > OLD_MS) rmSync(path, { recursive: true, force: true })
  }
}
