/**
 * The shape of the route file, once: the types, the checks and the JSON Schema come from here.
 *
 * Each `description` completes the sentence `"key" must be …`, for editors and for findings alike.
 * What a shape cannot say (a scope that nobody declares, two equal rules) is in compile.ts.
 */
import { type Static, Type } from 'typebox'

const SCOPE = '[a-z][a-z0-9-]*(?::[a-z][a-z0-9-]*)+'
const SCOPE_MAX = 64
const PARAM = '[A-Za-z][A-Za-z0-9_]{0,31}'
/** Of a query parameter or a member of the body; no brackets and dots, which servers read as paths. */
const MEMBER = '[A-Za-z_][A-Za-z0-9_-]{0,63}'
const CLOSED = { additionalProperties: false } as const

export const Word = Type.Enum(['public', 'deny', 'jwt', 'any-token'], {
  description: 'public, deny, jwt or any-token'
})

export const ScopeName = Type.String({
  pattern: `^${SCOPE}$`,
  maxLength: SCOPE_MAX,
  description: 'a scope such as scans:read, at most 64 characters of a-z, 0-9, - and :'
})

export const ScopeList = Type.Array(ScopeName, {
  minItems: 1,
  uniqueItems: true,
  description: 'a list of one scope or more, each once'
})

export const AnyOf = Type.Object(
  { any: ScopeList },
  { ...CLOSED, description: '{ any: [scopes] }' }
)

export const Condition = Type.Union([Word, ScopeName, ScopeList, AnyOf], {
  description: 'public, deny, jwt, any-token, a scope, a list of scopes or { any: [scopes] }'
})

export const BindingText = Type.String({
  pattern: `^(?:\\{${PARAM}\\}|query\\.${MEMBER}|body\\.${MEMBER}(?:\\[\\])?|upstream|none)$`,
  description: '"{param}" in quotes, query.NAME, body.NAME, body.NAME[], upstream or none'
})

const Mode = Type.Enum(['enforce', 'report'], {
  description: 'enforce or report; report lets through what the rule would refuse, and says so'
})

const TimeoutMs = Type.Integer({
  minimum: 100,
  maximum: 3_600_000,
  description: "a whole number of ms until the upstream's answer begins, 100 to 3600000"
})

export const RuleObject = Type.Object(
  {
    scope: Condition,
    repo: Type.Optional(
      Type.Union([BindingText, Type.Array(BindingText, { minItems: 1, uniqueItems: true })], {
        description:
          'where the request names repositories: "{param}" in quotes, query.NAME, body.NAME, body.NAME[], upstream, a list of these, or none'
      })
    ),
    signature: Type.Optional(
      Type.Enum(['optional', 'required'], {
        description: 'optional or required; required refuses unsigned requests with a ci_ token'
      })
    ),
    mode: Type.Optional(Mode),
    upstream: Type.Optional(Type.String({ description: 'default or a name under upstreams' })),
    timeoutMs: Type.Optional(TimeoutMs),
    upgrade: Type.Optional(
      Type.Enum(['websocket'], { description: 'websocket: a permitted handshake becomes a tunnel' })
    ),
    why: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 200,
        description: 'text for people, 1 to 200 characters'
      })
    )
  },
  { ...CLOSED, description: 'a map with the key scope' }
)

export const ScopeObject = Type.Object(
  {
    title: Type.String({ minLength: 1, maxLength: 100, description: 'text, 1 to 100 characters' }),
    about: Type.Optional(
      Type.String({ maxLength: 500, description: 'text, up to 500 characters' })
    ),
    risk: Type.Optional(
      Type.Enum(['low', 'medium', 'high'], { description: 'low, medium or high' })
    ),
    default: Type.Optional(
      Type.Boolean({
        description: 'true or false; true: granted where a token is made without scopes'
      })
    ),
    implies: Type.Optional(ScopeList)
  },
  { ...CLOSED, description: 'a map with the key title' }
)

export const UpstreamObject = Type.Object(
  {
    url: Type.String({
      pattern: '^(?:https?://[^/?#@\\\\\\s]+/?|unix:/[^?#\\s]+)$',
      description:
        'http://host:port, https://host:port or unix:/path.sock, without user, path, query and fragment'
    }),
    timeoutMs: Type.Optional(TimeoutMs),
    caFile: Type.Optional(Type.String({ minLength: 1, description: 'the path of a PEM file' })),
    serverName: Type.Optional(
      Type.String({ pattern: '^[A-Za-z0-9.-]{1,253}$', description: 'the name on the certificate' })
    )
  },
  { ...CLOSED, description: 'a map with the key url' }
)

