// Removes from a node_modules folder what no program reads at run time: types, source maps, manuals,
// the loadable extensions of the embedded Postgres, and the names that OpenTelemetry tries out, which
// the gate does not use. Licences stay.
import { readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'

const USELESS = [
  /\.(?:map|ts|mts|cts|md|markdown)$/,
  /\/@electric-sql\/pglite\/dist\/(?:contrib\/.*|[^/]*\.tar\.gz|[^/]*\.cjs)$/,
  /\/@opentelemetry\/semantic-conventions\/dist\/(?:experimental_|index-incubating\.)[^/]*$/
]

const folder = process.argv[2]
if (folder === undefined) {
  console.error('usage: prune-modules.mjs NODE_MODULES')
  process.exit(2)
}
for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
  const path = join(entry.parentPath, entry.name)
  const isLicence = /licen[cs]e|notice/i.test(entry.name)
  if (entry.isFile() && !isLicence && USELESS.some(pattern => pattern.test(`/${path}`))) rmSync(path)
}
