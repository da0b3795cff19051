/** The version this was released as, from the package's own description. */
import { readFileSync } from 'node:fs'
import { findPackageJSON } from 'node:module'

export function readVersion(): string {
  const file = findPackageJSON(import.meta.url)
  if (file === undefined) return ''
  const description: unknown = JSON.parse(readFileSync(file, 'utf8'))
  const isPackage =
    typeof description === 'object' && description !== null && 'version' in description
  return isPackage ? String(description.version) : ''
}
