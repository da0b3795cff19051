/**
 * `tollgate sign`: the three headers that sign one request, for trying things out and for scripts.
 * The token comes from CONTROLINFRA_TOKEN and is never printed: a curl line names the variable.
 * Source: README, signing requests.
 */
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { type Command, Option } from 'commander'
import { malformedHeader, sign, type SignatureHeaders } from '../core/signature.ts'
import { isWellFormedToken } from '../core/token.ts'
import { CommandExit, type CommandIo, formatJson } from './output.ts'

interface SignOptions {
  readonly body?: string
  readonly timestamp?: string
  readonly nonce?: string
  readonly curl?: true
  readonly gate: string
  readonly output: 'headers' | 'json'
}

interface Request {
  readonly method: string
  readonly path: string
  /** Name of the file, `-` for stdin; undefined: no body. */
  readonly bodyFile: string | undefined
  readonly body: Uint8Array
}

const METHOD = /^[A-Z]{1,20}$/
/** What a request line can carry: no blanks, no controls, no fragment. */
const PATH = /^\/[\x21\x22\x24-\x7e]*$/

export function registerSign(program: Command, io: CommandIo): void {
  program
    .command('sign')
    .description('print the signature headers of one request; token from CONTROLINFRA_TOKEN')
    .argument('<method>', 'GET, POST, …')
    .argument('<path>', 'path and query exactly as they will be sent')
    .option('--body <file>', 'the bytes that will be sent; - reads stdin')
    .option('--timestamp <ms>', 'sign for this time instead of now, to compare with another client')
    .option('--nonce <text>', 'sign with this nonce instead of a random one')
    .option('--curl', 'print a curl command that sends the request')
    .option('--gate <url>', 'where the curl command sends it', 'http://127.0.0.1:8080')
    .addOption(
      new Option('--output <format>', 'how to print')
        .choices(['headers', 'json'])
        .default('headers')
    )
    .action((method: string, path: string, options: SignOptions) => {
      if (options.curl && options.body === '-') {
        throw new CommandExit(2, '--curl needs the body in a file: what stdin gave is gone.')
      }
      if (!/^https?:\/\/[^\s/]+\/*$/.test(options.gate)) {
        throw new CommandExit(2, '--gate takes http://host:port or https://host.')
      }
      const token = readToken(io)
      const request = readRequest(method, path, options.body)
      const headers = namedHeaders(signNow(request, token, options))
      if (options.curl) io.out(curlLine(request, headers, options.gate))
      else if (options.output === 'json') io.out(formatJson(headers))
      else for (const [name, value] of Object.entries(headers)) io.out(`${name}: ${value}\n`)
    })
}

function readToken(io: CommandIo): string {
  const token = io.env['CONTROLINFRA_TOKEN']
  if (!token)
    throw new CommandExit(2, 'CONTROLINFRA_TOKEN is not set: it holds the token that signs.')
  if (!isWellFormedToken(token)) {
    io.err('Warning: CONTROLINFRA_TOKEN is no token of this kind (mistyped, or cut off?).\n')
  }
  return token
}

function readRequest(givenMethod: string, path: string, bodyFile: string | undefined): Request {
  const method = givenMethod.toUpperCase()
  if (!METHOD.test(method)) throw new CommandExit(2, `"${givenMethod}" is no method.`)
  if (!PATH.test(path)) {
    throw new CommandExit(
      2,
      'The path begins with / and has no blanks, controls or #: encode them.'
    )
  }
  const body = bodyFile === undefined ? new Uint8Array() : readBody(bodyFile)
  if (body.length > 0 && (method === 'GET' || method === 'HEAD')) {
    throw new CommandExit(2, `A signed ${method} request has no body: the gate refuses it.`)
  }
  return { method, path, bodyFile, body }
}

function readBody(file: string): Uint8Array {
  try {
    return readFileSync(file === '-' ? 0 : file)
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unreadable'
    throw new CommandExit(2, `The body cannot be read from ${file}: ${code}`, cause)
  }
}

function signNow(request: Request, token: string, options: SignOptions): SignatureHeaders {
  const timestamp = options.timestamp ?? String(Date.now())
  const nonce = options.nonce ?? randomBytes(16).toString('hex')
  const headers = { timestamp, nonce, signature: sign({ timestamp, nonce }, request, token) }
  const malformed = malformedHeader(headers)
  if (malformed === 'timestamp') {
    throw new CommandExit(2, '--timestamp takes milliseconds since 1970: 13 digits.')
  }
  if (malformed === 'nonce') {
    throw new CommandExit(2, '--nonce takes 1 to 128 characters of A-Z a-z 0-9 . _ ~ + / = -')
  }
  return headers
}

function namedHeaders({ signature, timestamp, nonce }: SignatureHeaders) {
  return { 'x-cli-signature': signature, 'x-cli-timestamp': timestamp, 'x-cli-nonce': nonce }
}

/** One command, ready to paste; valid until its nonce is used or the timestamp is too old. */
function curlLine(
  { method, path, bodyFile, body }: Request,
  headers: Readonly<Record<string, string>>,
  gate: string
): string {
  const type = isJson(body) ? 'application/json' : 'application/octet-stream'
  const content = [
    `-H ${quoted(`Content-Type: ${type}`)}`,
    `--data-binary ${quoted(`@${bodyFile ?? ''}`)}`
  ]
  const parts = [
    // Nothing of the target may change on the way: it is signed as it stands.
    `curl --globoff --path-as-is ${method === 'HEAD' ? '--head' : `-X ${method}`}`,
    '-H "Authorization: Bearer $CONTROLINFRA_TOKEN"',
    ...Object.entries(headers).map(([name, value]) => `-H ${quoted(`${name}: ${value}`)}`),
    ...(bodyFile === undefined ? [] : content),
    quoted(gate.replace(/\/+$/, '') + path)
  ]
  return `${parts.join(' \\\n  ')}\n`
}

function isJson(body: Uint8Array): boolean {
  try {
    JSON.parse(Buffer.from(body).toString('utf8'))
    return true
  } catch {
    return false
  }
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`
}
