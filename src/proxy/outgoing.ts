/** A permitted request as undici is given it: the authorised bytes, and nothing decided anew. */
import type { Dispatcher } from 'undici'
import type { Permit } from '../core/decision.ts'
import { dropsBody } from '../core/head.ts'
import type { BodyStream } from './body.ts'
import type { Exchange } from './exchange.ts'
import { requestHeaders } from './headers.ts'
import { SERVER_NAME_KEY } from './upstreams.ts'

/** Whether the connection leaves HTTP, if the upstream agrees. */
export function isTunnel({ rule, head }: Permit): boolean {
  return rule?.upgrade === 'websocket' && head.wantsWebSocket
}

/** Safe, and without a body: it may be written once more if nobody has answered it. */
export function isRepeatable(permit: Permit): boolean {
  return dropsBody(permit.head) && !isTunnel(permit)
}

export function outgoing(
  { client, requestId, trace }: Exchange,
  permit: Permit,
  body: Uint8Array | BodyStream | null
): Dispatcher.DispatchOptions & { readonly servername: string } {
  const { head, target, rule, table, heldBody } = permit
  const contentLength = dropsBody(head) ? undefined : (heldBody?.length ?? head.contentLength)
  const traceHeaders = trace?.sending()
  return {
    method: head.method,
    path: target.raw,
    headers: requestHeaders({ permit, client, requestId, contentLength, traceHeaders }),
    body,
    upgrade: isTunnel(permit) ? 'websocket' : null,
    idempotent: false,
    headersTimeout: rule?.timeoutMs ?? table.timeoutMs,
    // Progress is watched for every direction together, in relay.ts.
    bodyTimeout: 0,
    servername: SERVER_NAME_KEY
  }
}
