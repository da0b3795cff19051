/**
 * The kinds of settings: how a text becomes a value, and what is said where it does not.
 *
 * No message repeats the text: it may be a secret, also one that was pasted into the wrong place.
 */
import { isIP } from 'node:net'

/** What is wrong with a text, as the end of a sentence that begins with the setting's name. */
export interface Wrong {
  readonly wrong: string
}

export interface JsonShape {
  readonly type?: 'string' | 'integer' | 'number' | 'boolean' | 'array' | 'object'
  readonly minimum?: number
  readonly maximum?: number
  readonly enum?: readonly (string | number)[]
  readonly items?: JsonShape
  readonly additionalProperties?: JsonShape
  readonly anyOf?: readonly JsonShape[]
}

export interface Setting<T> {
  /** What values there are, for people: `200 to 60000`. */
  readonly range: string
  /** What the settings file may hold besides one text. */
  readonly shape?: 'list' | 'map'
  /** What YAML may hold for it, as JSON Schema, for files that are checked before the gate reads them. */
  readonly json: JsonShape
  readonly unit?: 'ms' | 'bytes' | 'days' | 'entries' | 'requests'
  /** What it applies to where it is not given. */
  readonly default: T
  /** Read from a file as well, by the name with `_FILE` behind it; never printed. */
  readonly isSecret: boolean
  /** What it does. */
  readonly about: string
  /** Why this default, and why this range. */
  readonly why: string
  readonly parse: (text: string) => T | Wrong
}

/** What a setting says of itself; `default` comes with the kind. */
export type Said<T> = Pick<Setting<T>, 'default' | 'about' | 'why'> &
  Partial<Pick<Setting<T>, 'unit'>>

export function isWrong(value: unknown): value is Wrong {
  return typeof value === 'object' && value !== null && 'wrong' in value
}

/**
 * `min` to `max`, and 0 besides where `hasZero` is set. Decimal digits alone: `1e3`, `0x10` and
 * ` 5` are refused.
 */
export function integer(
  said: Said<number> & { min: number; max: number; hasZero?: boolean }
): Setting<number> {
  const { min, max, hasZero = false, ...rest } = said
  const range = `${hasZero ? '0 or ' : ''}${min} to ${max}`
  const parse = (given: string) => {
    const value = /^\d{1,15}$/.test(given) ? Number(given) : Number.NaN
    const isIn = (value >= min && value <= max) || (hasZero && value === 0)
    return isIn ? value : { wrong: `must be a whole number: ${range}` }
  }
  const within: JsonShape = { type: 'integer', minimum: min, maximum: max }
  const json: JsonShape = hasZero ? { anyOf: [{ enum: [0] }, within] } : within
  return { ...rest, range, json, isSecret: false, parse }
}

/** A decimal number from 0 to 1. */
export function fraction(said: Said<number>): Setting<number> {
  const json: JsonShape = { type: 'number', minimum: 0, maximum: 1 }
  return { ...said, range: '0 to 1', json, isSecret: false, parse: parseFraction }
}

function parseFraction(given: string): number | Wrong {
  const isFraction = /^(?:0|1|0?\.\d{1,9}|1\.0+)$/.test(given)
  return isFraction ? Number(given) : { wrong: 'must be a number from 0 to 1' }
}

export function choice<const T extends string>(said: Said<T> & { of: readonly T[] }): Setting<T> {
  const { of, ...rest } = said
  const parse = (given: string) =>
    of.find(value => value === given) ?? { wrong: `must be one of ${of.join(', ')}` }
  return { ...rest, range: of.join(', '), json: { enum: of }, isSecret: false, parse }
}

export function flag(said: Said<boolean>): Setting<boolean> {
  const json: JsonShape = { type: 'boolean' }
  return { ...said, range: 'true, false', json, isSecret: false, parse: parseFlag }
}

function parseFlag(given: string): boolean | Wrong {
  if (given === 'true') return true
  return given === 'false' ? false : { wrong: 'must be true or false' }
}

export const TEXT: JsonShape = { type: 'string' }

/** One line of printable text. */
export function line<T extends string | undefined>(
  said: Said<T> & { pattern?: RegExp; range: string }
): Setting<T | string> {
  const { pattern = /^[^\p{C}]{1,1024}$/u, range, ...rest } = said
  const parse = (given: string) => (pattern.test(given) ? given : { wrong: `must be ${range}` })
  return { ...rest, range, json: TEXT, isSecret: false, parse }
}

/** A listening address: an IP address or a host name. */
export function host(said: Said<string>): Setting<string> {
  const range = 'an IP address or a host name'
  const parse = (given: string) =>
    isAddress(given) || /^[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?$/i.test(given)
      ? given
      : { wrong: `must be ${range}` }
  return { ...said, range, json: TEXT, isSecret: false, parse }
}

export function address(said: Said<string | undefined>): Setting<string | undefined> {
  const range = 'an IP address'
  const parse = (given: string) => (isAddress(given) ? given : { wrong: `must be ${range}` })
  return { ...said, range, json: TEXT, isSecret: false, parse }
}

/** An address without a zone: a zone means something on one machine only. */
export function isAddress(given: string): boolean {
  return isIP(given) !== 0 && !given.includes('%')
}

/** The key of an HMAC. */
export function key(
  said: Said<string | undefined> & { minBytes: number }
): Setting<string | undefined> {
  const { minBytes, ...rest } = said
  const range = `${minBytes} bytes or more`
  const parse = (given: string) =>
    Buffer.byteLength(given) >= minBytes ? given : { wrong: `must have ${range}` }
  return { ...rest, range, json: TEXT, isSecret: true, parse }
}
