/**
 * TRUSTED_PROXIES: addresses and CIDR ranges whose word about the client counts.
 * Source: RFC 4632 section 3.1, RFC 4291 section 2.5.5.2 (IPv4-mapped addresses).
 */
import { BlockList, isIP } from 'node:net'
import { isAddress, type JsonShape, type Said, type Setting, TEXT, type Wrong } from './kinds.ts'

const MAPPED = '::ffff:0:0'

/** Comma-separated; none where the text is empty. */
export function ranges(said: Said<readonly string[]>): Setting<readonly string[]> {
  const range = 'addresses and CIDR ranges, comma-separated'
  const json: JsonShape = { anyOf: [TEXT, { type: 'array', items: TEXT }] }
  return { ...said, range, shape: 'list', json, isSecret: false, parse }
}

function parse(given: string): readonly string[] | Wrong {
  if (given.trim() === '') return Object.freeze([])
  const entries = given.split(',').map(entry => entry.trim())
  const faults = entries.flatMap((entry, i) => {
    const fault = findFault(entry)
    return fault === undefined ? [] : [`entry ${i + 1} ${fault}`]
  })
  return faults.length === 0
    ? Object.freeze(entries)
    : { wrong: `is refused: ${faults.join('; ')}` }
}

/**
 * `/0` would trust everybody, and an IPv4-mapped range means other IPv4 addresses than it seems to:
 * `::ffff:10.0.0.0/8` is no part of 10.0.0.0/8.
 */
function findFault(entry: string): string | undefined {
  const [ip = '', bits, ...more] = entry.split('/')
  const widest = isIP(ip) === 4 ? 32 : 128
  const length = bits === undefined ? widest : /^\d{1,3}$/.test(bits) ? Number(bits) : Number.NaN
  if (!isAddress(ip) || more.length > 0 || !(length <= widest)) {
    return 'is no address and no CIDR range'
  }
  if (length === 0) return 'trusts every address'
  const isMapped = isIP(ip) === 6 && sharesMapped(ip, length)
  return isMapped ? 'holds IPv4-mapped addresses: write them as IPv4' : undefined
}

/** Whether an IPv6 range lies within the mapped addresses, or they within it. */
function sharesMapped(ip: string, length: number): boolean {
  const mapped = new BlockList()
  mapped.addSubnet(MAPPED, 96, 'ipv6')
  const given = new BlockList()
  given.addSubnet(ip, length, 'ipv6')
  return mapped.check(ip, 'ipv6') || given.check(MAPPED, 'ipv6')
}
