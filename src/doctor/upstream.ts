/**
 * The services behind the gate: can they be reached as the gate reaches them, do they close idle
 * connections under its hands, and can they be reached past it.
 */
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect as connectTcp, isIP, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { UpstreamEntry } from '../core/rule.ts'
import { type Check, fail, type Finding, ok, reasonOf, skip, unreachable, warn } from './check.ts'

export interface UpstreamSettings {
  /** Undefined: the demo service. */
  readonly url: string | undefined
  readonly keepAliveMs: number
  readonly podIp: string | undefined
  readonly exposure: 'warn' | 'refuse' | 'off'
}

export type Target = Pick<UpstreamEntry, 'name' | 'url' | 'caFile' | 'serverName'>

/** Longer than the gate keeps an idle connection by default: what is closed until then may be in use. */
const WATCH_EXTRA_MS = 2000
const SETTLE_MS = 3000

export function upstreamChecks(
  settings: UpstreamSettings,
  entries: Promise<readonly Target[]>
): readonly Check[] {
  const { url, keepAliveMs, podIp } = settings
  const targets = async (): Promise<readonly Target[]> => [
    ...(url === undefined
      ? []
      : [{ name: 'default', url, caFile: undefined, serverName: undefined }]),
    ...(await entries)
  ]
  const ofEach = async (look: (target: Target) => Promise<Finding>) => {
    const all = await targets()
    return all.length === 0 ? [skip('UPSTREAM_URL is not set')] : Promise.all(all.map(look))
  }
  return [
    {
      name: 'upstream',
      run: async signal => {
        const reached = await ofEach(target => reach(target, signal))
        const exposed =
          url === undefined || podIp === undefined ? [] : [await judgeExposure(settings, signal)]
        return [...reached, ...exposed]
      }
    },
    {
      name: 'upstream idle',
      deadlineMs: keepAliveMs + WATCH_EXTRA_MS + SETTLE_MS,
      run: async signal =>
        keepAliveMs === 0
          ? [ok('no idle connections are kept')]
          : ofEach(async target => {
              const idle = await watchIdle(target, keepAliveMs, signal).catch(() => undefined)
              return idle ? judgeIdle(target, idle, keepAliveMs) : skip(`${target.name}: no answer`)
            })
    }
  ]
}

async function open({ url, caFile, serverName }: Target, signal: AbortSignal): Promise<Socket> {
  const parsed = url.startsWith('unix:') ? undefined : new URL(url)
  const isTls = parsed?.protocol === 'https:'
  const where = parsed
    ? { host: bare(parsed.hostname), port: Number(parsed.port || (isTls ? 443 : 80)) }
    : { path: url.slice('unix:'.length) }
  const host = serverName ?? bare(parsed?.hostname ?? '')
  const socket = isTls
    ? connectTls({
        ...where,
        ...(caFile === undefined ? {} : { ca: readFileSync(caFile) }),
        ...(isIP(host) === 0 ? { servername: host } : {})
      })
    : connectTcp(where)
  signal.addEventListener('abort', () => socket.destroy())
  try {
    await once(socket, isTls ? 'secureConnect' : 'connect', { signal })
  } catch (thrown) {
    socket.destroy()
    throw thrown
  }
  socket.on('error', () => undefined)
  return socket
}

/** Brackets belong to URLs. */
function bare(host: string): string {
  return host.replace(/^\[(.*)\]$/, '$1')
}

async function reach(target: Target, signal: AbortSignal): Promise<Finding> {
  try {
    const startedMs = performance.now()
    const socket = await open(target, signal)
    const tookMs = Math.round(performance.now() - startedMs)
    socket.destroy()
    return ok(`${target.name}: connected in ${tookMs} ms`)
  } catch (thrown) {
    const reason = signal.aborted ? 'no connection in time' : reasonOf(thrown)
    const isCertificate = /certificat|altname|self.signed/i.test(reason)
    return isCertificate
      ? fail(`${target.name}: its certificate is not accepted: ${reason}`)
      : unreachable(`${target.name}: ${reason}`)
  }
}

