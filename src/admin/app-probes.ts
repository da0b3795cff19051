/**
 * Probes of the application, asked on its behalf: kubelet cannot reach an application that listens
 * on loopback alone. Only addresses that were configured are dialled, by name, never by a path that
 * a caller gives.
 */
import { get } from 'node:http'

/** Kubelet's own default is 1 s: an answer that comes later is of no use to it. */
const DEADLINE_MS = 1000

/** The status the application answers; 504 where it is silent, 502 where it cannot be reached. */
export function askApp(url: string): Promise<number> {
  return new Promise(resolve => {
    const signal = AbortSignal.timeout(DEADLINE_MS)
    // No agent: a probe that finds an old connection says nothing about new ones.
    const request = get(url, { agent: false, signal }, response => {
      resolve(response.statusCode ?? 502)
      request.destroy()
    })
    request.on('error', () => resolve(signal.aborted ? 504 : 502))
  })
}
