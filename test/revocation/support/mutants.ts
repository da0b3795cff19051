/**
 * Copies of the revocation code with one rule taken out of its text. Each piece of text must be
 * there exactly once, so a rule that is moved or rewritten has to be found again, here too.
 */
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { createRevocation } from '../../../src/revocation/revocation.ts'

const ROOT = join(import.meta.dirname, '../../..')

/** File, text, text in its place. */
export type Patch = readonly [file: string, from: string, to: string]

export interface Nursery {
  make(name: string, patches: readonly Patch[]): Promise<typeof createRevocation>
  remove(): void
}

/** Outside of the project, so that no tool takes the copies for a part of it. */
export function openNursery(): Nursery {
  const folder = mkdtempSync(join(tmpdir(), 'tollgate-mutants-'))
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}')
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'))
  symlinkSync(join(ROOT, 'src/core'), join(folder, 'core'))
  return {
    async make(name, patches) {
      const copy = join(folder, name)
      mkdirSync(copy)
      const original = join(ROOT, 'src/revocation')
      for (const file of readdirSync(original)) {
        const text = readFileSync(join(original, file), 'utf8')
        writeFileSync(join(copy, file), patch(file, text, patches))
      }
      const module: unknown = await import(pathToFileURL(join(copy, 'revocation.ts')).href)
      if (!isRevocation(module)) throw new Error(`${name}: no createRevocation`)
      return module.createRevocation
    },
    remove: () => rmSync(folder, { recursive: true })
  }
}

function patch(file: string, original: string, patches: readonly Patch[]): string {
  return patches
    .filter(([name]) => name === file)
    .reduce((text, [, from, to]) => {
      const parts = text.split(from)
      if (parts.length !== 2) throw new Error(`${file}: ${parts.length - 1} × ${from}`)
      return parts.join(to)
    }, original)
}

function isRevocation(
  module: unknown
): module is { readonly createRevocation: typeof createRevocation } {
  return typeof module === 'object' && module !== null && 'createRevocation' in module
}