interface Idle {
  /** Undefined: it was still open when we stopped looking. */
  readonly closedAfterMs: number | undefined
  /** What its answer asks clients to keep to, in ms. */
  readonly hintMs: number | undefined
  /** It closes after each answer, and says so. */
  readonly isClosing: boolean
}

/** One answered request, then silence. HEAD of / asks for nothing that could change anything. */
async function watchIdle(target: Target, keepAliveMs: number, signal: AbortSignal): Promise<Idle> {
  const socket = await open(target, signal)
  let timer: NodeJS.Timeout | undefined
  try {
    const host = target.url.startsWith('unix:') ? 'localhost' : new URL(target.url).host
    socket.write(`HEAD / HTTP/1.1\r\nHost: ${host}\r\nUser-Agent: tollgate-doctor\r\n\r\n`)
    const head = await readHead(socket, signal)
    const hint = /^keep-alive:.*\btimeout=(\d+)/im.exec(head)?.[1]
    const answeredMs = performance.now()
    const closed = once(socket, 'close').then(() => performance.now() - answeredMs)
    const watched = Promise.withResolvers<undefined>()
    timer = setTimeout(() => watched.resolve(undefined), keepAliveMs + WATCH_EXTRA_MS)
    socket.resume()
    return {
      closedAfterMs: await Promise.race([closed, watched.promise]),
      hintMs: hint === undefined ? undefined : Number(hint) * 1000,
      isClosing: /^connection:.*\bclose\b/im.test(head) || head.startsWith('HTTP/1.0')
    }
  } finally {
    clearTimeout(timer)
    socket.destroy()
  }
}

async function readHead(socket: Socket, signal: AbortSignal): Promise<string> {
  let text = ''
  while (!text.includes('\r\n\r\n')) {
    const [chunk]: unknown[] = await once(socket, 'data', { signal })
    text += String(chunk)
    if (text.length > 65_536) throw new Error('no HTTP')
  }
  if (!text.startsWith('HTTP/1.')) throw new Error('no HTTP/1.1')
  return text
}

function judgeIdle({ name }: Target, idle: Idle, keepAliveMs: number): Finding {
  const { closedAfterMs, hintMs, isClosing } = idle
  if (isClosing) return ok(`${name}: closes after each answer, and says so`)
  if (closedAfterMs === undefined || closedAfterMs >= keepAliveMs) {
    return ok(`${name}: keeps idle connections for longer than ${keepAliveMs} ms`)
  }
  const seconds = (closedAfterMs / 1000).toFixed(1)
  // The gate obeys the hint, a second early.
  if (hintMs !== undefined && hintMs - 1000 < closedAfterMs) {
    return ok(`${name}: closes idle connections after ${seconds} s, and says so`)
  }
  return warn(
    `${name}: closes idle connections after ${seconds} s, before the gate does (${keepAliveMs} ms): requests may meet a closed one. Set UPSTREAM_KEEPALIVE_MS below it, or raise it there`
  )
}

async function judgeExposure(
  { url = '', podIp = '', exposure }: UpstreamSettings,
  signal: AbortSignal
): Promise<Finding> {
  if (!URL.canParse(url) || url.startsWith('unix:')) return ok('a socket has no address to expose')
  const { port, protocol } = new URL(url)
  const at = { host: podIp, port: Number(port || (protocol === 'https:' ? 443 : 80)) }
  const isOpen = await canConnect(at, signal)
  if (!isOpen) return ok(`not reachable on POD_IP ${podIp}`)
  const message = `it answers on POD_IP ${podIp}, past the gate: bind it to loopback`
  return exposure === 'refuse' ? fail(message) : warn(message)
}

/** Whether anybody accepts a connection there within the time. */
export async function canConnect(
  at: { readonly host: string; readonly port: number },
  signal: AbortSignal
): Promise<boolean> {
  const socket = connectTcp(at)
  try {
    await once(socket, 'connect', { signal: AbortSignal.any([signal, AbortSignal.timeout(2500)]) })
    return true
  } catch {
    return false
  } finally {
    socket.on('error', () => undefined)
    socket.destroy()
  }
}
