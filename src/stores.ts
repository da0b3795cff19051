/**
 * The half of the composition that remembers: Postgres, Redis, the revocation protocol between them,
 * and whoever asks them. Configured or embedded, the same code stands on it.
 */
import { randomBytes, randomUUID } from 'node:crypto'
import type { Settings } from './config/schema.ts'
import type { NonceStore, Nudge, Streams, TokenStore, UserVerifier } from './core/ports.ts'
import { createEmbeddedNonces } from './embedded/nonces.ts'
import { createEmbeddedNudge } from './embedded/nudge.ts'
import type { Parts } from './embedded/parts.ts'
import { createRedis, type RedisClient } from './redis/client.ts'
import { createNonceStore } from './redis/nonces.ts'
import { createNudge } from './redis/nudge.ts'
import { systemClocks, systemSchedule } from './revocation/clocks.ts'
import { createRevocation, type Revocation } from './revocation/revocation.ts'
import { type AuditTrail, createAuditTrail } from './store/audit-trail.ts'
import { type Database, openDatabase } from './store/database.ts'
import { createEpochStore } from './store/epochs.ts'
import { createLastUsed, type LastUsed } from './store/last-used.ts'
import { createNonceHistory } from './store/nonce-history.ts'
import { createTokenStore } from './store/tokens.ts'
import type { Telemetry } from './telemetry/open.ts'
import { createUserVerifier } from './users/jwt.ts'

export interface Stores {
  readonly database: Database
  readonly store: TokenStore
  readonly lastUsed: LastUsed
  readonly audit: AuditTrail
  readonly nonces: NonceStore
  readonly revocation: Revocation
  readonly users: UserVerifier
  /** Undefined: nonces are kept in the process. */
  readonly isNonceStoreUp: (() => boolean) | undefined
}

export interface StoresOptions extends Telemetry {
  readonly settings: Settings
  readonly parts: Parts
  readonly streams: Streams
}

/** Nothing is asked yet. Throws RedisUrlError. */
export function openStores(stack: AsyncDisposableStack, options: StoresOptions): Stores {
  const { settings, parts, streams, log, observer } = options
  const { connection, isDatabaseOwn } = parts
  const database = stack.use(openDatabase({ connection, isEmbedded: isDatabaseOwn, observer }))
  const redis = openRedis(stack, options)
  const nudge: Nudge = redis ? createNudge({ redis, log }) : createEmbeddedNudge({ log })
  const store = createTokenStore(database)
  const revocation = createRevocation({
    epochs: createEpochStore(database),
    store,
    nudge,
    streams,
    clocks: systemClocks(),
    schedule: systemSchedule,
    observer,
    log,
    random: Math.random,
    randomUuid: randomUUID,
    randomBytes,
    cacheMaxTokens: settings.CACHE_MAX_TOKENS
  })
  stack.defer(() => revocation.stop())
  const lastUsed = createLastUsed({ database, observer, log })
  stack.defer(() => lastUsed.stop())
  const audit = createAuditTrail({
    database,
    observer,
    log,
    replicaId: () => revocation.state().id,
    retentionDays: settings.AUDIT_RETENTION_DAYS,
    random: Math.random
  })
  stack.defer(() => audit.stop())
  const { clock } = revocation
  const recoveryMs = settings.NONCE_RECOVERY_MS
  const history = createNonceHistory(database)
  const nonces = redis
    ? createNonceStore({ servers: redis.servers, clock, history, recoveryMs, observer, log })
    : createEmbeddedNonces({ clock, isNew: parts.isDatabaseNew, recoveryMs })
  const users = createUserVerifier({ ...jwtRules(options), clock, observer, log })
  const isNonceStoreUp = redis && (() => redis.servers.isUp())
  return { database, store, lastUsed, audit, nonces, revocation, users, isNonceStoreUp }
}

function openRedis(
  stack: AsyncDisposableStack,
  { settings, log, observer }: StoresOptions
): RedisClient | undefined {
  if (settings.REDIS_URL === undefined) return undefined
  const redis = createRedis({ url: settings.REDIS_URL, mode: settings.REDIS_MODE, log, observer })
  stack.defer(() => redis.close())
  return redis
}

function jwtRules({ settings, parts }: StoresOptions) {
  const { JWT_JWKS_URL, JWT_ISSUER, JWT_AUDIENCE, JWT_USER_CLAIM, JWT_ORG_CLAIM } = settings
  return {
    keys: JWT_JWKS_URL === undefined ? { secret: parts.jwtSecret } : { jwksUrl: JWT_JWKS_URL },
    issuer: JWT_ISSUER,
    audience: JWT_AUDIENCE,
    userClaim: JWT_USER_CLAIM,
    orgClaim: JWT_ORG_CLAIM
  }
}
