/**
 * The text of a `ci_` token: `ci_`, 30 random base62 characters, 6 base62 characters of CRC-32 over
 * the 33 before them (digits `0-9A-Za-z`, most significant first, filled up with `0`). The checksum
 * spares a query for every mistyped or invented text; it proves nothing.
 */
import { hash } from 'node:crypto'
import { crc32 } from 'node:zlib'

declare const digested: unique symbol
/** base64url of SHA-256(token), 43 characters: what the cache and the database know a token by. */
export type TokenDigest = string & { readonly [digested]: true }

const DIGITS = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const SHAPE = /^ci_[0-9A-Za-z]{36}$/
const RANDOM_CHARS = 30
const CHECKSUM_CHARS = 6
/** Bytes from here on would make some digits likelier than others: 256 is no multiple of 62. */
const REJECT_FROM = 248

/** Whether a bearer credential claims to be a token of ours, well-formed or not. */
export function isTokenLike(credential: string): boolean {
  return credential.startsWith('ci_')
}

export function isWellFormedToken(text: string): boolean {
  return SHAPE.test(text) && text.endsWith(checksum(text.slice(0, -CHECKSUM_CHARS)))
}

/**
 * `randomBytes(n)` gives n bytes from a cryptographic source; it is asked again for the bytes that
 * are rejected to keep every digit equally likely.
 */
export function makeToken(randomBytes: (n: number) => Uint8Array): string {
  let text = 'ci_'
  while (text.length < 3 + RANDOM_CHARS) {
    for (const byte of randomBytes(RANDOM_CHARS)) {
      if (byte < REJECT_FROM && text.length < 3 + RANDOM_CHARS) text += DIGITS.charAt(byte % 62)
    }
  }
  return text + checksum(text)
}

export function digestToken(token: string): TokenDigest {
  return brand(hash('sha256', token, 'base64url'))
}

/** `ci_AbCd…wXyZ`: enough to recognise a token, eight of its 36 characters. */
export function previewToken(token: string): string {
  return `${token.slice(0, 7)}…${token.slice(-4)}`
}

/** The digest as the database keeps it, 32 bytes. */
export function digestBytes(digest: TokenDigest): Buffer {
  return Buffer.from(digest, 'base64url')
}

export function digestFromBytes(bytes: Uint8Array): TokenDigest {
  return brand(Buffer.from(bytes).toString('base64url'))
}

function isDigest(text: string): text is TokenDigest {
  return text.length === 43
}

function brand(text: string): TokenDigest {
  if (!isDigest(text)) throw new TypeError('not a SHA-256 digest')
  return text
}

function checksum(text: string): string {
  let rest = crc32(text)
  let digits = ''
  for (let i = 0; i < CHECKSUM_CHARS; i++) {
    digits = DIGITS.charAt(rest % 62) + digits
    rest = Math.floor(rest / 62)
  }
  return digits
}
