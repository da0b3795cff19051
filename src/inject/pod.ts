/** One pod, by itself or as the template of a workload: what has to change for the gate to stand in it. */
import type { Change } from './changes.ts'
import { chooseApp, CONTAINER_NOTE, objections, PORT_NOTE, type Wanted } from './choice.ts'
import {
  DRAIN_SECONDS,
  GATE,
  gateContainer,
  type GateOptions,
  gateVolumes,
  GRACE_SECONDS
} from './container.ts'
import {
  type Fields,
  fieldsAt,
  isSame,
  listAt,
  type Note,
  numberAt,
  type Path,
  textAt
} from './fields.ts'
import { type App, rewriteProbes } from './probes.ts'

export type PodOptions = Wanted & Omit<GateOptions, 'appPort' | 'appProbes'>

export interface InjectedPod {
  readonly app: App
  readonly labels: Fields
  readonly changes: readonly Change[]
  readonly warnings: readonly Note[]
}

const TEMPLATES = ['Deployment', 'StatefulSet', 'DaemonSet', 'ReplicaSet']

/** Undefined: the resource has no pod, or one that is to be left alone. */
export function podPathOf(resource: Fields): Path | undefined {
  const kind = textAt(resource, 'kind') ?? ''
  const api = textAt(resource, 'apiVersion')
  const path =
    kind === 'Pod' && api === 'v1'
      ? []
      : TEMPLATES.includes(kind) && api === 'apps/v1'
        ? ['spec', 'template']
        : undefined
  if (path === undefined) return undefined
  const wish = fieldsAt(resource, ...path, 'metadata', 'annotations')['tollgate/inject']
  return wish === 'false' ? undefined : path
}

/** `path`: of the pod in the resource. */
export function injectPod(
  resource: Fields,
  path: Path,
  options: PodOptions
): InjectedPod | { readonly problems: readonly Note[] } {
  const specPath = [...path, 'spec']
  const spec = fieldsAt(resource, ...specPath)
  const metadata = fieldsAt(resource, ...path, 'metadata')
  const annotations = fieldsAt(metadata, 'annotations')
  const app = chooseApp(spec, specPath, annotations, options)
  if ('message' in app) return { problems: [app] }
  const inits = listAt(spec, 'initContainers')
  const index = inits.findIndex(container => textAt(container, 'name') === GATE)
  const isOurs = PORT_NOTE in annotations && textAt(inits[index], 'restartPolicy') === 'Always'
  const gate = isOurs ? fieldsAt(inits[index]) : undefined
  const probes = rewriteProbes(app, gate)
  const gateOptions = { ...options, appPort: app.port, appProbes: probes.appProbes }
  const volumes = addVolumes(spec, specPath, gateOptions, isOurs)
  const stopping = addStopping(spec, specPath, app)
  const problems = [
    ...objections(spec, specPath, app, isOurs),
    ...subPathMounts(spec, specPath, options.routesConfigMap),
    ...volumes.problems,
    ...probes.problems
  ]
  if (problems.length > 0) return { problems }
  const container = gateContainer(gateOptions)
  const placed: readonly Change[] = !gate
    ? [{ kind: 'append', path: [...specPath, 'initContainers'], items: [container] }]
    : isSame(gate, container)
      ? []
      : [{ kind: 'set', path: [...specPath, 'initContainers', index], value: container }]
  return {
    app,
    labels: fieldsAt(metadata, 'labels'),
    changes: [
      ...addNotes(annotations, path, app),
      ...placed,
      ...probes.changes,
      ...stopping.changes,
      ...volumes.changes
    ],
    warnings: [...probes.warnings, ...stopping.warnings]
  }
}

function addNotes(annotations: Fields, path: Path, app: App): readonly Change[] {
  const notes = { [CONTAINER_NOTE]: app.name, [PORT_NOTE]: String(app.port) }
  const at = [...path, 'metadata', 'annotations']
  const missing = Object.entries(notes).filter(([name]) => !(name in annotations))
  const other = Object.entries(notes).filter(
    ([name, value]) => name in annotations && annotations[name] !== value
  )
  return [
    ...(missing.length > 0
      ? [{ kind: 'add' as const, path: at, members: Object.fromEntries(missing) }]
      : []),
    ...other.map(([name, value]) => ({ kind: 'set' as const, path: [...at, name], value }))
  ]
}

/** With subPath a change of the ConfigMap would never arrive. */
function subPathMounts(spec: Fields, path: Path, routesConfigMap: string): readonly Note[] {
  const volumes = listAt(spec, 'volumes')
    .filter(volume => textAt(volume, 'configMap', 'name') === routesConfigMap)
    .map(volume => textAt(volume, 'name'))
  return ['initContainers', 'containers'].flatMap(list =>
    listAt(spec, list).flatMap((container, i) =>
      listAt(container, 'volumeMounts').flatMap((mount, j) => {
        const isRoutes = volumes.includes(textAt(mount, 'name'))
        if (!isRoutes || fieldsAt(mount)['subPath'] === undefined) return []
        const message =
          'the route file is mounted with subPath, so a change of it never arrives: mount the directory'
        return [{ path: [...path, list, i, 'volumeMounts', j, 'subPath'], message }]
      })
    )
  )
}

function addVolumes(spec: Fields, path: Path, options: GateOptions, isOurs: boolean) {
  const existing = listAt(spec, 'volumes')
  const changes: Change[] = []
  const problems: Note[] = []
  const missing: Fields[] = []
  for (const volume of gateVolumes(options)) {
    const index = existing.findIndex(found => textAt(found, 'name') === volume['name'])
    const at = [...path, 'volumes', index]
    if (index === -1) missing.push(volume)
    else if (isSame(existing[index], volume)) continue
    else if (isOurs) changes.push({ kind: 'set', path: at, value: volume })
    else {
      const message = `the volume ${String(volume['name'])} is there and is another: rename it`
      problems.push({ path: at, message })
    }
  }
  if (missing.length > 0) {
    changes.push({ kind: 'append', path: [...path, 'volumes'], items: missing })
  }
  return { changes, problems }
}

function addStopping(spec: Fields, path: Path, app: App) {
  const changes: Change[] = []
  const warnings: Note[] = []
  const preStop = fieldsAt(app.container, 'lifecycle')['preStop']
  const own = { sleep: { seconds: DRAIN_SECONDS } }
  if (preStop === undefined || preStop === null) {
    changes.push({ kind: 'set', path: [...app.path, 'lifecycle', 'preStop'], value: own })
  } else if (!isSame(preStop, own)) {
    const message = `${app.name} has a preStop of its own: it must keep the app serving for ${DRAIN_SECONDS} s, or requests are lost while endpoints disappear`
    warnings.push({ path: [...app.path, 'lifecycle', 'preStop'], message })
  }
  const grace = 'terminationGracePeriodSeconds'
  if ((numberAt(spec, grace) ?? 0) < GRACE_SECONDS) {
    changes.push({ kind: 'set', path: [...path, grace], value: GRACE_SECONDS })
  }
  return { changes, warnings }
}
