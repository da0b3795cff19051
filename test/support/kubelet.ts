/**
 * What kubelet does with a container, without a cluster: lays its volumes out below a folder that stands
 * for the root, in kubelet's own way, and turns its description into an environment and arguments.
 * Source: kubernetes/kubernetes, pkg/volume/util/atomic_writer.go (`..data`).
 */
import {
  chmodSync,
  mkdirSync,
  lstatSync,
  mkdtempSync,
  renameSync,
  symlinkSync,
  writeFileSync
} from 'node:fs'
import { basename, join } from 'node:path'
import { at, listAt } from './helm.ts'

/** File name to content, of a ConfigMap or a Secret. */
export type Content = Readonly<Record<string, string>>

export interface Cluster {
  readonly configMaps: Readonly<Record<string, Content>>
  readonly secrets: Readonly<Record<string, Content>>
}

/** Folders of the mounted volumes, by the volume's name. Throws where something is not there. */
export function mountVolumes(
  pod: unknown,
  container: unknown,
  { root, cluster }: { readonly root: string; readonly cluster: Cluster }
): ReadonlyMap<string, string> {
  const folders = new Map<string, string>()
  for (const mount of listAt(container, 'volumeMounts')) {
    const name = String(at(mount, 'name'))
    const volume = listAt(pod, 'spec', 'volumes').find(one => at(one, 'name') === name)
    if (at(mount, 'subPath') !== undefined) throw new Error(`${name} is mounted with subPath`)
    const folder = join(root, String(at(mount, 'mountPath')))
    mkdirSync(folder, { recursive: true })
    writeContent(folder, contentOf(volume, cluster))
    folders.set(name, folder)
  }
  return folders
}

function contentOf(volume: unknown, { configMaps, secrets }: Cluster): Content {
  const source = at(volume, 'configMap') ?? at(volume, 'secret')
  const isSecret = at(volume, 'secret') !== undefined
  const name = String(at(source, isSecret ? 'secretName' : 'name'))
  const content = (isSecret ? secrets : configMaps)[name]
  if (!content) throw new Error(`there is no ${isSecret ? 'Secret' : 'ConfigMap'} ${name}`)
  const items = listAt(source, 'items')
  if (items.length === 0) return content
  return Object.fromEntries(
    items.map(item => {
      const text = content[String(at(item, 'key'))]
      if (text === undefined) throw new Error(`${name} has no key ${String(at(item, 'key'))}`)
      return [String(at(item, 'path')), text]
    })
  )
}

/**
 * The whole content at once: into a new folder, then `..data` is turned to it by a rename. Files are
 * links through `..data`.
 */
export function writeContent(folder: string, content: Content): void {
  const next = mkdtempSync(join(folder, '..2026_'))
  for (const [name, text] of Object.entries(content)) {
    writeFileSync(join(next, name), text, { mode: 0o644 })
    const link = join(folder, name)
    if (!lstatSync(link, { throwIfNoEntry: false })) symlinkSync(join('..data', name), link)
  }
  chmodSync(next, 0o755)
  symlinkSync(basename(next), join(folder, '..data_tmp'))
  renameSync(join(folder, '..data_tmp'), join(folder, '..data'))
}

export interface Described {
  readonly env: Readonly<Record<string, string>>
  /** Undefined: those of the image. */
  readonly args: readonly string[] | undefined
}

/** Mounted paths come out below `root`; `podIp` is what the downward API says. */
export function describe(
  container: unknown,
  { root, podIp }: { readonly root: string; readonly podIp: string }
): Described {
  const mounts = listAt(container, 'volumeMounts').map(mount => String(at(mount, 'mountPath')))
  const env: Record<string, string> = {}
  for (const entry of listAt(container, 'env')) {
    const name = String(at(entry, 'name'))
    if (name in env) throw new Error(`${name} is there twice`)
    const field = at(entry, 'valueFrom', 'fieldRef', 'fieldPath')
    if (field !== undefined && field !== 'status.podIP')
      throw new Error(`${name} comes from elsewhere`)
    const given = at(entry, 'value')
    const text = field === undefined ? (typeof given === 'string' ? given : '') : podIp
    const value = text.replaceAll('$$(', '$(')
    env[name] = mounts.some(mount => value.startsWith(`${mount}/`)) ? join(root, value) : value
  }
  const args = at(container, 'args')
  if (at(container, 'command') !== undefined) throw new Error('the entry of the image is replaced')
  return { env, args: Array.isArray(args) ? args.map(String) : undefined }
}
