/**
 * Can the upstream be reached past the gate? A service that listens on all addresses of its pod answers
 * whoever dials the pod, with whatever identity they claim. As soon as it answers on loopback the pod's
 * own address is dialled too, and again from time to time: a service may come back with another
 * setting.
 */
import { connect, isIP } from 'node:net'
import type { Observer } from '../core/observer.ts'
import type { Log } from '../core/ports.ts'

export interface ExposureOptions {
  /** `http://127.0.0.1:3000`. Another host or a socket is not looked at. */
  readonly upstreamUrl: string
  /** The pod's address; undefined: nothing is looked at. */
  readonly podIp: string | undefined
  /** Until the upstream answers, in ms. */
  readonly retryMs: number
  /** From then on, in ms. */
  readonly intervalMs: number
  readonly observer: Observer
  readonly log: Log
}

export interface Exposure {
  /** By the last look; false before the first. */
  isExposed(): boolean
  stop(): void
}

/** A pod's own address is a hop away inside the kernel. */
const DIAL_TIMEOUT_MS = 1000

/** Undefined: there is nothing to look at. */
export function watchExposure(options: ExposureOptions): Exposure | undefined {
  const { podIp, retryMs, intervalMs, observer, log } = options
  const upstream = loopbackOf(options.upstreamUrl)
  if (podIp === undefined || upstream === undefined) return undefined
  const { host, port } = upstream
  let isExposed = false
  let hasAnswered = false
  let isStopped = false
  let timer: NodeJS.Timeout | undefined
  const look = async () => {
    hasAnswered ||= await answers(host, port)
    if (hasAnswered && !isStopped) tell(await answers(podIp, port))
    if (!isStopped)
      timer = setTimeout(() => void look(), hasAnswered ? intervalMs : retryMs).unref()
  }
  const tell = (isOpen: boolean) => {
    observer.gauge('upstream_exposed', isOpen ? 1 : 0)
    if (isOpen && !isExposed) {
      log.error('the upstream answers past the gate: let it listen on 127.0.0.1 alone', { port })
    }
    if (!isOpen && isExposed) log.info('the upstream does not answer past the gate any more')
    isExposed = isOpen
  }
  void look()
  return {
    isExposed: () => isExposed,
    stop() {
      isStopped = true
      clearTimeout(timer)
    }
  }
}

function loopbackOf(url: string): { readonly host: string; readonly port: number } | undefined {
  const parsed = URL.parse(url)
  if (!parsed || !/^https?:$/.test(parsed.protocol)) return undefined
  const host = parsed.hostname.replace(/^\[(.*)\]$/, '$1')
  const isLoopback =
    host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))
  const usual = parsed.protocol === 'https:' ? 443 : 80
  return isLoopback ? { host, port: Number(parsed.port) || usual } : undefined
}

/** Whether a connection opens; nothing is sent over it. */
function answers(host: string, port: number): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect({ host, port, timeout: DIAL_TIMEOUT_MS })
    const end = (isOpen: boolean) => {
      socket.destroy()
      resolve(isOpen)
    }
    socket.once('connect', () => end(true))
    socket.once('timeout', () => end(false))
    socket.once('error', () => end(false))
  })
}
