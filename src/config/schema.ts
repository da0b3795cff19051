/**
 * Every setting, once: name, unit, range, default and why. The types, the README's table and the
 * chart's schema come from here. A setting is an environment variable, and a key of the same name
 * in the YAML file that TOLLGATE_CONFIG names; the variable wins.
 */
import { choice, host, integer, key, line, type Setting } from './kinds.ts'
import { OPERATION_SETTINGS } from './schema-operations.ts'
import { ranges } from './ranges.ts'
import { upstream, url } from './urls.ts'

const REQUEST_SETTINGS = {
  HOST: host({
    default: '127.0.0.1',
    about: 'address the proxy listens on',
    why: 'nobody else is let in by accident; the image sets 0.0.0.0'
  }),
  PORT: integer({
    min: 0,
    max: 65_535,
    default: 8080,
    about: 'port of the proxy',
    why: '0 takes a free one, for tests'
  }),
  ADMIN_HOST: host({
    default: '127.0.0.1',
    about: 'address of health and metrics',
    why: 'never exposed to clients'
  }),
  ADMIN_PORT: integer({
    min: 0,
    max: 65_535,
    default: 9090,
    about: 'port of health and metrics',
    why: '0 takes a free one, for tests'
  }),
  UPSTREAM_URL: upstream({
    default: undefined,
    about: 'the service behind the gate; certificates are verified',
    why: 'missing: a demo upstream, refused in production'
  }),
  DATABASE_URL: url({
    schemes: ['postgres', 'postgresql'],
    isSecret: true,
    default: undefined,
    about: 'Postgres, the truth about tokens',
    why: 'missing: an embedded one, refused in production'
  }),
  REDIS_URL: url({
    schemes: ['redis', 'rediss'],
    isSecret: true,
    default: undefined,
    about: 'Redis for nonces and fast revocations; cluster and sentinel: comma-separated hosts',
    why: 'missing: kept in the process, refused in production'
  }),
  REDIS_MODE: choice({
    of: ['single', 'cluster', 'sentinel'],
    default: 'single',
    about: 'what REDIS_URL names',
    why: 'one server is the most common'
  }),
  ROUTES_FILE: line({
    range: 'a path',
    default: 'config/routes.yaml',
    about: 'the route file',
    why: 'where the project keeps it'
  }),
  JWT_SECRET: key({
    minBytes: 32,
    default: undefined,
    about: 'HS256 key of user JWTs',
    why: 'as long as the digest (RFC 7518 section 3.2); missing: generated, refused in production'
  }),
  JWT_JWKS_URL: url({
    schemes: ['https', 'http'],
    isSecret: false,
    default: undefined,
    about: 'key set of user JWTs instead of a secret: RS256, ES256, EdDSA',
    why: 'one source of keys: refused together with JWT_SECRET'
  }),
  JWT_ISSUER: line({
    range: 'one line of text',
    default: undefined,
    about: '`iss` that is demanded',
    why: 'not checked where not set'
  }),
  JWT_AUDIENCE: line({
    range: 'one line of text',
    default: undefined,
    about: '`aud` that is demanded',
    why: 'not checked where not set'
  }),
  JWT_USER_CLAIM: line({
    range: 'one line of text',
    default: 'sub',
    about: "claim with the user's id",
    why: 'RFC 7519 section 4.1.2'
  }),
  JWT_ORG_CLAIM: line({
    range: 'one line of text',
    default: 'orgId',
    about: "claim with the organisation's id",
    why: 'what the service issues'
  }),
  CACHE_MAX_TOKENS: integer({
    unit: 'entries',
    min: 1,
    max: 10_000_000,
    default: 10_000,
    about: 'size of the token cache, at most 1 KiB each',
    why: '10 MiB'
  }),
  LEASE_MS: integer({
    unit: 'ms',
    min: 200,
    max: 60_000,
    default: 2000,
    about:
      'how long a replica answers from its cache unheard; first value of the one in the database',
    why: 'a revocation waits this long for a replica that is silent'
  }),
  SIGNATURE_WINDOW_MS: integer({
    unit: 'ms',
    min: 1000,
    max: 300_000,
    default: 300_000,
    about: 'accepted clock difference of signed requests, either way',
    why: 'what published clients rely on; nonces are kept for it'
  }),
  NONCE_RECOVERY_MS: integer({
    unit: 'ms',
    min: 0,
    max: 300_000,
    default: 2000,
    about: 'how far ahead client clocks may be for replays to be seen after Redis forgot',
    why: '300000 is complete, at the price of five minutes of 503'
  }),
  SIGNED_BODY_LIMIT_BYTES: integer({
    unit: 'bytes',
    min: 0,
    max: 33_554_432,
    default: 1_048_576,
    about: 'larger bodies that must be read to decide get 413',
    why: 'they are held in memory, 32 MiB in all'
  }),
  SIGNATURE_QUERY: choice({
    of: ['either', 'required'],
    default: 'either',
    about: 'whether a signature over the path alone will do',
    why: 'published clients sign either'
  }),
  SIGNATURE_BODY: choice({
    of: ['raw-or-canonical', 'raw'],
    default: 'raw-or-canonical',
    about: 'which reading of a JSON body may be signed',
    why: 'published clients sign what JSON.stringify gives'
  }),
  TRUSTED_PROXIES: ranges({
    default: Object.freeze([]),
    about: 'peers whose X-Forwarded-For, -Proto and -Host count',
    why: 'anybody can write these headers; /0 and IPv4-mapped ranges are refused'
  }),
  MAX_IN_FLIGHT: integer({
    unit: 'requests',
    min: 1,
    max: 100_000,
    default: 1024,
    about: 'requests and streams between permit and end; more get 503',
    why: 'each has a connection to the upstream'
  }),
  UPSTREAM_KEEPALIVE_MS: integer({
    unit: 'ms',
    min: 0,
    max: 600_000,
    default: 4000,
    about: 'how long an idle connection to the upstream is kept; 0: not at all',
    why: "below the 5 s of Node's own server, which closes without asking"
  }),
  UPSTREAM_CONNECT_TIMEOUT_MS: integer({
    unit: 'ms',
    min: 1,
    max: 60_000,
    default: 2000,
    about: 'connecting to the upstream, TLS included',
    why: 'well below the 30 s that clients wait'
  }),
  DASHBOARD: choice({
    of: ['on', 'off'],
    default: 'on',
    about: 'the page for people',
    why: 'tokens are made there'
  }),
  DASHBOARD_LOGIN_PATH: line({
    // Browsers read two slashes, and a backslash for one, as another host.
    pattern: /^(?:\/(?![/\\])[!-~]{0,1023})?$/,
    range: 'a path, or empty',
    default: '/api/auth/login',
    about: 'where the page sends the password form; empty: no form',
    why: "the service's own"
  }),
  MIGRATIONS: choice({
    of: ['auto', 'off'],
    default: 'auto',
    about: 'auto: serve migrates the schema; off: it waits for `tollgate migrate`',
    why: 'a fresh clone runs by itself'
  })
} as const satisfies Readonly<Record<string, Setting<unknown>>>

export const SETTINGS = { ...REQUEST_SETTINGS, ...OPERATION_SETTINGS }

export type SettingName = keyof typeof SETTINGS

export type Settings = {
  readonly [Name in SettingName]: (typeof SETTINGS)[Name] extends Setting<infer T> ? T : never
}
