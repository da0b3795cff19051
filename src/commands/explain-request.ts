/**
 * `tollgate explain METHOD PATH`: why a request is answered as it is, and what would change that. For
 * somebody who holds a 403 in the hand.
 */
import { readFileSync } from 'node:fs'
import type { Command } from 'commander'
import { explainRequest, type Explanation } from '../routes/explain.ts'
import { formatExplanation } from '../routes/explain-text.ts'
import { suggestion } from '../routes/findings.ts'
import type { Caller } from '../routes/tests.ts'
import type { RouteTable } from '../core/rule.ts'
import { CommandExit, type CommandIo, formatJson, paintFor } from './output.ts'
import { outputOption, requireRoutes, routeFileName } from './route-file.ts'

interface ExplainOptions {
  readonly scopes?: string
  readonly repositories?: string
  readonly signed?: true
  readonly jwt?: true
  readonly body?: string
  readonly file?: string
  readonly output: 'table' | 'json'
}

export function registerExplain(program: Command, io: CommandIo): void {
  program
    .command('explain')
    .description('why a request is answered as it is, and what would change that')
    .argument('<method>', 'GET, POST, …')
    .argument('<path>', 'path and query, as they are sent; of a URL, what is behind the host')
    .option('--scopes <names>', 'of the ci_ token that is sent, separated by commas; may be empty')
    .option('--repositories <ids>', 'the token is limited to these, separated by commas')
    .option('--signed', 'the request is signed with the token')
    .option('--jwt', 'a user JWT is sent instead of a token')
    .option('--body <file>', 'the JSON that is sent; - reads stdin')
    .option('-f, --file <file>', 'the route file; else ROUTES_FILE, else config/routes.yaml')
    .addOption(outputOption())
    .action((method: string, path: string, options: ExplainOptions) =>
      explainIt(io, method, path, options)
    )
}

async function explainIt(
  io: CommandIo,
  method: string,
  path: string,
  options: ExplainOptions
): Promise<void> {
  const caller = callerOf(options)
  const { table } = await requireRoutes(io, routeFileName(io, options.file))
  for (const warning of unknownScopes(caller, table)) io.err(`Warning: ${warning}\n`)
  const explanation = await explainRequest(table, {
    method: method.toUpperCase(),
    target: targetOf(path),
    caller,
    body: options.body === undefined ? undefined : readBody(options.body)
  })
  io.out(
    options.output === 'json'
      ? formatJson(explainJson(explanation))
      : formatExplanation(explanation, paintFor(io))
  )
  if (!explanation.isAllowed) throw new CommandExit(1)
}

/** Whoever copies a whole address means what is behind the host. */
function targetOf(path: string): string {
  const behind = /^https?:\/\/[^/?#]*(.*)$/is.exec(path)?.[1]
  return behind === undefined ? path : behind.startsWith('/') ? behind : `/${behind}`
}

/** A limit or a signature is a token's, so either means one. */
function callerOf({ scopes, repositories, signed, jwt }: ExplainOptions): Caller {
  const isToken = scopes !== undefined || repositories !== undefined || signed === true
  if (jwt && isToken) {
    throw new CommandExit(2, '--jwt is another credential than --scopes, --repositories, --signed.')
  }
  if (jwt) return { kind: 'jwt' }
  if (!isToken) return { kind: 'none' }
  return {
    kind: 'cli-token',
    scopes: listOf(scopes ?? ''),
    repositories: repositories === undefined ? null : listOf(repositories),
    isSigned: signed === true
  }
}

function listOf(text: string): readonly string[] {
  return text
    .split(',')
    .map(part => part.trim())
    .filter(part => part !== '')
}

function unknownScopes(caller: Caller, { scopes }: RouteTable): readonly string[] {
  if (caller.kind !== 'cli-token') return []
  return caller.scopes
    .filter(scope => !scopes.has(scope))
    .map(scope => `"${scope}" is not declared in the file.${suggestion(scope, scopes.keys())}`)
}

function readBody(file: string): Uint8Array {
  try {
    return readFileSync(file === '-' ? 0 : file)
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unreadable'
    throw new CommandExit(2, `The body cannot be read from ${file}: ${code}`, cause)
  }
}

function explainJson({ rule, losers, fix, ...explanation }: Explanation) {
  return {
    ...explanation,
    rule: rule && { ...rule, params: Object.fromEntries(rule.params) },
    losers: losers.map(({ rule: { key, place }, reason }) => ({ key, place, reason })),
    fix: fix?.text
  }
}
