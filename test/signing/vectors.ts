/**
 * Known answers: requests, the text that is signed, and its signature. Computed by other programs;
 * vectors.test.ts asks two of them again.
 */

export const TOKEN = 'ci_GoldenVector0OnlyForTests000001xNBA0'
export const TIMESTAMP = '1767225600000' // 2026-01-01T00:00:00Z

export interface Vector {
  readonly name: string
  readonly method: string
  readonly target: string
  readonly nonce: string
  readonly signature: string
  /** What is signed as the path, where that is not the target. */
  readonly signedPath?: string
  readonly contentType?: string
  readonly body?: Uint8Array
  /** What goes on, where that is not the body. */
  readonly forwarded?: Uint8Array
}

const JSON_TYPE = 'application/json'

export const VECTORS: readonly Vector[] = [
  {
    name: 'a GET',
    method: 'GET',
    target: '/api/scans/dashboard',
    nonce: '00112233445566778899aabbccddeeff',
    signature: 'adf3b74cebe4b3abd3827da8eeec924900bc28b21052938fce68ac95faf93c9e'
  },
  {
    name: 'a query that is signed',
    method: 'GET',
    target: '/api/drifts/?status=detected&severity=high',
    nonce: '9b2f6c1e-6f0e-4c53-8d57-0c4a1f1f7d02',
    signature: '49c022457b4e34a825cf41066685b87ad709509876799a6730d8b71c0805e579'
  },
  {
    name: 'a query that is not signed',
    method: 'GET',
    target: '/api/drifts/?status=detected&severity=high',
    signedPath: '/api/drifts/',
    nonce: '9b2f6c1e-6f0e-4c53-8d57-0c4a1f1f7d03',
    signature: '5c25add43d4f4c834875f5436901635df87f8009bdd5717317a8c2b4c1ff654f'
  },
  {
    name: 'an empty object',
    method: 'POST',
    target: '/api/scans/trigger/repo-config-id-1',
    nonce: 'AbC-_~.',
    signature: '1512cfe95e8554eaff94cbb98c24376e452ffe9c5420c240958694662c4e37e2',
    contentType: JSON_TYPE,
    body: Buffer.from('{}')
  },
  {
    name: 'text above ASCII',
    method: 'POST',
    target: '/api/scans/trigger/repo-config-id-1',
    nonce: 'q+/Zm9vYmFyMTIzNDU2Nzg5MA==',
    signature: '3571ecd2b4cc355041a13d49cd480ad20783db360954574fd6b08047bb96ece5',
    contentType: JSON_TYPE,
    body: Buffer.from('{"runnerId":"r-1","note":"Prüfung ✓"}')
  },
  {
    name: 'JSON that was hashed in another format than it is sent in',
    method: 'POST',
    target: '/api/runners/',
    nonce: 'v6-canonical',
    signature: '166f94c335c511c0c4f54d74f4e5fd7599ef7cd55161461a65b54d3b9233e32e',
    contentType: 'application/json; charset=utf-8',
    body: Buffer.from(String.raw`{ "b": 1.0,` + '\n' + String.raw`  "a": "\u00e9" }`),
    forwarded: Buffer.from('{"b":1,"a":"é"}')
  },
  {
    name: 'bytes that are no text',
    method: 'PUT',
    target: '/api/runners/r-1',
    nonce: 'v7',
    signature: '97f25ea84c2d7b37f8411420d73cd5ffe128c8fefcd2a2b84637329bba1d7b7d',
    contentType: 'application/octet-stream',
    body: Buffer.from('00017f80ff0a0d', 'hex')
  },
  {
    name: 'a path with escapes, as they are',
    method: 'GET',
    target: '/api/repo-configs/caf%C3%A9%20%e2%9c%93',
    nonce: 'v8',
    signature: '7f646e8760da51faff0a89c83ddf1868db3a3db5e3f0581b7675f9ae8c4e222f'
  },
  {
    name: 'a POST without a body',
    method: 'POST',
    target: '/api/scans/65f0c0ffee65f0c0ffee65f0/cancel',
    nonce: 'v9',
    signature: '8ba696cd44eba9496e6f3459669b4ef1fb2f0aeb9ee5ba60200b68acbf6dfa49'
  },
  {
    name: 'a path with colons',
    method: 'DELETE',
    target: '/api/repo-configs/github:acme:infra',
    nonce: 'v10',
    signature: '542e574938a32f506aaf2f8fb6cb0f6b5fd46802dc5b1571f3a74b42f3bea1cb'
  },
  {
    name: 'the body null',
    method: 'POST',
    target: '/api/scans/trigger/repo-config-id-1',
    nonce: 'v11',
    signature: '7ca5ddd9db57ba1c66c3bcdeb7b6ba5f50ec19119041f7b9a05ea55f133430c0',
    contentType: JSON_TYPE,
    body: Buffer.from('null')
  }
]
