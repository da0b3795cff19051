/**
 * Fills the compile cache while the image is built: loads every module that `serve` loads, opens
 * nothing, and ends. Only the very Node that wrote a cache reads it, so the runtime image runs this.
 * Source: https://nodejs.org/api/module.html#module-compile-cache
 */
import { chmodSync, readdirSync } from 'node:fs'
import { flushCompileCache, getCompileCacheDir } from 'node:module'
import { join } from 'node:path'
import './commands/run.ts'
import './commands/serve.ts'

flushCompileCache()
const folder = getCompileCacheDir()
if (folder === undefined) {
  process.stderr.write('NODE_COMPILE_CACHE is not set, or cannot be written: nothing was kept\n')
  process.exitCode = 1
} else {
  const files = readdirSync(folder)
  // Node makes them for its own user alone, and another one runs the gate.
  for (const file of files) chmodSync(join(folder, file), 0o444)
  process.stdout.write(`${files.length} modules are in the compile cache\n`)
}
