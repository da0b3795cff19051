/** The file's own tests, each through the gate's decision functions. */
import type { Rule, RouteTable } from '../core/rule.ts'
import { type AskedRequest, evaluate, type Evaluation } from './evaluate.ts'
import type { Caller, RouteTest } from './tests.ts'

export interface TestResult {
  readonly test: RouteTest
  readonly passes: boolean
  readonly outcome: string
  readonly upstream: string | undefined
  /** The rule that decided; undefined: the request was refused before, or no rule took it. */
  readonly rule: Rule | undefined
  /** `POST /x with a:read: expected allow, got 403 INSUFFICIENT_SCOPE`. */
  readonly summary: string
}

export async function runTests(
  table: RouteTable,
  tests: readonly RouteTest[]
): Promise<readonly TestResult[]> {
  const results: TestResult[] = []
  for (const test of tests) results.push(judge(test, await evaluate(table, askedBy(test))))
  return results
}

/** The request of a test, its body as JSON. */
export function askedBy({ method, target, caller, body }: RouteTest): AskedRequest {
  const bytes = body === undefined ? undefined : Buffer.from(JSON.stringify(body))
  return { method, target, caller, body: bytes }
}

function judge(test: RouteTest, { decision, outcome, upstream }: Evaluation): TestResult {
  const { method, target, caller, expected } = test
  const isExpected = outcome === expected || outcome.startsWith(`${expected} `)
  const isThere = test.upstream === undefined || test.upstream === upstream
  const request = `${method} ${target} ${callerText(caller)}`
  const wanted = isExpected ? `upstream ${test.upstream}` : expected
  const got = isExpected ? (upstream ?? 'none') : outcome
  const passes = isExpected && isThere
  const summary = passes ? `${request}: ${outcome}` : `${request}: expected ${wanted}, got ${got}`
  const rule = decision.kind === 'own' ? undefined : decision.rule
  return { test, passes, outcome, upstream, rule, summary }
}

/** Who asks, as a phrase behind a request: `with scans:read, limited to r1`. */
function callerText(caller: Caller): string {
  if (caller.kind !== 'cli-token') {
    return caller.kind === 'none' ? 'without a credential' : 'with a user JWT'
  }
  const { scopes, repositories, isSigned } = caller
  const held = scopes.length === 0 ? 'a token without scopes' : scopes.join(',')
  const limit = repositories === null ? '' : `, limited to ${repositories.join(',') || 'nothing'}`
  return `with ${held}${limit}${isSigned ? ', signed' : ''}`
}
