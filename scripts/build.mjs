// Emits dist/: every module that the program may load, of ours and of the packages, joined into few files,
// and what is no module (SQL, pages' assets) beside them. Resolving 1500 modules was half of a start.
// cli.js and check-thread.js run the program's files (.cjs) with code that has been kept of them; warm.js
// keeps it. PGlite stays a package: it finds its WebAssembly beside its own module.
// Needs the development dependencies; what it writes needs Node, and PGlite where that is asked for.
// Another folder than dist/ may be given.
import { cpSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { build } from 'rolldown'

const ROOT = join(import.meta.dirname, '..')
const SRC = join(ROOT, 'src')
const DIST = resolve(ROOT, process.argv[2] ?? 'dist')

// What an earlier build left behind would be shipped.
rmSync(DIST, { recursive: true, force: true })
await build({
  input: { cli: join(SRC, 'cli.ts'), 'check-thread': join(SRC, 'routes/check-thread.ts') },
  platform: 'node',
  // pg asks for pg-native only where somebody wants it, and Fastify for its compilers where nobody gives
  // others: src/no-schemas.ts does.
  external: [
    '@electric-sql/pglite',
    'pg-native',
    '@fastify/ajv-compiler',
    '@fastify/fast-json-stringify-compiler'
  ],
  output: {
    dir: DIST,
    // Node gives out the code of a script; that of a module only behind a flag.
    format: 'cjs',
    // As the modules were.
    strict: true,
    dynamicImportInCjs: false,
    entryFileNames: '[name].cjs',
    // All in one folder: modules find what lies beside them from there.
    chunkFileNames: '[name]-[hash].cjs'
  }
})
await build({
  input: {
    cli: join(SRC, 'emitted.ts'),
    // A thread is started from a file of its own.
    'check-thread': join(SRC, 'emitted-thread.ts'),
    warm: join(SRC, 'warm.ts')
  },
  platform: 'node',
  output: { dir: DIST, format: 'esm', entryFileNames: '[name].js', chunkFileNames: '[name]-[hash].js' }
})
cpSync(join(SRC, 'store/migrations'), join(DIST, 'migrations'), { recursive: true })
cpSync(join(SRC, 'dashboard/assets'), join(DIST, 'assets'), {
  recursive: true,
  // Types and settings for the compiler.
  filter: path => !/\.ts$|\/tsconfig\.json$/.test(path)
})