/** What a test can expect: the codes that the gate decides without network, database and clock. */
export const TEST_CODES = {
  MALFORMED_REQUEST: 400,
  INVALID_SIGNATURE: 401,
  ROUTE_DENIED: 403,
  JWT_REQUIRED: 403,
  INSUFFICIENT_SCOPE: 403,
  REPOSITORY_DENIED: 403
} as const satisfies Record<string, number>

const EXPECTED = Object.entries(TEST_CODES).map(([code, status]) => `${status} ${code}`)

export const TestObject = Type.Object(
  {
    request: Type.String({
      pattern: '^[A-Z]+ \\S+$',
      description: 'a method, one space and a target, as in GET /api/scans?page=2'
    }),
    as: Type.Optional(
      Type.Union(
        [
          Type.Enum(['none', 'jwt']),
          Type.Object(
            {
              scopes: Type.Array(ScopeName, { uniqueItems: true }),
              repositories: Type.Optional(Type.Array(Type.String({ minLength: 1 }))),
              signed: Type.Optional(Type.Boolean())
            },
            CLOSED
          )
        ],
        { description: 'none, jwt or { scopes: [...], repositories: [...], signed: true }' }
      )
    ),
    body: Type.Optional(Type.Unknown({ description: 'anything; sent as JSON' })),
    expect: Type.Union(
      [
        Type.Integer({ minimum: 400, maximum: 599 }),
        Type.String({ pattern: `^(?:allow|(?:report )?(?:[45][0-9][0-9]|${EXPECTED.join('|')}))$` })
      ],
      {
        description: `allow, a status, or a status and its code (${EXPECTED.join(', ')}), "report " before it for rules in report mode`
      }
    ),
    upstream: Type.Optional(Type.String({ description: 'the upstream that must be chosen' })),
    note: Type.Optional(Type.String({ description: 'text for people' }))
  },
  { ...CLOSED, description: 'a map with the keys request and expect' }
)

export const FileName = Type.String({
  pattern: '^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$',
  description: 'a plain file name, without a directory'
})

export const UpstreamName = Type.String({
  pattern: '^[a-z][a-z0-9-]{0,62}$',
  description: 'a letter, then up to 62 of a-z, 0-9 and -'
})

/** Keys are checked by the grammar of route-pattern.ts; here just enough for an editor. */
const ROUTE_KEY = Type.String({ pattern: '^(?:\\*|[A-Z]+(?:,[A-Z]+)*) /\\S*$' })

const SHARED = {
  upstreams: Type.Optional(
    Type.Record(UpstreamName, UpstreamObject, {
      ...CLOSED,
      description: 'a map of upstreams by name'
    })
  ),
  tests: Type.Optional(Type.Array(TestObject, { description: 'a list of tests' }))
}
const Scopes = Type.Record(ScopeName, ScopeObject, {
  ...CLOSED,
  maxProperties: 1000,
  description: 'a map of at most 1000 scopes by name'
})
const Routes = Type.Record(ROUTE_KEY, Type.Union([Condition, RuleObject]), {
  ...CLOSED,
  description: 'a map of rules by METHOD /path'
})

export const RouteFile = Type.Object(
  {
    version: Type.Literal(1, { description: '1' }),
    mode: Type.Optional(Mode),
    options: Type.Optional(
      Type.Enum(['deny', 'upstream'], {
        description: 'deny or upstream: what happens to OPTIONS requests without a rule'
      })
    ),
    timeoutMs: Type.Optional(TimeoutMs),
    include: Type.Optional(
      Type.Array(FileName, {
        uniqueItems: true,
        description: 'a list of plain file names in the same directory, each once'
      })
    ),
    scopes: Scopes,
    routes: Routes,
    ...SHARED
  },
  { ...CLOSED, description: 'a map with the keys version, scopes and routes' }
)

/** What an included file may hold. */
export const Fragment = Type.Object(
  { scopes: Type.Optional(Scopes), routes: Type.Optional(Routes), ...SHARED },
  { ...CLOSED, description: 'a map; an included file holds upstreams, scopes, routes and tests' }
)

export type Condition = Static<typeof Condition>
export type RuleObject = Static<typeof RuleObject>
export type ScopeObject = Static<typeof ScopeObject>
export type TestObject = Static<typeof TestObject>

/** JSON Schema draft 7, which the YAML servers of editors read; pretty-printed, with a last newline. */
export function jsonSchemaText(): string {
  const schema = {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'Tollgate route file',
    ...RouteFile
  }
  return `${JSON.stringify(schema, null, 2)}\n`
}
