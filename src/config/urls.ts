/**
 * Settings that are URLs. Nothing is repaired: what is not of the documented form is refused.
 * Source: RFC 3986 section 3.
 */
import { isIP } from 'node:net'
import { type JsonShape, type Said, type Setting, TEXT } from './kinds.ts'

/** The path of a liveness, readiness or startup probe that was moved to the admin port. */
const PROBE_NAME = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\/(?:liveness|readiness|startup)$/
const MOST_PROBES = 16

/** Where plain requests go: an origin or a socket's path, and nothing that would change a target. */
export function upstream(said: Said<string | undefined>): Setting<string | undefined> {
  const range = 'http://host:port, https://host:port or unix:/path.sock'
  const wrong = { wrong: `must be ${range}, without user, path, query or fragment` }
  const parse = (given: string) => {
    if (/^unix:\/[^\p{C}?#]+$/u.test(given)) return given
    const parsed = /^https?:\/\/[^/?#@\\\s]+\/?$/.test(given) ? URL.parse(given) : null
    return parsed ? parsed.origin : wrong
  }
  return { ...said, range, json: TEXT, isSecret: false, parse }
}

/** A URL of one of these schemes. `isSecret`: it may hold a password. */
export function url(
  said: Said<string | undefined> & { schemes: readonly string[]; isSecret: boolean }
): Setting<string | undefined> {
  const { schemes, ...rest } = said
  const range = schemes.map(scheme => `${scheme}://…`).join(' or ')
  const parse = (given: string) =>
    schemes.some(scheme => given.startsWith(`${scheme}://`)) && !/[\p{C}\s]/u.test(given)
      ? given
      : { wrong: `must be ${range}` }
  return { ...rest, range, json: TEXT, parse }
}

/** JSON: the name of a probe, `container/readiness`, to the loopback URL that is asked for it. */
export function probes(
  said: Said<Readonly<Record<string, string>>>
): Setting<Readonly<Record<string, string>>> {
  const range = `JSON: container/readiness (or liveness, startup) to loopback URL, ${MOST_PROBES} at most`
  const wrong = { wrong: `must be ${range}` }
  const parse = (given: string) => {
    const entries = readObject(given)
    if (!entries || entries.length > MOST_PROBES) return wrong
    const targets: Record<string, string> = {}
    for (const [name, target] of entries) {
      if (!PROBE_NAME.test(name) || !isLoopbackUrl(target)) return wrong
      targets[name] = target
    }
    return Object.freeze(targets)
  }
  const json: JsonShape = { anyOf: [TEXT, { type: 'object', additionalProperties: TEXT }] }
  return { ...said, range, shape: 'map', json, isSecret: false, parse }
}

function readObject(json: string): readonly (readonly [string, unknown])[] | undefined {
  try {
    const value: unknown = JSON.parse(json)
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
    return isObject ? Object.entries(value) : undefined
  } catch {
    return undefined
  }
}

/** Never another host: the admin port would become a way into the network. */
function isLoopbackUrl(target: unknown): target is string {
  const parsed = typeof target === 'string' ? URL.parse(target) : null
  if (parsed?.protocol !== 'http:' || parsed.username !== '' || parsed.hash !== '') return false
  const { hostname } = parsed
  return hostname === '[::1]' || (isIP(hostname) === 4 && hostname.startsWith('127.'))
}
