/**
 * The upstreams, each with its own pool of connections: certificates verified, unix sockets, bounded
 * waits, no redirects, no retries, and one request at a time on a connection. They follow the route
 * file; a request that was decided by an earlier one still finds the upstream it was meant for.
 *
 * A client's Host header is passed on as it came, so it must not choose the name under which a
 * certificate is verified: undici would take it for that. Our connector knows one name only.
 */
import { readFileSync } from 'node:fs'
import { buildConnector, Client, type Dispatcher, Pool } from 'undici'
import { CaFileUnreadable, type RouteTable, type UpstreamEntry } from '../core/rule.ts'

type Dispatch = (options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler) => void

export interface Upstream {
  readonly name: string
  /** Throws what undici throws. */
  readonly dispatch: Dispatch
  /** On a new connection of its own, for a request that met a dead one. */
  readonly dispatchAfresh: Dispatch
}

type Named = Pick<RouteTable, 'upstreams'>

export interface Upstreams {
  /** What a rule of this table means by the name. Throws where the table was never adopted. */
  get(name: string, table: Named): Upstream
  /**
   * Opens what is new in this table, and closes what it does not name once that is idle. Throws
   * where a file of certificates cannot be read; then nothing has changed.
   */
  adopt(table: Named): void
  /** Of all upstreams together. */
  connections(): { readonly idle: number; readonly busy: number }
  close(): Promise<void>
}

export interface UpstreamsOptions {
  /** Of the upstream named `default`: `http://host:port`, `https://host:port`, `unix:/path`. */
  readonly defaultUrl: string
  /** How long an idle connection is kept, in ms; 0: not at all. */
  readonly keepAliveMs: number
  /** TLS included, in ms. */
  readonly connectTimeoutMs: number
}

/** One connection, and how many requests were written to it. */
export interface Connection {
  served: number
}

/** A handler that wants to know on what connection its request is written. */
export interface ConnectionAware extends Dispatcher.DispatchHandler {
  /** Asked at the start of writing. */
  connection: (() => Connection) | undefined
}

/** undici does not tell a fresh connection from one that has served: the one may be asked again. */
class UpstreamClient extends Client {
  #connection: Connection = { served: 0 }

  constructor(origin: URL, options: Client.Options & { connect: buildConnector.connector }) {
    const { connect } = options
    super(origin, {
      ...options,
      connect: (target, callback) => {
        this.#connection = { served: 0 }
        connect(target, callback)
      }
    })
  }

  override dispatch(
    options: Dispatcher.DispatchOptions,
    handler: Dispatcher.DispatchHandler
  ): boolean {
    if (isAware(handler)) handler.connection = () => this.#connection
    return super.dispatch(options, handler)
  }
}

function isAware(handler: Dispatcher.DispatchHandler): handler is ConnectionAware {
  return 'connection' in handler
}

/** Given to undici for every request, so that it never takes the name from a client's Host. */
export const SERVER_NAME_KEY = 'upstream'

const MAX_HEAD_BYTES = 16_384
/** The upstream's own hint is shortened by this, in ms: the way of a request takes time. */
const HINT_MARGIN_MS = 1000

/** Only `default` is there until a table is adopted. */
export function openUpstreams(options: UpstreamsOptions): Upstreams {
  const main = openUpstream('default', options.defaultUrl, {}, options)
  /** Those of the table in force, by all that makes their connections. */
  let open = new Map<string, OpenUpstream>()
  const meant = new WeakMap<UpstreamEntry, Upstream>()
  const retiring = new Set<OpenUpstream>()
  return {
    get(name, table) {
      if (name === 'default') return main
      const entry = table.upstreams.get(name)
      const upstream = entry && meant.get(entry)
      if (!upstream) throw new Error(`no upstream is named ${name}`)
      return upstream
    },
    adopt({ upstreams }) {
      const wanted = Array.from(upstreams.values(), entry => ({ entry, tls: readTls(entry) }))
      const next = new Map<string, OpenUpstream>()
      for (const { entry, tls } of wanted) {
        const { name, url } = entry
        const key = JSON.stringify([name, url, tls])
        const upstream = open.get(key) ?? openUpstream(name, url, tls, options)
        next.set(key, upstream)
        meant.set(entry, upstream)
      }
      for (const [key, upstream] of open) if (!next.has(key)) retire(upstream)
      open = next
    },
    connections() {
      const all = [main, ...open.values(), ...retiring].map(upstream => upstream.stats())
      const idle = all.reduce((sum, { free }) => sum + free, 0)
      return { idle, busy: all.reduce((sum, { connected }) => sum + connected, 0) - idle }
    },
    close: async () => {
      const all = [main, ...open.values(), ...retiring]
      await Promise.all(all.map(upstream => upstream.destroy()))
    }
  }

  function retire(upstream: OpenUpstream): void {
    retiring.add(upstream)
    void upstream.retire().finally(() => retiring.delete(upstream))
  }
}

