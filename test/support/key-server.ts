/** An issuer's JWKS address on loopback, whose answers a test switches. */
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { JWK } from 'jose'

export interface KeyServer {
  readonly url: string
  /** How often it was asked. */
  readonly asked: () => number
  /** What it answers from now on: keys, or something else than it should. */
  answer(reply: readonly JWK[] | ((response: ServerResponse) => void)): void
  /** Ends it, hanging requests too; repeatable. */
  close(): Promise<void>
}

export async function startKeyServer(keys: readonly JWK[] = []): Promise<KeyServer> {
  let asked = 0
  let reply: readonly JWK[] | ((response: ServerResponse) => void) = keys
  const server = createServer((_request, response) => {
    asked += 1
    if (typeof reply === 'function') reply(response)
    else response.setHeader('content-type', 'application/json').end(JSON.stringify({ keys: reply }))
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return {
    url: `http://127.0.0.1:${address.port}/jwks.json`,
    asked: () => asked,
    answer: next => {
      reply = next
    },
    close: async () => {
      if (!server.listening) return
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
    }
  }
}
