/** The generated HS256 secret: kept in a file, so that a demo JWT outlives a restart of the gate. */
import { randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

interface JwtSecret {
  readonly secret: string
  /** False: it lives in memory and ends with the process. */
  readonly isKept: boolean
}

/** Reads `jwt-secret` of the folder, or makes it, for its owner's eyes only. Never throws. */
export function openJwtSecret({ folder }: { readonly folder: string }): JwtSecret {
  const path = join(folder, 'jwt-secret')
  const kept = readKept(path)
  if (kept !== undefined) return { secret: kept, isKept: true }
  const secret = randomBytes(32).toString('base64url')
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    writeFileSync(path, `${secret}\n`, { mode: 0o600, flag: 'wx' })
    return { secret, isKept: true }
  } catch {
    return { secret, isKept: false }
  }
}

const SECRET = /^[\w-]{43}$/

/** Undefined: not there, not readable, or not what is written here. */
function readKept(path: string): string | undefined {
  try {
    const text = readFileSync(path, 'utf8').trimEnd()
    return SECRET.test(text) ? text : undefined
  } catch {
    return undefined
  }
}
