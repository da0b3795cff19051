/** A gate whose clock stands at the instant of the vectors, with the real route file. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Clock, NonceStore } from '../../src/core/ports.ts'
import type { SignatureSettings } from '../../src/core/signed-request.ts'
import { createEmbeddedNonces } from '../../src/embedded/nonces.ts'
import { type ProxyStart, startProxy } from '../support/proxy.ts'
import { type RawAnswer, type RawOptions, sendRaw } from '../support/raw.ts'
import { signedHeaders } from '../support/signer.ts'
import { TIMESTAMP, TOKEN } from './vectors.ts'

const ROUTES = readFileSync(join(import.meta.dirname, '../../config/routes.yaml'), 'utf8')
const SCOPES = ['repos:read', 'repos:write', 'scans:read', 'scans:trigger', 'drifts:read']

export const NOW = Number(TIMESTAMP)

export interface SignedStart extends Partial<Omit<ProxyStart, 'deps'>> {
  readonly signing?: Partial<SignatureSettings>
  readonly requireSignature?: boolean
  readonly isTrusted?: boolean
}

export interface ToSend {
  readonly method?: string
  readonly target?: string
  readonly token?: string
  /** Header lines, each ended; after the credential. */
  readonly headers?: string
  readonly body?: string | Uint8Array
  readonly isChunked?: boolean
}

export async function startSignedGate(
  t: { teardown(run: () => unknown): void },
  start: SignedStart = {}
) {
  let nowMs = NOW
  let monoMs = 0
  const clock: Clock = {
    nowMs: () => nowMs,
    wallMs: () => nowMs,
    isTrusted: () => start.isTrusted ?? true
  }
  const kept = createEmbeddedNonces({ clock, isNew: true, recoveryMs: 0, monoMs: () => monoMs })
  const claimed: string[] = []
  const nonces: NonceStore = {
    claim(tokenId, nonce, timestampMs, ttlMs) {
      claimed.push(nonce)
      return kept.claim(tokenId, nonce, timestampMs, ttlMs)
    }
  }
  const signing: SignatureSettings = {
    windowMs: 300_000,
    bodyLimitBytes: 1_048_576,
    query: 'either',
    body: 'raw-or-canonical',
    ...start.signing
  }
  const deps = { clock, nonces: start.nonces ?? nonces, signing }
  const proxy = await startProxy(t, { routes: ROUTES, ...start, deps })
  const rights = { scopes: [...SCOPES, 'runners:manage'], expiresAtMs: null }
  const { requireSignature = false } = start
  const token = proxy.addToken({ ...rights, requireSignature }, TOKEN)

  /** One request; `headers` come before the body's framing. */
  const send = async (given: ToSend, options?: RawOptions): Promise<RawAnswer | undefined> => {
    const { method = 'GET', target = '/api/scans/dashboard', headers = '', isChunked } = given
    const body = Buffer.from(given.body ?? '')
    const framing = isChunked
      ? 'Transfer-Encoding: chunked\r\n'
      : given.body === undefined
        ? ''
        : `Content-Length: ${body.length}\r\n`
    const bytes = body.toString('latin1')
    const sent = isChunked ? `${body.length.toString(16)}\r\n${bytes}\r\n0\r\n\r\n` : bytes
    const head = `${method} ${target} HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer ${given.token ?? TOKEN}\r\n`
    const { answers } = await sendRaw(proxy.port, `${head}${headers}${framing}\r\n${sent}`, options)
    return answers.at(-1)
  }

  return {
    proxy,
    token,
    claimed,
    send,
    /** Clock of the database and age of what is kept go on together. */
    advance: (byMs: number) => {
      nowMs += byMs
      monoMs += byMs
    }
  }
}

export interface Signing {
  readonly method?: string
  readonly path?: string
  readonly body?: string | Uint8Array
  readonly nonce?: string
  readonly timestamp?: string
  readonly token?: string
}

/** The three headers of a good request, as lines; `change` spoils some of them, undefined drops. */
export function signatureLines(
  signing: Signing = {},
  change: Readonly<Record<string, string | undefined>> = {}
): string {
  const { method = 'GET', path = '/api/scans/dashboard', body = '', token = TOKEN } = signing
  const { timestamp = TIMESTAMP, nonce } = signing
  const signed = signedHeaders({
    token,
    method,
    path,
    body,
    timestamp,
    ...(nonce === undefined ? {} : { nonce })
  })
  return Object.entries({ ...signed, ...change })
    .map(([name, value]) => (value === undefined ? '' : `${name}: ${value}\r\n`))
    .join('')
}
