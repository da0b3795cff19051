/** Makes the machine under one gate misbehave, from outside: see disturb-preload.mjs. */
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface Wish {
  /** Each turn of the event loop takes so long. */
  readonly blockMs?: number
  /** The wall clock is off by so much. */
  readonly wallMs?: number
  /** Host name to address; null: the name server fails. */
  readonly names?: Readonly<Record<string, string | null>>
}

export interface Disturbance {
  /** For the environment of the gate. */
  readonly env: Readonly<Record<string, string>>
  /** In force within 20 ms. */
  set(wish: Wish): void
}

export function createDisturbance(
  t: { teardown(release: () => unknown): void },
  wish: Wish = {}
): Disturbance {
  const folder = mkdtempSync(join(tmpdir(), 'tollgate-disturb-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const file = join(folder, 'wish.json')
  const set = (next: Wish) => {
    writeFileSync(`${file}.new`, JSON.stringify(next))
    renameSync(`${file}.new`, file)
  }
  set(wish)
  const preload = join(import.meta.dirname, 'disturb-preload.mjs')
  return { env: { NODE_OPTIONS: `--import=${preload}`, DISTURB_FILE: file }, set }
}
