// Emits dist/: JavaScript from every module of src/, and what is no module (SQL, pages' assets) as it is.
// Needs the development dependencies; what it writes needs the others alone.
// Another folder than dist/ may be given.
import { execFileSync } from 'node:child_process'
import { cpSync, readdirSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, resolve } from 'node:path'

const ROOT = join(import.meta.dirname, '..')
const SRC = join(ROOT, 'src')
const DIST = resolve(ROOT, process.argv[2] ?? 'dist')
const IS_FOR_THE_COMPILER = /\.ts$|(?:^|\/)[jt]sconfig(?:\.\w+)?\.json$/

// What an earlier build left behind would be shipped.
rmSync(DIST, { recursive: true, force: true })
const typescript = dirname(createRequire(import.meta.url).resolve('typescript/package.json'))
execFileSync(process.execPath, [join(typescript, 'bin/tsc'), '-p', SRC, '--outDir', DIST], { stdio: 'inherit' })
for (const entry of readdirSync(SRC, { recursive: true, withFileTypes: true })) {
  const path = join(entry.parentPath, entry.name)
  if (entry.isFile() && !IS_FOR_THE_COMPILER.test(path)) cpSync(path, path.replace(SRC, DIST))
}
