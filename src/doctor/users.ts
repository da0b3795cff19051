/** Where the keys of user JWTs come from. A secret that is too short is no setting at all. */
import { inspectKeySet } from '../users/inspect.ts'
import { type Check, fail, ok, skip } from './check.ts'

export function usersCheck(jwksUrl: string | undefined, hasSecret: boolean): Check {
  return {
    name: 'user JWTs',
    async run(signal) {
      if (jwksUrl === undefined) {
        return [
          hasSecret ? ok('a shared secret') : skip('neither JWT_SECRET nor JWT_JWKS_URL is set')
        ]
      }
      const { keys, usable } = await inspectKeySet(jwksUrl, signal)
      const text = `${usable} of ${keys} keys can be used (RS256, ES256, EdDSA)`
      return [usable > 0 ? ok(text) : fail(`${text}: nobody can sign in`)]
    }
  }
}
