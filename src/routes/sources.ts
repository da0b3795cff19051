/**
 * The route file and its includes, read and parsed. Includes lie in the file's own directory; a
 * fragment includes nothing.
 */
import { createHash, hash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Value } from 'typebox/value'
import type { Place } from '../core/rule.ts'
import type { Report } from './findings.ts'
import { type Node, parseYaml, valueOf } from './parse.ts'
import { FileName } from './schema.ts'

export interface Source {
  /** As findings name it. */
  readonly file: string
  /** Undefined where it is no YAML, or too large. */
  readonly root: Node | undefined
}

export interface Sources {
  /** The route file, then its includes as listed; those that could not be read are left out. */
  readonly files: readonly Source[]
  /** SHA-256 of all bytes in this order: for a file without includes, what `sha256sum` prints. */
  readonly hash: string
  readonly seen: Seen
}

/** What was found at each path that was to be read: SHA-256 of its bytes, or why it cannot be read. */
export type Seen = ReadonlyMap<string, string>

/** Looks at these paths as `readSources` would find them now; never rejects. */
export async function look(paths: Iterable<string>): Promise<Seen> {
  const found = Array.from(paths, async path => [path, describe(await readBytes(path))] as const)
  return new Map(await Promise.all(found))
}

const LIMIT_BYTES = 4 * 1024 * 1024

/** Reports what cannot be read; never rejects. */
export async function readSources(path: string, report: Report): Promise<Sources> {
  const all = createHash('sha256')
  const seen = new Map<string, string>()
  const main = await readSource(path, { file: path, line: 1, col: 1 })
  const files = main ? [main] : []
  for (const { name, place } of main?.root ? includesOf(main.root) : []) {
    const fragment = await readSource(join(dirname(path), name), place)
    if (fragment) files.push(fragment)
  }
  return { files, hash: all.digest('hex'), seen }

  async function readSource(file: string, place: Place): Promise<Source | undefined> {
    const bytes = await readBytes(file)
    seen.set(file, describe(bytes))
    if (!(bytes instanceof Uint8Array)) {
      report('include', place, `${file} cannot be read: ${bytes.problem}`)
      return undefined
    }
    all.update(bytes)
    return { file, root: parseBytes(bytes, file, report) }
  }
}

type Bytes = Uint8Array | { readonly problem: string }

function describe(bytes: Bytes): string {
  return bytes instanceof Uint8Array ? hash('sha256', bytes, 'hex') : bytes.problem
}

async function readBytes(file: string): Promise<Bytes> {
  try {
    return await readFile(file)
  } catch (error) {
    return { problem: error instanceof Error && 'code' in error ? String(error.code) : 'unknown' }
  }
}

/** The tree of one file's bytes, or undefined and findings. */
export function parseBytes(bytes: Uint8Array, file: string, report: Report): Node | undefined {
  const start = { file, line: 1, col: 1 }
  if (bytes.length > LIMIT_BYTES) {
    report('yaml', start, 'a file has at most 4 MiB')
    return undefined
  }
  const text = decodeUtf8(bytes)
  if (text === undefined) report('yaml', start, 'the file is not UTF-8')
  return text === undefined ? undefined : parseYaml(text, file, report)
}

function decodeUtf8(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    return undefined
  }
}

interface Include {
  readonly name: string
  readonly place: Place
}

/** Names that are no plain file names are left to the shape check. */
function includesOf(root: Node): readonly Include[] {
  const list = root.kind === 'map' ? valueOf(root, 'include') : undefined
  if (list?.kind !== 'list') return []
  return list.items.flatMap(item =>
    item.kind === 'scalar' && typeof item.value === 'string' && Value.Check(FileName, item.value)
      ? [{ name: item.value, place: item.place }]
      : []
  )
}
