/**
 * REDIS_URL by REDIS_MODE:
 *
 *   single    redis://[user:password@]host[:6379][/database]
 *   cluster   redis://[user:password@]host[:6379],host[:6379],…
 *   sentinel  redis://[user:password@]sentinel[:26379],…/primary-name[?db=N]
 *             [&sentinelUsername=…][&sentinelPassword=…]
 *
 * `rediss://` is TLS to every server named and found. User name and password are those of the
 * servers with the data; special characters in them are percent-encoded. IPv6: `[::1]:6379`.
 */

export type RedisMode = 'single' | 'cluster' | 'sentinel'

export interface RedisAddress {
  readonly host: string
  readonly port: number
}

export interface RedisTarget {
  readonly mode: RedisMode
  readonly hasTls: boolean
  /** One in mode `single`; where to begin in the others. */
  readonly addresses: readonly RedisAddress[]
  readonly username: string | undefined
  readonly password: string | undefined
  readonly database: number
  /** What the sentinels call the primary; empty in the other modes. */
  readonly primaryName: string
  readonly sentinelUsername: string | undefined
  readonly sentinelPassword: string | undefined
}

const EXPECTED = {
  single: 'redis://[user:password@]host[:port][/database]',
  cluster: 'redis://[user:password@]host[:port],host[:port],…',
  sentinel: 'redis://[user:password@]sentinel[:port],…/primary-name[?db=0]'
} as const satisfies Record<RedisMode, string>

const URL_PARTS =
  /^(?<scheme>rediss?):\/\/(?:(?<user>[^@/?#]*)@)?(?<hosts>[^@/?#]+)(?:\/(?<path>[^/?#]*))?(?:\?(?<query>[^#]*))?$/
const ADDRESS = /^(?:\[(?<v6>[\da-f:.]+)\]|(?<name>[\w.-]+))(?::(?<port>\d{1,5}))?$/i
const SENTINEL_KEYS: readonly string[] = ['db', 'sentinelUsername', 'sentinelPassword']

/** Throws a RedisUrlError that says what was expected and never repeats the URL: it has a password. */
export function parseRedisUrl(url: string, mode: RedisMode): RedisTarget {
  const parts = URL_PARTS.exec(url)?.groups
  if (!parts) throw unreadable(mode, 'it has another shape')
  const { scheme, user, hosts = '', path = '', query = '' } = parts
  const credentials = parseCredentials(user, mode)
  const addresses = hosts.split(',').map(text => parseAddress(text, mode))
  if (mode === 'single' && addresses.length > 1) throw unreadable(mode, 'it names several hosts')
  const common = { mode, hasTls: scheme === 'rediss', addresses, ...credentials }
  if (mode === 'sentinel') return { ...common, ...parseSentinelParts(path, query) }
  if (query !== '') throw unreadable(mode, 'it has a query')
  const database = parseDatabase(path === '' ? '0' : path, mode)
  if (mode === 'cluster' && database !== 0) throw unreadable(mode, 'a cluster has database 0 alone')
  return {
    ...common,
    database,
    primaryName: '',
    sentinelUsername: undefined,
    sentinelPassword: undefined
  }
}

/** A URL that cannot be meant. The message says what was expected, and nothing of the URL. */
export class RedisUrlError extends RangeError {
  override readonly name = 'RedisUrlError'
}

function unreadable(mode: RedisMode, why: string): RedisUrlError {
  return new RedisUrlError(`expected ${EXPECTED[mode]} or rediss://… (mode ${mode}): ${why}`)
}

function parseCredentials(user: string | undefined, mode: RedisMode) {
  if (user === undefined) return { username: undefined, password: undefined }
  const colon = user.indexOf(':')
  if (colon < 0) throw unreadable(mode, 'before the @ stands no user:password')
  return {
    username: decode(user.slice(0, colon), mode) || undefined,
    password: decode(user.slice(colon + 1), mode) || undefined
  }
}

function parseAddress(text: string, mode: RedisMode): RedisAddress {
  const groups = ADDRESS.exec(text)?.groups
  const host = groups?.['v6'] ?? groups?.['name']
  const port = Number(groups?.['port'] ?? (mode === 'sentinel' ? 26_379 : 6379))
  if (host === undefined || port < 1 || port > 65_535)
    throw unreadable(mode, 'a host or port is bad')
  return { host, port }
}

function parseDatabase(text: string, mode: RedisMode): number {
  if (!/^\d{1,5}$/.test(text)) throw unreadable(mode, 'the database is no number')
  return Number(text)
}

function parseSentinelParts(path: string, query: string) {
  const options = new URLSearchParams(query)
  if ([...options.keys()].some(key => !SENTINEL_KEYS.includes(key))) {
    throw unreadable('sentinel', `of options it knows ${SENTINEL_KEYS.join(', ')}`)
  }
  const primaryName = decode(path, 'sentinel')
  if (primaryName === '') throw unreadable('sentinel', 'the name of the primary is missing')
  return {
    primaryName,
    database: parseDatabase(options.get('db') ?? '0', 'sentinel'),
    sentinelUsername: options.get('sentinelUsername') ?? undefined,
    sentinelPassword: options.get('sentinelPassword') ?? undefined
  }
}

function decode(text: string, mode: RedisMode): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw unreadable(mode, 'a percent-encoding is broken')
  }
}
