/** The version this was released as, from the package's own description. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

export function readVersion(): string {
  const file = join(import.meta.dirname, '..', '..', 'package.json')
  const description: unknown = JSON.parse(readFileSync(file, 'utf8'))
  const isPackage =
    typeof description === 'object' && description !== null && 'version' in description
  return isPackage ? String(description.version) : ''
}
