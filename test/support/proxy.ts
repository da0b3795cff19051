/**
 * The data side on real sockets, with rows in memory: the gate, its server and its sender as the
 * product wires them, without a database. For what is decided and sent, not for where rows are kept.
 */
import { createGate, type GateDeps } from '../../src/core/gate.ts'
import type { OwnRoutes } from '../../src/core/own-routes.ts'
import type { LogFields, NonceStore, TokenEntry } from '../../src/core/ports.ts'
import type { TokenRow, User } from '../../src/core/principal.ts'
import { digestToken, makeToken, type TokenDigest } from '../../src/core/token.ts'
import { createEmbeddedNonces } from '../../src/embedded/nonces.ts'
import { type Connections, createConnections, type Flow } from '../../src/proxy/connections.ts'
import { createProxyServer } from '../../src/proxy/server.ts'
import { openUpstreams } from '../../src/proxy/upstreams.ts'
import { createUsage, type Usage } from '../../src/proxy/usage.ts'
import type { AccessLine } from '../../src/telemetry/access.ts'
import type { Traces } from '../../src/telemetry/traces.ts'
import { loadText } from './routes.ts'
import { type RecordingUpstream, startUpstream, type UpstreamOptions } from './upstream.ts'

export interface TestToken {
  readonly text: string
  readonly digest: TokenDigest
  readonly id: string
}

export interface TestProxy extends AsyncDisposable {
  readonly port: number
  readonly url: string
  readonly upstream: RecordingUpstream
  readonly lines: readonly AccessLine[]
  readonly counts: ReadonlyMap<string, number>
  readonly logged: readonly (readonly [string, LogFields | undefined])[]
  readonly usage: Usage
  /** A row as the database would hold it; of a new token, or of this one. */
  addToken(row?: Partial<TokenRow>, text?: string): TestToken
  /** As if the database had changed it: cached rows are dropped, streams are told. */
  changeToken(token: TestToken, row: Partial<TokenRow>): void
  revoke(token: TestToken): void
  /** Permits lapse for this reason from now on. */
  setLapse(lapse: 'lease' | 'entry' | undefined): void
  drain(): void
  /** So many seconds pass for whatever is under way. */
  tick(seconds: number): void
  /** The time to finish is over. */
  cut(): void
  waitForLine(index?: number): Promise<AccessLine>
  /** Resolves when nothing is under way, and what was has reached the upstream. */
  rest(): Promise<void>
  /** Lets go of what was recorded so far. */
  forget(): void
  /** By which way everything goes that may go on, from now on; undefined: as in the product. */
  setLane(lane: 'hook' | 'plugin' | undefined): void
}

export interface ProxyStart {
  readonly routes: string
  readonly upstream?: UpstreamOptions
  /** Where plain requests go instead of a recording upstream. */
  readonly upstreamUrl?: string
  readonly users?: Readonly<Record<string, User>>
  readonly nonces?: NonceStore
  readonly own?: OwnRoutes
  readonly trustedProxies?: readonly string[]
  readonly maxInFlight?: number
  readonly keepAliveMs?: number
  readonly traces?: Traces | undefined
  readonly deps?: Partial<GateDeps>
}

const HOUR = 3_600_000

