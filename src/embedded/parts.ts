/** Opens what steps in where nothing is configured, and says where it ended up. */
import type { PoolConfig } from 'pg'
import type { Settings } from '../config/schema.ts'
import { openJwtSecret } from './jwt-secret.ts'
import { openEmbeddedPostgres } from './postgres.ts'
import { startDemoUpstream } from './upstream.ts'

export interface Parts extends AsyncDisposable {
  /** How to reach Postgres, the configured one or our own. */
  readonly connection: Pick<PoolConfig, 'connectionString' | 'stream' | 'user' | 'database'>
  readonly isDatabaseOwn: boolean
  /** Our own, and nothing was kept there before. */
  readonly isDatabaseNew: boolean
  readonly isDatabaseKept: boolean
  readonly upstreamUrl: string
  /** HS256 key of user JWTs; empty where a key set is configured instead. */
  readonly jwtSecret: string
  /** The secret is generated, so there is a demo user. */
  readonly hasDemoUser: boolean
  readonly isSecretKept: boolean
}

export interface PartsOptions {
  readonly settings: Settings
  readonly folder: string
}

/** Throws EmbeddedInUse. */
export async function openParts({ settings, folder }: PartsOptions): Promise<Parts> {
  await using stack = new AsyncDisposableStack()
  const { DATABASE_URL, UPSTREAM_URL, JWT_SECRET, JWT_JWKS_URL } = settings
  const postgres =
    DATABASE_URL === undefined ? stack.use(await openEmbeddedPostgres(folder)) : undefined
  const upstream = UPSTREAM_URL === undefined ? await startDemoUpstream() : undefined
  if (upstream) stack.defer(() => upstream.close())
  const hasDemoUser = JWT_SECRET === undefined && JWT_JWKS_URL === undefined
  const generated = hasDemoUser ? openJwtSecret({ folder }) : undefined
  const opened = stack.move()
  return {
    connection: postgres?.connection ?? { connectionString: DATABASE_URL },
    isDatabaseOwn: postgres !== undefined,
    isDatabaseNew: postgres?.isNew ?? false,
    isDatabaseKept: postgres?.isKept ?? false,
    upstreamUrl: UPSTREAM_URL ?? upstream?.url ?? '',
    jwtSecret: JWT_SECRET ?? generated?.secret ?? '',
    hasDemoUser,
    isSecretKept: generated?.isKept ?? false,
    [Symbol.asyncDispose]: () => opened.disposeAsync()
  }
}
