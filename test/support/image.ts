/**
 * The image's file system without a container runtime: the COPY lines of the Dockerfile's last stage,
 * carried out into a folder that stands for the root. What the earlier stages make is made by the
 * same programs; packages are those of the lock file, taken from this project's node_modules.
 */
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { emitProgram } from './built.ts'
import { readDockerfile } from './dockerfile.ts'
import { unhooked } from './unhooked.ts'

const ROOT = join(import.meta.dirname, '../..')
const PRUNE = join(ROOT, 'scripts/prune-modules.mjs')
const APP = '/app'

export interface Image {
  /** Stands for `/`. */
  readonly root: string
  /** Stands for `/app`. */
  readonly app: string
  /** With paths of this machine. */
  readonly entrypoint: readonly [string, ...string[]]
  readonly cmd: readonly string[]
  /** What ENV sets, with paths of this machine. */
  readonly env: Readonly<Record<string, string>>
  /** Bytes of the layer that is ours. */
  readonly appBytes: number
}

/** Removed at the end of the test. */
export function assembleImage(t: { teardown(release: () => unknown): void }): Image {
  const root = mkdtempSync(join(tmpdir(), 'tollgate-image-'))
  t.teardown(() => rmSync(root, { recursive: true, force: true }))
  chmodSync(root, 0o755)
  const node = join(root, 'nodejs/bin/node')
  mkdirSync(dirname(node), { recursive: true })
  placeNode(node)
  const { instructions } = readDockerfile().stages.at(-1) ?? { instructions: [] }
  for (const { keyword, words, flags } of instructions) {
    if (keyword !== 'COPY') continue
    const [from = '', to = ''] = words
    const target = resolve(join(root, APP), to, to.endsWith('/') ? from : '')
    mkdirSync(dirname(target), { recursive: true })
    const stage = flags.get('from')
    if (stage === undefined) cpSync(join(ROOT, from), target, { recursive: true })
    else makerOf(`${stage}:${from}`)(target)
  }
  const placed = (text: string) =>
    text.startsWith(`${APP}/`) || text.startsWith('/nodejs/') ? join(root, text) : text
  const wordsOf = (keyword: string) =>
    instructions.flatMap(found => (found.keyword === keyword ? found.words : []))
  const variables = wordsOf('ENV').map(pair => {
    const [name = '', value = ''] = pair.split('=')
    return [name, placed(value)]
  })
  const [program = '', ...args] = wordsOf('ENTRYPOINT').map(placed)
  return {
    root,
    app: join(root, APP),
    entrypoint: [program, ...args],
    cmd: wordsOf('CMD'),
    env: Object.fromEntries(variables),
    appBytes: sizeOf(join(root, APP))
  }
}

/** Its folder may be closed to the user that the image runs as. */
function placeNode(target: string): void {
  try {
    linkSync(process.execPath, target)
  } catch {
    copyFileSync(process.execPath, target)
  }
}

/** What an earlier stage has at a path, made again at its place in the last one. */
const MAKERS: ReadonlyMap<string, (target: string) => void> = new Map([
  [
    'deps:/app/node_modules',
    target => {
      copyPackages(target)
      execFileSync(...unhooked(process.execPath, [PRUNE, target]))
    }
  ],
  ['warm:/app/dist', emitProgram]
])

function makerOf(source: string): (target: string) => void {
  const maker = MAKERS.get(source)
  if (!maker) throw new Error(`nobody knows how to make ${source}`)
  return maker
}

/** What `npm ci --omit=dev` installs, by the lock file. */
function copyPackages(target: string): void {
  const lock: unknown = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8'))
  const { packages } = { packages: {}, ...Object(lock) }
  for (const path of runtimePackages(packages)) {
    const nested = join(path, 'node_modules')
    cpSync(join(ROOT, path), join(target, '..', path), {
      recursive: true,
      // Those have entries of their own in the lock file.
      filter: source => !source.startsWith(join(ROOT, nested))
    })
  }
}

/** Paths as in the lock file: `node_modules/pg`. */
export function runtimePackages(packages: unknown): readonly string[] {
  return Object.entries(Object(packages)).flatMap(([path, entry]) => {
    const { dev, optional } = { dev: false, optional: false, ...Object(entry) }
    if (path === '' || dev) return []
    // Made for another platform, it is not installed.
    if (optional && !existsSync(join(ROOT, path))) return []
    return [path]
  })
}

function sizeOf(folder: string): number {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true })
  const files = entries.filter(entry => entry.isFile())
  const bytes = files.map(({ parentPath, name }) => readFileSync(join(parentPath, name)).length)
  return bytes.reduce((sum, size) => sum + size, 0)
}
