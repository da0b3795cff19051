/** The request head, read once and strictly, or a denial. */

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
