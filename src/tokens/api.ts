/**
 * The token API: people with a user JWT create, list, revoke and rotate their own `ci_` tokens.
 *
 * A narrowing change answers only after its barrier. Where the barrier fails the change is already
 * committed, so the answer is 503 REVOCATION_UNCONFIRMED, and a repeated DELETE runs the barrier
 * again. A rotation that ends so leaves a new token whose text nobody has seen: it stands in the
 * list under its own id, and rotating that one gives a text.
 */
import { type Denial, deny, Fault, type OwnRouteName } from '../core/decision.ts'
import type { OwnAnswer, OwnRequest, OwnRoutes } from '../core/own-routes.ts'
import type {
  Actor,
  Barrier,
  BarrierReceipt,
  Change,
  Clock,
  Log,
  TokenStore
} from '../core/ports.ts'
import type { User } from '../core/principal.ts'
import type { RouteTable } from '../core/rule.ts'
import { digestToken, makeToken, previewToken } from '../core/token.ts'
import { denyQuery, readCreate, readList, readRotate } from './input.ts'
import { isoTime, presentListed, presentNew, presentReceipt } from './present.ts'

export interface TokenApiDeps {
  readonly store: TokenStore
  readonly barrier: Barrier
  readonly clock: Clock
  readonly routes: () => RouteTable
  /** n bytes from a cryptographic source. */
  readonly randomBytes: (n: number) => Uint8Array
  readonly log: Log
}

/** Answers the four `tokens.*` routes; any other name, or a caller without a JWT, is our mistake. */
export function createTokenApi(deps: TokenApiDeps): OwnRoutes {
  return { handle: request => handle(request, deps) }
}

type Operation = (
  request: OwnRequest,
  user: User,
  deps: TokenApiDeps
) => Promise<OwnAnswer | Denial>

const OPERATIONS: Readonly<Partial<Record<OwnRouteName, Operation>>> = {
  'tokens.create': create,
  'tokens.list': list,
  'tokens.revoke': revoke,
  'tokens.rotate': rotate
}

async function handle(request: OwnRequest, deps: TokenApiDeps): Promise<OwnAnswer | Denial> {
  const operation = OPERATIONS[request.name]
  const { principal } = request
  if (!operation || principal.kind !== 'jwt') throw new Fault('INTERNAL_ERROR')
  return operation(request, principal.user, deps)
}

async function create(
  request: OwnRequest,
  user: User,
  deps: TokenApiDeps
): Promise<OwnAnswer | Denial> {
  const input = await readCreate(request, { table: deps.routes(), clock: deps.clock })
  if ('kind' in input) return input
  const { token, ...fresh } = freshToken(deps)
  const { userId, orgId } = user
  const row = await deps.store.create({ ...input, ...fresh, userId, orgId }, actorOf(request, user))
  return answer(201, presentNew(token, row))
}

async function list(
  request: OwnRequest,
  { userId }: User,
  { store }: TokenApiDeps
): Promise<OwnAnswer | Denial> {
  const input = readList(request)
  if ('kind' in input) return input
  const rows = await store.list({ userId, ...input })
  return answer(200, { tokens: rows.map(row => presentListed(row, input.includeInactive)) })
}

async function revoke(
  request: OwnRequest,
  user: User,
  deps: TokenApiDeps
): Promise<OwnAnswer | Denial> {
  const refused = denyQuery(request)
  if (refused) return refused
  const id = tokenId(request)
  if (id === undefined) return deny('TOKEN_NOT_FOUND', { reason: 'no-uuid' })
  const done = await deps.store.revoke(id, user.userId, actorOf(request, user))
  if (done === 'not-found') return deny('TOKEN_NOT_FOUND')
  const receipt = await confirm(done.change, request, deps)
  const revokedAt = isoTime(done.revokedAtMs)
  return answer(200, { success: true, id, revokedAt, barrier: presentReceipt(receipt) })
}

async function rotate(
  request: OwnRequest,
  user: User,
  deps: TokenApiDeps
): Promise<OwnAnswer | Denial> {
  const input = await readRotate(request)
  if ('kind' in input) return input
  const id = tokenId(request)
  if (id === undefined) return deny('TOKEN_NOT_FOUND', { reason: 'no-uuid' })
  const { token, ...fresh } = freshToken(deps)
  const actor = actorOf(request, user)
  const done = await deps.store.rotate(id, user.userId, { ...fresh, ...input }, actor)
  if (done === 'not-found') return deny('TOKEN_NOT_FOUND')
  // An inactive token is not in the list either: for rotating, it is not there.
  if (done === 'inactive') return deny('TOKEN_NOT_FOUND', { reason: 'inactive' })
  const receipt = await confirm(done.change, request, deps)
  const barrier = presentReceipt(receipt)
  return answer(201, { ...presentNew(token, done.row), rotatedFrom: id, barrier })
}

/** The change is committed: whatever fails from here on, it must not look as if nothing happened. */
async function confirm(
  change: Change,
  { requestId }: OwnRequest,
  { barrier, log }: TokenApiDeps
): Promise<BarrierReceipt> {
  try {
    return await barrier.wait(change)
  } catch (cause) {
    log.warn('change not confirmed', { kind: change.kind, tokenIds: change.ids, requestId })
    throw new Fault('REVOCATION_UNCONFIRMED', { cause })
  }
}

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

/** Undefined: no id that the store could know, so that no query is made for it. */
function tokenId({ params: [id = ''] }: OwnRequest): string | undefined {
  return UUID.test(id) ? id.toLowerCase() : undefined
}

function freshToken({ randomBytes }: TokenApiDeps) {
  const token = makeToken(randomBytes)
  return { token, digest: digestToken(token), preview: previewToken(token) }
}

function actorOf({ ip, requestId }: OwnRequest, { userId }: User): Actor {
  return { kind: 'user', id: userId, ip, requestId }
}

function answer(status: number, body: Readonly<Record<string, unknown>>): OwnAnswer {
  const headers = { 'content-type': 'application/json', 'cache-control': 'no-store' }
  return { status, headers, body: JSON.stringify(body), code: 'OK' }
}
