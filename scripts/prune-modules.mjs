// Leaves of a node_modules folder what the image needs: of a package that is in dist/ already its name,
// its version and its licences, by which scanners and lawyers find it; PGlite as a program, without types,
// source maps, manuals and loadable extensions.
import { readdirSync, rmSync } from 'node:fs'
import { basename, join } from 'node:path'

const IS_LICENCE = /licen[cs]e|notice|copying/i
const PROGRAM = '/node_modules/@electric-sql/pglite/'
// The program asks for it by require(): index.cjs is all of it.
const USELESS = [/\.(?:map|ts|mts|cts|md|markdown)$/, /\/dist\/(?!index\.cjs$)(?:contrib\/.*|.*\.tar\.gz|.*\.c?js)$/]

const folder = process.argv[2]
if (folder === undefined) {
  console.error('usage: prune-modules.mjs NODE_MODULES')
  process.exit(2)
}
for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
  const path = join(entry.parentPath, entry.name)
  if (entry.isFile() && !isNeeded(path)) rmSync(path)
}

function isNeeded(path) {
  if (IS_LICENCE.test(basename(path))) return true
  return path.includes(PROGRAM) ? !USELESS.some(pattern => pattern.test(path)) : basename(path) === 'package.json'
}
