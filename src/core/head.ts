/**
 * The request head, read once and strictly, or a denial. What two servers could read in two ways is
 * refused: a deciding header that stands twice, in a spelling that some servers fold into it, or
 * nominated by Connection; framing that is not exactly one of the two forms.
 *
 * Read from the raw list: Node keeps only the first Authorization, joins others, and drops some.
 * Source: RFC 9110 sections 5.3, 7.6.1 and 9.1; RFC 9112 sections 2.3, 3.2 and 6.
 */
import { type Denial, deny } from './decision.ts'
import { type DecidingName, readName } from './header-name.ts'
import { isTokenLike } from './token.ts'

/** What the gate decides by; every member comes from exactly one header line. */
export interface Head {
  readonly method: string
  /** The request target as received. */
  readonly rawTarget: string
  readonly httpVersion: '1.0' | '1.1'
  /** Name and value in turn, as received. */
  readonly rawHeaders: readonly string[]
  readonly host: string
  readonly authorization: string | undefined
  readonly contentType: string | undefined
  readonly contentEncoding: string | undefined
  readonly contentLength: number | undefined
  readonly isChunked: boolean
  /** A client of HTTP/1.0 would not understand the 100, whatever it sent. */
  readonly expectsContinue: boolean
  readonly orgId: string | undefined
  /** Undefined: not sent; empty text: sent empty. */
  readonly signature: string | undefined
  readonly timestamp: string | undefined
  readonly nonce: string | undefined
  readonly signatureVersion: string | undefined
  /** Content-Digest, Repr-Digest, Digest or Content-MD5 is there: the body's bytes are promised. */
  readonly hasBodyDigest: boolean
  /** `Upgrade: websocket` with `Connection: upgrade`. */
  readonly wantsWebSocket: boolean
  /** Lower-case header names that Connection nominates. */
  readonly nominated: readonly string[]
}

export interface RawHead {
  readonly method: string
  readonly rawTarget: string
  readonly httpVersion: string
  readonly rawHeaders: readonly string[]
}

const MOST_LINES = 200

/** 400, 417 or 431 where the head cannot be read in one way. */
export function readHead(raw: RawHead): Head | Denial {
  const { method, rawTarget, httpVersion, rawHeaders } = raw
  if (rawHeaders.length > 2 * MOST_LINES) return deny('HEADERS_TOO_LARGE')
  if (!isMethod(method)) return malformed('method')
  if (httpVersion !== '1.1' && httpVersion !== '1.0') return malformed('version')
  const fields = collect(rawHeaders)
  if ('kind' in fields) return fields
  const { single, nominated } = fields
  const { host, expect } = single
  if (host === undefined || !isHost(host)) return malformed('host')
  const framing = readFraming(single, httpVersion)
  if ('kind' in framing) return framing
  if (expect !== undefined && expect.toLowerCase() !== '100-continue') {
    return deny('EXPECTATION_FAILED')
  }
  return {
    method,
    rawTarget,
    httpVersion,
    rawHeaders,
    host,
    authorization: single.authorization,
    contentType: single['content-type'],
    contentEncoding: single['content-encoding'],
    contentLength: framing.contentLength,
    isChunked: framing.isChunked,
    expectsContinue: expect !== undefined && httpVersion === '1.1',
    orgId: single['x-org-id'],
    signature: single['x-cli-signature'],
    timestamp: single['x-cli-timestamp'],
    nonce: single['x-cli-nonce'],
    signatureVersion: single['x-cli-signature-version'],
    hasBodyDigest: fields.hasBodyDigest,
    wantsWebSocket: fields.upgrades.includes('websocket') && nominated.includes('upgrade'),
    nominated
  }
}

function malformed(reason: string): Denial {
  return deny('MALFORMED_REQUEST', { reason })
}

/** Each line that decides, by its name. */
type Single = Record<DecidingName, string | undefined>

interface Fields {
  readonly single: Readonly<Single>
  readonly nominated: readonly string[]
  readonly upgrades: readonly string[]
  readonly hasBodyDigest: boolean
}

const NONE: readonly string[] = []