interface TlsOptions {
  readonly ca?: string
  readonly servername?: string
}

/** Throws CaFileUnreadable. */
function readTls(entry: UpstreamEntry): TlsOptions {
  const { caFile, serverName } = entry
  return {
    ...(caFile === undefined ? {} : { ca: readCertificates(entry, caFile) }),
    ...(serverName === undefined ? {} : { servername: serverName })
  }
}

function readCertificates(entry: UpstreamEntry, path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    throw new CaFileUnreadable(entry, cause instanceof Error ? cause : new Error(String(cause)))
  }
}

interface OpenUpstream extends Upstream {
  stats(): Pool['stats']
  /** Resolves when its running requests have ended; later ones get a connection each. */
  retire(): Promise<void>
  destroy(): Promise<void>
}

function openUpstream(
  name: string,
  url: string,
  tls: TlsOptions,
  options: UpstreamsOptions
): OpenUpstream {
  const isSocket = url.startsWith('unix:')
  const origin = isSocket ? 'http://localhost' : url
  const connect = createConnector(isSocket ? url.slice('unix:'.length) : undefined, tls, options)
  const shared = {
    connect,
    // HTTP/2 would be translated: other framing, other header rules.
    allowH2: false,
    maxHeaderSize: MAX_HEAD_BYTES,
    // A body that is shorter or longer than its Content-Length ends its connection.
    strictContentLength: true,
    // Answers are streamed, with backpressure; what counts is progress, watched in relay.ts.
    maxResponseSize: -1,
    // As many as requests are under way, which MAX_IN_FLIGHT bounds for all upstreams together.
    connections: null,
    // 0 closes each connection after its one request.
    pipelining: options.keepAliveMs === 0 ? 0 : 1,
    keepAliveTimeoutThreshold: HINT_MARGIN_MS,
    // undici refuses 0 here.
    keepAliveTimeout: Math.max(1, options.keepAliveMs),
    keepAliveMaxTimeout: Math.max(1, options.keepAliveMs)
  }
  const pool = new Pool(origin, { ...shared, factory: at => new UpstreamClient(at, shared) })
  let isRetired = false
  const dispatchAfresh: Dispatch = (request, handler) => {
    const fresh = new Client(origin, { ...shared, pipelining: 0 })
    fresh.dispatch(request, handler)
    // Closes once the request on it has ended.
    void fresh.close()
  }
  return {
    name,
    dispatch(request, handler) {
      if (isRetired) dispatchAfresh(request, handler)
      else pool.dispatch(request, handler)
    },
    dispatchAfresh,
    stats: () => pool.stats,
    retire() {
      isRetired = true
      return pool.close()
    },
    destroy: () => pool.destroy()
  }
}

function createConnector(
  socketPath: string | undefined,
  tls: TlsOptions,
  { connectTimeoutMs }: UpstreamsOptions
): buildConnector.connector {
  const connect = buildConnector({
    ...tls,
    ...(socketPath === undefined ? {} : { socketPath }),
    rejectUnauthorized: true,
    allowH2: false,
    timeout: connectTimeoutMs
  })
  return (target, callback) => connect({ ...target, servername: '' }, callback)
}
