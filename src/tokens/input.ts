/**
 * What a caller sends to the token API, read strictly: type and encoding of the body, its JSON, its
 * fields, the query. One refusal names every field that is wrong, and repeats no value.
 * Source: the README's chapter on the token API; media types are RFC 9110, section 8.3.
 */
import { type Denial, deny } from '../core/decision.ts'
import { hasBody, type Head } from '../core/head.ts'
import { holdBody } from '../core/judge.ts'
import type { OwnRequest } from '../core/own-routes.ts'
import type { Clock, NewToken } from '../core/ports.ts'
import type { RouteTable } from '../core/rule.ts'
import { parseStrictJson } from '../core/strict-json.ts'
import {
  type Fields,
  type Note,
  noteUnknown,
  readExpiry,
  readGraceSeconds,
  readName,
  readRepositories,
  readRequireSignature,
  readScopes
} from './fields.ts'

/** What a create body says, checked, with what it leaves out filled in. */
type CreateInput = Pick<
  NewToken,
  'name' | 'scopes' | 'repositories' | 'expires' | 'requireSignature'
>

const CREATE_FIELDS = [
  'name',
  'scopes',
  'allRepositories',
  'repositories',
  'expiresInDays',
  'expiresAt',
  'requireSignature'
]

/** Throws Faults of the body holder, and CLOCK_UNSYNCHRONISED. */
export async function readCreate(
  request: OwnRequest,
  { table, clock }: { readonly table: RouteTable; readonly clock: Clock }
): Promise<CreateInput | Denial> {
  const refused = denyQuery(request) ?? denyMediaType(request.head)
  if (refused) return refused
  const bytes = await holdBody(request, BODY_LIMIT_BYTES)
  const fields = 'kind' in bytes ? bytes : parseFields(bytes)
  if ('kind' in fields) return fields
  return checked((note): CreateInput => {
    noteUnknown(fields, CREATE_FIELDS, note)
    return {
      name: readName(fields, note),
      scopes: readScopes(fields, table, note),
      repositories: readRepositories(fields, note),
      expires: readExpiry(fields, clock, note),
      requireSignature: readRequireSignature(fields, note)
    }
  })
}

interface RotateInput {
  readonly graceSeconds: number
}

/** A body may be left out, and its type with it. Throws Faults of the body holder. */
export async function readRotate(request: OwnRequest): Promise<RotateInput | Denial> {
  const { head } = request
  const isTyped = head.contentType !== undefined || head.contentEncoding !== undefined
  const isBare = !isTyped && !hasBody(head)
  const refused = denyQuery(request) ?? (isBare ? undefined : denyMediaType(head))
  if (refused) return refused
  const bytes = await holdBody(request, BODY_LIMIT_BYTES)
  const fields = 'kind' in bytes ? bytes : bytes.length === 0 ? NO_FIELDS : parseFields(bytes)
  if ('kind' in fields) return fields
  return checked((note): RotateInput => {
    noteUnknown(fields, ['graceSeconds'], note)
    return { graceSeconds: readGraceSeconds(fields, note) }
  })
}

interface ListInput {
  readonly includeInactive: boolean
}

export function readList({ target }: OwnRequest): ListInput | Denial {
  if (!target.query) return { includeInactive: false }
  if (target.query === 'include=inactive') return { includeInactive: true }
  return denyFields([{ field: 'query', message: 'must be include=inactive or nothing' }])
}

/** Only the list takes a query. Undefined: there is none. */
export function denyQuery({ target }: OwnRequest): Denial | undefined {
  if (!target.query) return undefined
  return denyFields([{ field: 'query', message: 'must be empty' }])
}

/** On the raw value: what a lenient parser makes of the rest of it is no concern of ours. */
const JSON_TYPE = /^application\/json(?:[\t ]*;[\t ]*charset=(?:utf-8|"utf-8"))?$/i

function denyMediaType(head: Head): Denial | undefined {
  if (head.contentType === undefined || !JSON_TYPE.test(head.contentType)) {
    return deny('UNSUPPORTED_MEDIA_TYPE', { message: 'The body must be application/json' })
  }
  return head.contentEncoding === undefined ? undefined : deny('UNSUPPORTED_CONTENT_ENCODING')
}

const BODY_LIMIT_BYTES = 65_536

const NO_FIELDS: Fields = new Map()

function parseFields(bytes: Uint8Array): Fields | Denial {
  const parsed = parseStrictJson(bytes)
  const value = 'problem' in parsed ? undefined : parsed.value
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return new Map(Object.entries(value))
  }
  if ('problem' in parsed && parsed.problem === 'unsafe-member') {
    return denyFields([{ field: '__proto__', message: 'is not a known field' }])
  }
  return denyFields([
    { field: 'body', message: 'must be one JSON object in UTF-8, with no member twice' }
  ])
}

interface FieldError {
  readonly field: string
  readonly message: string
}

/** Gives what `read` gives if it notes nothing. A field is named once, with its first fault. */
function checked<T>(read: (note: Note) => T): T | Denial {
  const messages = new Map<string, string>()
  const value = read((field, message) => {
    if (!messages.has(field)) messages.set(field, message)
  })
  if (messages.size === 0) return value
  return denyFields(Array.from(messages, ([field, message]) => ({ field, message })))
}

/** The message says all of it once more, for clients that show nothing else. */
function denyFields(errors: readonly FieldError[]): Denial {
  const text = errors.map(({ field, message }) => `${field} ${message}`).join('; ')
  return deny('INVALID_REQUEST', { message: `Invalid request: ${text}`, body: { errors } })
}
