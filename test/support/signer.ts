/** The published guide's signing sample, in its own steps: not the product's code. */
import { createHash, createHmac, randomBytes } from 'node:crypto'

export interface ToSign {
  readonly token: string
  readonly method: string
  /** As it will be sent. */
  readonly path: string
  readonly body?: string | Uint8Array
  readonly timestamp?: string
  readonly nonce?: string
}

export function signedHeaders(given: ToSign): Readonly<Record<string, string>> {
  const { token, method, path, body = '' } = given
  const timestamp = given.timestamp ?? Date.now().toString()
  const nonce = given.nonce ?? randomBytes(16).toString('hex')
  const bodyHash = createHash('sha256').update(body).digest('hex')
  const data = `${timestamp}:${nonce}:${method}:${path}:${bodyHash}`
  const signature = createHmac('sha256', token).update(data).digest('hex')
  return {
    'x-cli-signature': signature,
    'x-cli-timestamp': timestamp,
    'x-cli-nonce': nonce
  }
}
