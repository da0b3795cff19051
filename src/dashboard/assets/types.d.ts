/** What travels between the page's modules, for the type checker alone: it is not served. */

export interface Token {
  readonly id: string
  readonly name: string
  readonly scopes: readonly string[]
  readonly allRepositories: boolean
  readonly repositories: readonly string[]
  readonly preview: string
  readonly requireSignature: boolean
  readonly createdAt: string
  readonly lastUsedAt: string | null
  readonly expiresAt: string | null
  /** Only where inactive ones were asked for. */
  readonly revokedAt?: string | null
}

/** The answer of create and rotate: the token's text stands here and nowhere else. */
export interface NewToken extends Omit<Token, 'preview' | 'lastUsedAt'> {
  readonly token: string
}

/** What can be done with a token of the list. */
export interface Actions {
  readonly rotate: (token: Token) => void
  readonly revoke: (token: Token) => void
}

export interface Receipt {
  readonly replicas: number
  readonly acknowledged: number
  readonly waitedMs: number
}

export interface Refusal {
  readonly message: string
  readonly code: string
  readonly errors: readonly FieldError[]
}

export interface FieldError {
  readonly field: string
  readonly message: string
}

/** `status` 0: there was none. `body` is empty where it was no JSON object. */
export interface Answer<T> {
  readonly status: number
  readonly body: Partial<T & Refusal>
  /** Chosen here, so that it can be told also where nothing came back. */
  readonly requestId: string
  readonly retryAfter: number
}

export interface User {
  readonly name: string
  /** The same for two JWTs of one user. */
  readonly identity: string
  readonly endsMs: number
}
