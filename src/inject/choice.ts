/** Which container of a pod is the app, and which port it listens on: asked for, or the only one there is. */
import { GATE } from './container.ts'
import { fieldsAt, listAt, type Note, type Path, textAt } from './fields.ts'
import { type App, portsOf } from './probes.ts'

export interface Wanted {
  readonly appContainer: string | undefined
  readonly appPort: number | undefined
}

/** What an earlier injection chose, and what a user may write. */
export const CONTAINER_NOTE = 'tollgate/app-container'
export const PORT_NOTE = 'tollgate/app-port'

/** `path`: of the pod's spec. */
export function chooseApp(
  spec: unknown,
  path: Path,
  annotations: unknown,
  wanted: Wanted
): App | Note {
  const containers = listAt(spec, 'containers').map((container, i) => ({
    container: fieldsAt(container),
    name: textAt(container, 'name') ?? '',
    path: [...path, 'containers', i],
    ports: portsOf(container)
  }))
  const noted = Number(textAt(annotations, PORT_NOTE) ?? Number.NaN)
  const port = wanted.appPort ?? (Number.isInteger(noted) ? noted : undefined)
  const name = wanted.appContainer ?? textAt(annotations, CONTAINER_NOTE)
  const refuse = (message: string, at: Path = [...path, 'containers']) => ({ path: at, message })
  const names = containers.map(found => found.name).join(', ')
  const having = containers.filter(({ ports }) => ports.some(found => found.port === port))
  const candidates =
    name !== undefined
      ? containers.filter(found => found.name === name)
      : containers.length > 1 && port !== undefined && having.length > 0
        ? having
        : containers
  const [found] = candidates
  if (!found) return refuse(`no container is called ${name}: there are ${names || 'none'}`)
  if (candidates.length > 1) {
    return refuse(`which container is the app? Say --app-container with one of ${names}`)
  }
  const [only] = found.ports
  const chosen = port ?? only?.port
  if (chosen === undefined) {
    const example = `--app-port 3000, or the annotation tollgate/inject: "false" where no gate is wanted`
    return refuse(`the container ${found.name} names no port: say ${example}`, found.path)
  }
  if (port === undefined && found.ports.length > 1) {
    const ports = found.ports.map(each =>
      each.name === undefined ? each.port : `${each.port} (${each.name})`
    )
    return refuse(
      `which port does the app listen on? Say --app-port with one of ${ports.join(', ')}`,
      [...found.path, 'ports']
    )
  }
  const portNames = found.ports.flatMap(each =>
    each.port === chosen && each.name !== undefined ? [each.name] : []
  )
  const { container } = found
  return { name: found.name, port: chosen, portNames, container, path: found.path }
}

/** Reasons why no gate can stand in this pod. */
export function objections(spec: unknown, path: Path, app: App, isOurs: boolean): readonly Note[] {
  const notes: Note[] = []
  const refuse = (message: string, ...at: Path) => notes.push({ path: [...path, ...at], message })
  if (fieldsAt(spec)['hostNetwork'] === true) {
    refuse(
      "hostNetwork shares the node's loopback with every such pod, so the app cannot be closed: remove it",
      'hostNetwork'
    )
  }
  for (const list of ['initContainers', 'containers']) {
    for (const [i, container] of listAt(spec, list).entries()) {
      const name = textAt(container, 'name')
      const isGate = name === GATE && isOurs && list === 'initContainers'
      if (isGate) continue
      if (name === GATE) {
        refuse(`the name ${GATE} is taken by another container: rename that one`, list, i, 'name')
      }
      for (const { port } of portsOf(container)) {
        if (port !== 8080 && port !== 9090) continue
        const what = port === 8080 ? "the gate's port" : "the gate's port for probes and metrics"
        refuse(
          `port ${port} of ${name} is ${what}: let ${name} listen on another`,
          list,
          i,
          'ports'
        )
      }
    }
  }
  if (app.port === 8080 || app.port === 9090) {
    const isNamed = portsOf(app.container).some(({ port }) => port === app.port)
    if (!isNamed) refuse(`the app cannot have port ${app.port}: it is the gate's own`, 'containers')
  }
  for (const [i, entry] of listAt(app.container, 'ports').entries()) {
    const { containerPort, hostPort } = fieldsAt(entry)
    if (containerPort !== app.port || hostPort === undefined) continue
    const at = [...app.path.slice(path.length), 'ports', i, 'hostPort']
    refuse(`hostPort leads past the gate: remove it and publish the Service`, ...at)
  }
  return notes
}
