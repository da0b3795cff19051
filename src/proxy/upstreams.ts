/**
 * The upstreams, each with its own pool of connections: certificates verified, unix sockets, bounded
 * waits, no redirects, no retries, and one request at a time on a connection.
 *
 * A client's Host header is passed on as it came, so it must not choose the name under which a
 * certificate is verified: undici would take it for that. Our connector knows one name only.
 */
import { readFileSync } from 'node:fs'
import { buildConnector, Client, type Dispatcher, Pool } from 'undici'
import type { UpstreamEntry } from '../core/rule.ts'

export interface Upstream {
  readonly name: string
  readonly pool: Dispatcher
  /** A dispatcher of one new connection, for a request that met a dead one; to be closed. */
  fresh(): Dispatcher
}

export interface Upstreams {
  /** Throws where the name is not known: names are checked when a route file is loaded. */
  get(name: string): Upstream
  /** Of all upstreams together. */
  connections(): { readonly idle: number; readonly busy: number }
  close(): Promise<void>
}

export interface UpstreamsOptions {
  /** Of the upstream named `default`: `http://host:port`, `https://host:port`, `unix:/path`. */
  readonly defaultUrl: string
  readonly entries: Iterable<UpstreamEntry>
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

export function openUpstreams(options: UpstreamsOptions): Upstreams {
  const byName = new Map<string, OpenUpstream>()
  const open = (name: string, url: string, tls: TlsOptions) =>
    byName.set(name, openUpstream(name, url, tls, options))
  open('default', options.defaultUrl, {})
  for (const { name, url, caFile, serverName } of options.entries) {
    open(name, url, {
      ...(caFile === undefined ? {} : { ca: readFileSync(caFile, 'utf8') }),
      ...(serverName === undefined ? {} : { servername: serverName })
    })
  }
  return {
    get(name) {
      const upstream = byName.get(name)
      if (!upstream) throw new Error(`no upstream is named ${name}`)
      return upstream
    },
    connections() {
      const all = [...byName.values()].map(({ pool }) => pool.stats)
      const idle = all.reduce((sum, { free }) => sum + free, 0)
      return { idle, busy: all.reduce((sum, { connected }) => sum + connected, 0) - idle }
    },
    close: async () => {
      await Promise.all([...byName.values()].map(upstream => upstream.close()))
    }
  }
}

interface OpenUpstream extends Upstream {
  readonly pool: Pool
  close(): Promise<void>
}

interface TlsOptions {
  readonly ca?: string
  readonly servername?: string
}

function openUpstream(name: string, url: string, tls: TlsOptions, options: UpstreamsOptions) {
  const isSocket = url.startsWith('unix:')
  const origin = isSocket ? 'http://localhost' : url
  const connect = createConnector(isSocket ? url.slice('unix:'.length) : undefined, tls, options)
  const shared = {
    connect,
    allowH2: false,
    maxHeaderSize: MAX_HEAD_BYTES,
    // 0 closes each connection after its one request.
    pipelining: options.keepAliveMs === 0 ? 0 : 1,
    keepAliveTimeoutThreshold: HINT_MARGIN_MS,
    // undici refuses 0 here.
    keepAliveTimeout: Math.max(1, options.keepAliveMs),
    keepAliveMaxTimeout: Math.max(1, options.keepAliveMs)
  }
  const pool = new Pool(origin, { ...shared, factory: at => new UpstreamClient(at, shared) })
  return {
    name,
    pool,
    fresh: () => new Client(origin, { ...shared, pipelining: 0 }),
    close: () => pool.destroy()
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
