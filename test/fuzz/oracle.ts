/**
 * What may reach the service behind the gate, said once more by hand for the routes of the attack
 * table: not the product's code. It knows what was sent, and looks at what arrived.
 */
import { createHmac, hash } from 'node:crypto'
import type { Recorded } from '../support/upstream.ts'

export interface Sender {
  /** Ids and texts of its tokens: `a` for all repositories, `r` for `r1`. */
  readonly a: { readonly id: string; readonly text: string }
  readonly r: { readonly id: string; readonly text: string }
  /** The bytes it sends, a byte a character; a request may arrive after its connection has ended. */
  sent: string
}

const OWNER = ['x-ci-user-id', 'x-ci-scopes', 'x-ci-repositories', 'x-ci-signed']
/** Of each kind of caller: all the names of the namespace that may be there, each once. */
const NAMES: Readonly<Record<string, readonly string[]>> = {
  none: ['x-ci-auth'],
  jwt: ['x-ci-auth', ...OWNER],
  'cli-token': ['x-ci-auth', ...OWNER, 'x-ci-token-id', 'x-ci-token-name']
}
const NEVER =
  /^(?:x-cli-|forwarded$|x-real-ip$|x-client-ip$|true-client-ip$|x-original-(?:url|uri|method|host)$|x-rewrite-url$|x-http-method$|x-http-method-override$|x-method-override$|client-cert|x-client-cert|x-ssl-client-|proxy$|proxy-|keep-alive$|te$|trailer$|http2-settings$|expect$)/

/** Undefined: it may be there. `used`: the signatures that have been seen so far; is added to. */
export function problemOf(
  seen: Recorded,
  senders: readonly Sender[],
  used: Set<string>
): string | undefined {
  const folded = seen.headers.map(([name]) => name.replaceAll(/[_.]/g, '-'))
  const [auth = ''] = seen.all('x-ci-auth')
  const names = folded.filter(name => name.startsWith('x-ci-'))
  const expected = NAMES[auth]
  if (!expected || names.toSorted().join() !== expected.toSorted().join()) {
    return `an identity of ${names.join()}`
  }
  const stray = folded.find(name => NEVER.test(name))
  if (stray !== undefined) return `a header that never goes on: ${stray}`
  if (/(?:^|[^\w.~+/-])ci_/i.test(seen.all('authorization').join(' '))) return 'a token went on'
  const [tokenId] = seen.all('x-ci-token-id')
  const sender = senders.find(({ a, r }) => a.id === tokenId || r.id === tokenId)
  if (auth === 'cli-token' && !sender) return 'a token that nobody has'
  const among = sender ? [sender] : senders
  const token = sender && (sender.a.id === tokenId ? sender.a : sender.r)
  const line = `${seen.method} ${seen.target} HTTP/1.`
  const origins = among
    .map(({ sent }) => sent)
    // The parser takes several spaces of a request line for one, and one is what goes on.
    .filter(sent => sent.replaceAll(/ +/g, ' ').includes(line))
    .filter(sent => !token || sent.includes(token.text))
  if (origins.length === 0) return 'a request that nobody sent'
  if (!isAllowed(seen, auth, tokenId !== undefined && tokenId === sender?.r.id))
    return 'not allowed'
  if (seen.all('x-ci-signed')[0] === 'true') {
    const signatures = origins.flatMap(sent => signaturesOf(seen, sent, token?.text ?? ''))
    const fresh = signatures.find(signature => !used.has(signature))
    if (fresh === undefined) {
      return signatures.length > 0 ? 'signed once, accepted twice' : 'signed by nobody'
    }
    used.add(fresh)
    return undefined
  }
  return origins.some(sent => isSentBody(seen, sent)) ? undefined : 'a body that was not sent'
}

function isAllowed(seen: Recorded, auth: string, isLimited: boolean): boolean {
  const { method, target } = seen
  const path = target.replace(/\?.*$/s, '')
  const isRead = method === 'GET' || method === 'HEAD'
  const isPost = method === 'POST'
  if (/^\/pub\/[^/]/.test(path)) return isRead && auth === 'none'
  const one = path.replace(/\/$/, '')
  if (one === '/api/people') return isRead && auth === 'jwt'
  // A user may what any token may.
  if (auth === 'none') return false
  const repository = /^\/api\/repo\/([^/]+)$/.exec(one)?.[1]
  if (repository !== undefined)
    return isRead && (!isLimited || decodeURIComponent(repository) === 'r1')
  if (one === '/api/find') {
    const repos = new URLSearchParams(target.slice(path.length + 1)).getAll('repo')
    return isRead && (!isLimited || repos.join() === 'r1')
  }
  if (one === '/api/make') return isPost && (!isLimited || repoOf(seen.text) === 'r1')
  if (one === '/api/socket') return isRead && !isLimited
  if (one === '/api/signed') {
    return isPost && !isLimited && (auth === 'jwt' || seen.all('x-ci-signed')[0] === 'true')
  }
  if (one === '/api/a/special') return isRead && auth === 'jwt'
  if (!/^\/api\/a\/[^/]+$/.test(one) || isLimited) return false
  return isRead || isPost || (method === 'DELETE' && auth === 'jwt')
}

function repoOf(text: string): unknown {
  const value: unknown = JSON.parse(text)
  return typeof value === 'object' && value !== null && 'repo' in value ? value.repo : undefined
}

/** The signatures in the sent bytes that are right for what arrived, by token and nonce. */
function signaturesOf(seen: Recorded, sent: string, token: string): readonly string[] {
  const found: string[] = []
  const valuesOf = (name: string) =>
    [...sent.matchAll(new RegExp(`${name}:[ \\t]*([^\\r\\n]*?)[ \\t]*\\r\\n`, 'gi'))].map(
      ([, value = '']) => value
    )
  const bodyHash = hash('sha256', seen.body, 'hex')
  const paths = [seen.target, seen.target.replace(/\?.*$/s, '')]
  const sums = new Set(valuesOf('x-cli-signature').map(value => value.toLowerCase()))
  for (const timestamp of valuesOf('x-cli-timestamp')) {
    for (const nonce of valuesOf('x-cli-nonce')) {
      for (const path of paths) {
        const text = `${timestamp}:${nonce}:${seen.method}:${path}:${bodyHash}`
        if (sums.has(createHmac('sha256', token).update(text).digest('hex'))) {
          found.push(`${token} ${nonce}`)
        }
      }
    }
  }
  return found
}

/** Its bytes stand in one piece in what was sent; chunks may lie between them. */
function isSentBody({ method, body }: Recorded, sent: string): boolean {
  if (body.length === 0) return true
  if (method === 'GET' || method === 'HEAD') return false
  const text = body.toString('latin1')
  return sent.includes(text) || /chunked/i.test(sent)
}