function collect(rawHeaders: readonly string[]): Fields | Denial {
  // All of them from the start: heads of one shape, whatever a client sends.
  const single: Single = {
    host: undefined,
    authorization: undefined,
    'content-length': undefined,
    'content-type': undefined,
    'content-encoding': undefined,
    'transfer-encoding': undefined,
    expect: undefined,
    'x-org-id': undefined,
    'x-cli-signature': undefined,
    'x-cli-timestamp': undefined,
    'x-cli-nonce': undefined,
    'x-cli-signature-version': undefined
  }
  let nominated = NONE
  let upgrades = NONE
  let hasBodyDigest = false
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const { lower: name, deciding, isBodyDigest } = readName(rawHeaders[i] ?? '')
    const value = rawHeaders[i + 1] ?? ''
    if (deciding !== undefined) {
      if (deciding !== name) return malformed('folded-header')
      if (single[deciding] !== undefined) return malformed('repeated-header')
      single[deciding] = value
    } else if (name === 'connection') nominated = [...nominated, ...splitList(value)]
    else if (name === 'upgrade') upgrades = [...upgrades, ...splitList(value)]
    else if (isBodyDigest) hasBodyDigest = true
  }
  if (nominated.some(name => readName(name).deciding !== undefined)) {
    return malformed('nominated-header')
  }
  return { single, nominated, upgrades, hasBodyDigest }
}

/** Lower-case members of a comma-separated list. */
function splitList(value: string): readonly string[] {
  return value
    .toLowerCase()
    .split(',')
    .map(member => member.trim())
    .filter(member => member !== '')
}

const CONTENT_LENGTH = /^(?:0|[1-9][0-9]{0,14})$/

type Framing = Pick<Head, 'contentLength' | 'isChunked'>

function readFraming(single: Fields['single'], httpVersion: string): Framing | Denial {
  const length = single['content-length']
  const encoding = single['transfer-encoding']
  if (encoding !== undefined) {
    const isOne = length === undefined && httpVersion === '1.1' && encoding === 'chunked'
    return isOne ? { contentLength: undefined, isChunked: true } : malformed('framing')
  }
  if (length !== undefined && !CONTENT_LENGTH.test(length)) return malformed('content-length')
  return { contentLength: length === undefined ? undefined : Number(length), isChunked: false }
}

/** A name, an address, each with a port or without: no user, no path, no list. */
const HOST = /^(?:[A-Za-z0-9._~-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?$/

function isHost(host: string): boolean {
  return HOST.test(host)
}

/** Of RFC 9110, and the registered ones that no rule can name: refused later, as they have no rule. */
const METHODS: ReadonlySet<string> = new Set(
  (
    'GET HEAD POST PUT PATCH DELETE OPTIONS TRACE CONNECT ACL BIND CHECKOUT COPY LINK LOCK ' +
    'M-SEARCH MERGE MKACTIVITY MKCALENDAR MKCOL MOVE NOTIFY PROPFIND PROPPATCH PURGE QUERY ' +
    'REBIND REPORT SEARCH SOURCE SUBSCRIBE UNBIND UNLINK UNLOCK UNSUBSCRIBE'
  ).split(' ')
)

/** In upper case: a method is case-sensitive, and not every server knows. */
function isMethod(method: string): boolean {
  return METHODS.has(method)
}

/** Whether a body follows the head, by its framing. */
export function hasBody({ isChunked, contentLength }: Head): boolean {
  return isChunked || (contentLength ?? 0) > 0
}

/** GET and HEAD: a body of theirs means nothing, and never goes on (RFC 9110 section 9.3.1). */
export function dropsBody({ method }: Head): boolean {
  return method === 'GET' || method === 'HEAD'
}

export type Bearer =
  | { readonly kind: 'none' }
  /** A bearer token is there, and it is neither of ours nor shaped like a JWT. */
  | { readonly kind: 'unusable' }
  | { readonly kind: 'cli-token' | 'jwt'; readonly text: string }

/** The scheme's name in any case (RFC 9110 section 11.1), one space, one token (RFC 6750 section 2.1). */
const SCHEME = 'bearer '
const JWT = /^[\w-]+\.[\w-]+\.[\w-]+$/
const JWT_LIMIT_CHARS = 8192

export function bearerOf({ authorization = '' }: Head): Bearer {
  const isBearer = authorization.slice(0, SCHEME.length).toLowerCase() === SCHEME
  const text = isBearer ? authorization.slice(SCHEME.length) : ''
  if (text === '') return { kind: 'none' }
  if (isTokenLike(text)) return { kind: 'cli-token', text }
  const isJwt = text.length <= JWT_LIMIT_CHARS && JWT.test(text)
  return isJwt ? { kind: 'jwt', text } : { kind: 'unusable' }
}
