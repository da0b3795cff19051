/**
 * The claims of a user JWT whose signature has been checked: who it is, from whom, for whom, and for
 * how long. An expiry is required, and everything configured must be there exactly.
 *
 * The user's and organisation's ids go upstream in header lines and comma-separated lists, so their
 * alphabet is narrow and blanks at their ends, which header parsers cut off, are refused.
 * Source: RFC 7519 section 4.1, RFC 8725 sections 3.8 and 3.9.
 */
import { isRefusedByTime } from '../core/instant.ts'
import type { Clock } from '../core/ports.ts'
import type { User } from '../core/principal.ts'

export interface ClaimRules {
  /** Undefined: not checked. */
  readonly issuer: string | undefined
  readonly audience: string | undefined
  /** Names of the claims that hold the user's and the organisation's id. */
  readonly userClaim: string
  readonly orgClaim: string
}

type Claims = ReadonlyMap<string, unknown>

/** Throws Fault CLOCK_UNSYNCHRONISED where only one of two differing clocks refuses. */
export function readUser(claims: Claims, rules: ClaimRules, clock: Clock): User | 'invalid' {
  if (rules.issuer !== undefined && claims.get('iss') !== rules.issuer) return 'invalid'
  if (rules.audience !== undefined && !isFor(claims.get('aud'), rules.audience)) return 'invalid'
  const userId = claims.get(rules.userClaim)
  // Some issuers write null where there is no organisation.
  const orgId = claims.get(rules.orgClaim) ?? null
  if (!isId(userId) || !(orgId === null || isId(orgId))) return 'invalid'
  const times = readTimes(claims)
  if (!times || isRefusedByTime(clock, nowMs => !isWithin(times, nowMs))) return 'invalid'
  return { userId, orgId, expiresAtMs: times.expiresAtMs }
}

const ID = /^(?! )[\x20-\x2b\x2d-\x7e]{1,128}(?<! )$/

function isId(value: unknown): value is string {
  return typeof value === 'string' && ID.test(value)
}

function isFor(audience: unknown, expected: string): boolean {
  return Array.isArray(audience) ? audience.includes(expected) : audience === expected
}

interface Times {
  readonly expiresAtMs: number
  readonly notBeforeMs: number
  readonly issuedAtMs: number
}

/** Undefined: one is no number, or there is no expiry. */
function readTimes(claims: Claims): Times | undefined {
  const expiresAtMs = instantMs(claims.get('exp'))
  const notBeforeMs = instantMs(claims.get('nbf') ?? 0)
  const issuedAtMs = instantMs(claims.get('iat') ?? 0)
  if (expiresAtMs === undefined || notBeforeMs === undefined || issuedAtMs === undefined) {
    return undefined
  }
  return { expiresAtMs, notBeforeMs, issuedAtMs }
}

function instantMs(seconds: unknown): number | undefined {
  const ms = typeof seconds === 'number' ? seconds * 1000 : NaN
  return Number.isFinite(ms) ? ms : undefined
}

/** A login that was issued this moment by a clock slightly ahead of ours is good. */
const NOT_BEFORE_LEEWAY_MS = 5_000
/** `iat` alone forbids nothing; so far ahead it was made up, or by a clock that nobody set. */
const ISSUED_AHEAD_MS = 300_000

function isWithin({ expiresAtMs, notBeforeMs, issuedAtMs }: Times, nowMs: number): boolean {
  const isCurrent = nowMs < expiresAtMs && nowMs >= notBeforeMs - NOT_BEFORE_LEEWAY_MS
  return isCurrent && nowMs >= issuedAtMs - ISSUED_AHEAD_MS
}
