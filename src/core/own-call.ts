/** Who may call the gate's own paths: the token API is for people, the page for everybody. */
import { type Decision, deny } from './decision.ts'
import { bearerOf, type Head } from './head.ts'
import type { Load, UserVerifier } from './ports.ts'
import { NOBODY, type Principal } from './principal.ts'
import type { Match } from './rule.ts'
import { decodeSegment, type Target } from './target.ts'

export interface OwnCallDeps {
  readonly users: UserVerifier
  readonly load: Load
}

/** A `ci_` text is refused unread, so that it costs no query. Throws Faults as the gate does. */
export function decideOwn(
  { route, params }: Match & { kind: 'own' },
  { head, target }: { readonly head: Head; readonly target: Target },
  { users, load }: OwnCallDeps
): Decision | Promise<Decision> {
  const call = (principal: Principal): Decision => {
    const decoded = params.map(decodeSegment)
    return { kind: 'own', head, target, name: route.name, params: decoded, principal }
  }
  // What ends a token has to work when nothing else does.
  if (route.name !== 'tokens.revoke' && route.name !== 'tokens.rotate') load.admit()
  if (route.need === 'public') return call(NOBODY)
  const bearer = bearerOf(head)
  switch (bearer.kind) {
    case 'none':
      return deny('NO_TOKEN')
    case 'unusable':
      return deny('INVALID_TOKEN', { reason: 'unusable' })
    case 'cli-token':
      return deny('JWT_REQUIRED', { message: 'CLI tokens cannot manage tokens' })
    case 'jwt':
      return users
        .verify(bearer.text)
        .then(user => (user === 'invalid' ? deny('INVALID_TOKEN') : call({ kind: 'jwt', user })))
  }
}
