/**
 * The slot of a key in a Redis Cluster: CRC-16 (XMODEM) of the part between the first `{` and the
 * next `}`, or of the whole key, modulo 16 384.
 * Source: Redis cluster specification, "Key distribution model" and "Hash tags".
 */

const SLOTS = 16_384
const POLYNOMIAL = 0x1021

/** `key` is ASCII. */
export function slotOf(key: string): number {
  const open = key.indexOf('{')
  const close = key.indexOf('}', open + 1)
  const hasTag = open >= 0 && close > open + 1
  return crc16(hasTag ? key.slice(open + 1, close) : key) % SLOTS
}

function crc16(text: string): number {
  let crc = 0
  for (let i = 0; i < text.length; i++) {
    crc ^= text.charCodeAt(i) << 8
    for (let bit = 0; bit < 8; bit++) {
      crc = (crc & 0x8000 ? (crc << 1) ^ POLYNOMIAL : crc << 1) & 0xffff
    }
  }
  return crc
}