/** Closed when the given test ends. */
export async function startProxy(
  test: { teardown(run: () => unknown): void },
  start: ProxyStart
): Promise<TestProxy> {
  const upstream = await startUpstream(start.upstream)
  const rows = new Map<TokenDigest, TokenEntry>()
  const counts = new Map<string, number>()
  const lines: AccessLine[] = []
  const logged: (readonly [string, LogFields | undefined])[] = []
  const note = (message: string, fields?: LogFields) => void logged.push([message, fields])
  const log = { info: note, warn: note, error: note }
  const observer = {
    count: (name: string, labels: Readonly<Record<string, string>> = {}, by = 1) => {
      const key = [name, ...Object.values(labels)].join(' ')
      counts.set(key, (counts.get(key) ?? 0) + by)
    },
    measure: () => undefined,
    gauge: () => undefined
  }
  const { table } = loadText(start.routes)
  const clock = { nowMs: () => Date.now(), wallMs: () => Date.now(), isTrusted: () => true }
  let lapse: 'lease' | 'entry' | undefined
  let isDraining = false
  let lane: 'hook' | 'plugin' | undefined
  const routes = () => table
  const gate = createGate({
    routes,
    tokens: {
      peek: digest => rows.get(digest) ?? 'unknown',
      find: async digest => rows.get(digest) ?? 'unknown',
      lapse: (digest, entry) => lapse ?? (rows.get(digest) === entry ? undefined : 'entry')
    },
    users: { verify: async jwt => start.users?.[jwt] ?? 'invalid' },
    uses: { used: () => undefined },
    load: { admit: () => undefined },
    nonces: start.nonces ?? createEmbeddedNonces({ clock, isNew: true, recoveryMs: 0 }),
    clock,
    observer,
    signing: {
      windowMs: 300_000,
      bodyLimitBytes: 1_048_576,
      query: 'either',
      body: 'raw-or-canonical'
    },
    ...start.deps
  })
  const flows = new Set<Flow>()
  const counted = createConnections({ maxInFlight: start.maxInFlight ?? 1024, observer })
  const connections: Connections = {
    ...counted,
    enter: flow => counted.enter(flow) && Boolean(flows.add(flow)),
    leave(flow) {
      flows.delete(flow)
      counted.leave(flow)
    }
  }
  const upstreams = openUpstreams({
    defaultUrl: start.upstreamUrl ?? upstream.url,
    keepAliveMs: start.keepAliveMs ?? 4000,
    connectTimeoutMs: 2000
  })
  upstreams.adopt(table)
  const usage = createUsage({ nowMs: Date.now })
  const server = await createProxyServer({
    host: '127.0.0.1',
    port: 0,
    gate,
    own: start.own ?? { handle: () => Promise.reject(new Error('no own routes here')) },
    routes,
    upstreams,
    connections,
    usage,
    trustedProxies: start.trustedProxies ?? [],
    observer,
    log,
    access: line => void lines.push(line),
    traces: start.traces,
    isDraining: () => isDraining,
    lane: () => lane
  })
  const port = await server.listen()
  const close = async () => {
    await server[Symbol.asyncDispose]()
    connections.stop()
    await upstreams.close()
    await upstream.close()
  }
  test.teardown(close)
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    upstream,
    lines,
    counts,
    logged,
    usage,
    addToken(row = {}, text = makeToken(n => crypto.getRandomValues(new Uint8Array(n)))) {
      const digest = digestToken(text)
      const id = crypto.randomUUID()
      rows.set(digest, { row: { ...fullRow(id, digest), ...row } })
      return { text, digest, id }
    },
    changeToken(token, row) {
      const before = rows.get(token.digest)?.row ?? fullRow(token.id, token.digest)
      rows.set(token.digest, { row: { ...before, ...row } })
      connections.recheck([token.id])
    },
    revoke(token) {
      const before = rows.get(token.digest)?.row ?? fullRow(token.id, token.digest)
      rows.set(token.digest, { row: { ...before, revokedAtMs: Date.now() } })
      connections.end([token.id], 'revoked')
    },
    setLapse: given => void (lapse = given),
    drain() {
      isDraining = true
      connections.drain()
    },
    tick(seconds) {
      for (let i = 0; i < seconds; i++) for (const flow of flows) flow.tick()
    },
    cut() {
      for (const flow of flows) flow.cut()
    },
    async rest() {
      for (let turns = 0, begun = -1; turns < 5; turns++) {
        if (flows.size > 0 || upstream.begun !== begun) turns = 0
        begun = upstream.begun
        await new Promise(resolve => setImmediate(resolve))
      }
    },
    async waitForLine(index = 0) {
      for (let i = 0; i < 200; i++) {
        const line = lines[index]
        if (line) return line
        await new Promise(resolve => setTimeout(resolve, 10))
      }
      throw new Error('the line was not written')
    },
    setLane: given => void (lane = given),
    forget() {
      lines.length = 0
      logged.length = 0
      upstream.forget()
    },
    [Symbol.asyncDispose]: close
  }
}

function fullRow(id: string, digest: TokenDigest): TokenRow {
  return {
    id,
    digest,
    preview: 'ci_test…test',
    userId: 'u1',
    orgId: null,
    name: 'ci',
    scopes: ['a:read'],
    repositories: null,
    requireSignature: false,
    createdAtMs: Date.now() - HOUR,
    lastUsedAtMs: null,
    expiresAtMs: Date.now() + HOUR,
    revokedAtMs: null
  }
}
