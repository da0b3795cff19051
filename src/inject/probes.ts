/**
 * Probes of the app, asked through the gate: kubelet cannot reach an app that listens on loopback alone.
 * The gate's admin port asks the app and answers its status.
 */
import type { Change } from './changes.ts'
import { ADMIN_PORT } from './container.ts'
import { type Fields, fieldsAt, listAt, type Note, numberAt, type Path, textAt } from './fields.ts'

export interface App {
  readonly name: string
  readonly port: number
  /** Names that the container gives this port. */
  readonly portNames: readonly string[]
  readonly container: Fields
  /** Of the container in its resource. */
  readonly path: Path
}

export interface RewrittenProbes {
  readonly changes: readonly Change[]
  readonly appProbes: Readonly<Record<string, string>>
  readonly problems: readonly Note[]
  readonly warnings: readonly Note[]
}

const KINDS = ['startup', 'readiness', 'liveness'] as const

/** `gate`: the container that is already there; it knows what rewritten probes asked before. */
export function rewriteProbes(app: App, gate: Fields | undefined): RewrittenProbes {
  const changes: Change[] = []
  const appProbes: Record<string, string> = {}
  const problems: Note[] = []
  const warnings: Note[] = []
  const known = knownProbes(gate)
  for (const kind of KINDS) {
    const path = [...app.path, `${kind}Probe`]
    const probe = fieldsAt(app.container, `${kind}Probe`)
    const httpGet = fieldsAt(probe, 'httpGet')
    const name = `${app.name}/${kind}`
    const rewritten = `/app-probe/${name}`
    const warn = (message: string) => warnings.push({ path, message })
    if (textAt(httpGet, 'path') === rewritten && httpGet['port'] === ADMIN_PORT) {
      const url = known[name]
      if (url === undefined) {
        problems.push({
          path,
          message: `the ${kind} probe asks the gate, which does not know what to ask: write the app's own probe here`
        })
      } else appProbes[name] = url
    } else if (leadsToApp(httpGet, app)) {
      if (textAt(httpGet, 'scheme') === 'HTTPS' || httpGet['host'] !== undefined) {
        warn(`the ${kind} probe stays as it is, because the gate asks by plain HTTP on loopback`)
        continue
      }
      if (listAt(httpGet, 'httpHeaders').length > 0) {
        warn(`the headers of the ${kind} probe do not reach the app any more`)
      }
      appProbes[name] = `http://127.0.0.1:${app.port}${pathOf(httpGet)}`
      changes.push(
        { kind: 'set', path: [...path, 'httpGet', 'port'], value: ADMIN_PORT },
        { kind: 'set', path: [...path, 'httpGet', 'path'], value: rewritten }
      )
    } else if (
      leadsToApp(fieldsAt(probe, 'tcpSocket'), app) ||
      leadsToApp(fieldsAt(probe, 'grpc'), app)
    ) {
      warn(
        `the ${kind} probe connects to the pod's address: once the app listens on loopback alone, use httpGet`
      )
    } else if (probe['exec'] !== undefined) {
      warn(`the ${kind} probe runs a command in the app's container and stays as it is`)
    }
  }
  return { changes, appProbes, problems, warnings }
}

function leadsToApp({ port }: Fields, app: App): boolean {
  return port === app.port || (typeof port === 'string' && app.portNames.includes(port))
}

function pathOf(httpGet: Fields): string {
  const path = textAt(httpGet, 'path') ?? '/'
  return path.startsWith('/') ? path : `/${path}`
}

function knownProbes(gate: Fields | undefined): Readonly<Record<string, string>> {
  const variable = listAt(gate, 'env').find(entry => textAt(entry, 'name') === 'APP_PROBES')
  const json = textAt(variable, 'value')
  if (json === undefined) return {}
  try {
    const entries = Object.entries(Object(JSON.parse(json)))
    return Object.fromEntries(entries.map(([name, url]) => [name, String(url)]))
  } catch {
    return {}
  }
}

export function portsOf(container: unknown): readonly { port: number; name: string | undefined }[] {
  return listAt(container, 'ports').flatMap(entry => {
    const port = numberAt(entry, 'containerPort')
    return port === undefined ? [] : [{ port, name: textAt(entry, 'name') }]
  })
}
