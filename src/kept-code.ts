/**
 * The files of the emitted program, run with the code that V8 made of them while the image was built.
 *
 * Node's own compile cache keeps a module as it is when it has just been compiled, and by then V8 has
 * only skimmed its functions: reading and compiling those was a quarter of a start. What is kept here
 * has every function of every file. V8 refuses what another version of it has made, or one with other
 * flags, and the file is compiled as if nothing had been kept. It does not see that a file was changed
 * in place without changing its length: the code is made anew with every build.
 * Source: https://nodejs.org/api/vm.html#scriptcreatecacheddata
 */
import { chmodSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { Script } from 'node:vm'

type Run = (
  exports: object,
  require: NodeJS.Require,
  module: { exports: object },
  filename: string,
  dirname: string
) => void

/** Runs a file of the program as `require` would, and those beside it that it asks for. */
export function runKept(path: string): void {
  const folder = dirname(path)
  const modules = new Map<string, { exports: object }>()
  const requireOfNode = createRequire(path)
  const load = (file: string): object => {
    const known = modules.get(file)
    if (known) return known.exports
    const module = { exports: {} }
    modules.set(file, module)
    try {
      const run: Run = compileKept(file).runInThisContext()
      run(module.exports, require, module, file, folder)
    } catch (thrown) {
      // Whoever asks again is told again.
      modules.delete(file)
      throw thrown
    }
    return module.exports
  }
  const find = (id: string): unknown =>
    id.startsWith('./') ? load(join(folder, id)) : requireOfNode(id)
  const require = Object.assign(find, requireOfNode)
  load(path)
}

/** `cachedDataRejected` is undefined where nothing was kept of the file. */
export function compileKept(path: string): Script {
  const kept = keptPath(path)
  return compile(path, existsSync(kept) ? readFileSync(kept) : undefined)
}

/** Makes the code of every file of the program and writes it beside the file. Gives how many. */
export function keepCode(folder: string): number {
  const files = readdirSync(folder).filter(name => name.endsWith('.cjs'))
  const paths = files.map(name => join(folder, name))
  // Every function, not only those that run as the file is loaded. It must be off again before the code
  // is taken out, because V8 notes its flags there.
  setFlagsFromString('--no-lazy')
  const scripts = paths.map(path => [keptPath(path), compile(path, undefined)] as const)
  setFlagsFromString('--lazy')
  for (const [kept, script] of scripts) {
    writeFileSync(kept, script.createCachedData())
    // Another user runs the program.
    chmodSync(kept, 0o444)
  }
  return scripts.length
}

function compile(filename: string, cachedData: Buffer | undefined): Script {
  const text = readFileSync(filename, 'utf8')
  return new Script(`(function (exports, require, module, __filename, __dirname) { ${text}\n})`, {
    filename,
    cachedData
  })
}

function keptPath(path: string): string {
  return `${path}.code`
}
