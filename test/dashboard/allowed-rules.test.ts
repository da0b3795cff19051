/** The preview on the page against the gate: both are asked about every rule, for random tokens. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as fc from 'fast-check'
import t from 'tap'
import { createGate } from '../../src/core/gate.ts'
import { NO_OBSERVER } from '../../src/core/observer.ts'
import { parseOrThrow, type Segment } from '../../src/core/route-pattern.ts'
import type { Rule, RouteTable } from '../../src/core/rule.ts'
import { sign } from '../../src/core/signature.ts'
import {
  type AllowedRule,
  allowedRules,
  type Catalogue,
  heldScopes,
  type Selection
} from '../../src/dashboard/assets/allowed-rules.js'
import { catalogueText } from '../../src/dashboard/catalogue.ts'
import { targetOf } from '../../src/routes/target-of.ts'
import { NOW, TOKEN, token } from '../core/examples.ts'
import { effort } from '../support/effort.ts'
import { startProxy } from '../support/proxy.ts'
import { loadText } from '../support/routes.ts'

const SHIPPED = readFileSync(join(import.meta.dirname, '../../config/routes.yaml'), 'utf8')
const EVERY_KIND = `version: 1
scopes:
  a:read: { title: A }
  a:write: { title: W, implies: [a:read] }
  a:admin: { title: X, implies: [a:write, b:read] }
  b:read: { title: B }
routes:
  GET /open: public
  GET /people: jwt
  GET /never: deny
  GET /any: { scope: any-token, repo: none }
  GET /any-unbound: any-token
  GET /a: { scope: a:read, repo: upstream }
  POST /a: { scope: a:write, repo: [body.repo, upstream] }
  GET /a/{repo}: { scope: a:read, repo: "{repo}" }
  GET /a/{id:hex24}/log: { scope: [a:read, b:read], repo: "{id}" }
  "* /a/{repo}/{level:low|high}/{n:int}/{rest...}": { scope: a:admin, repo: ["{repo}", query.more] }
  GET /b: b:read
  GET /b/{u:uuid}/{s:slug}: { scope: { any: [a:write, b:read] }, repo: [query.repo, upstream] }
  PUT,PATCH /b: { scope: { any: [a:admin, b:read] }, repo: "body.repos[]" }
  POST /signed: { scope: a:read, repo: none, signature: required }
  POST /signed/{repo}: { scope: b:read, repo: "{repo}", signature: required }
  GET /soft: { scope: a:admin, repo: none, mode: report }
  GET /soft/unbound: { scope: a:read, mode: report }
  POST /soft/{repo}: { scope: b:read, repo: "{repo}", mode: report, signature: required }
`

const CHOSEN = 'a'.repeat(24)
const OTHER = 'b'.repeat(24)

const VALUES = { int: '7', uuid: '0190c5a0-0000-7000-8000-000000000001', slug: 'x-1' } as const

function valueOf(segment: Segment, repository: string): string {
  switch (segment.kind) {
    case 'literal':
      return segment.text
    case 'enum':
      return segment.values[0] ?? ''
    case 'typed':
      return segment.type === 'hex24' ? repository : VALUES[segment.type]
    case 'any':
      return repository
    case 'rest':
      return 'x/y'
  }
}

interface Sample {
  readonly method: string
  readonly target: string
  readonly body: string
}

/** A request that this rule decides, and that names the repository wherever the rule looks for one. */
function sampleOf(rule: Rule, repository: string, table: RouteTable): Sample {
  const { segments } = parseOrThrow(rule.key)
  const path = `/${segments.map(segment => valueOf(segment, repository)).join('/')}`
  const named = (rule.bindings ?? []).filter(({ kind }) => kind !== 'path')
  const query = named.flatMap(binding =>
    binding.kind === 'query' ? [`${binding.name}=${repository}`] : []
  )
  const members = named.flatMap(binding =>
    binding.kind === 'body'
      ? [[binding.name, repository]]
      : binding.kind === 'body-list'
        ? [[binding.name, [repository]]]
        : []
  )
  const method = rule.methods[0] ?? ''
  const match = table.match(method, targetOf(path))
  if (match.kind !== 'rule' || match.rule !== rule) throw new Error(`${path} is not ${rule.key}`)
  return {
    method,
    target: query.length > 0 ? `${path}?${query.join('&')}` : path,
    body: members.length > 0 ? JSON.stringify(Object.fromEntries(members)) : ''
  }
}

interface Asking {
  readonly table: RouteTable
  readonly selection: Selection
  readonly sample: Sample
  readonly isSigned: boolean
}

/** What the gate makes of it: permitted, permitted by report mode alone, or the code of the refusal. */
async function verdictOf({ table, selection, sample, isSigned }: Asking): Promise<string> {
  const { method, target, body } = sample
  const { scopes, isLimited, requireSignature } = selection
  const row = { ...token, orgId: null, scopes, requireSignature }
  const entry = { row: { ...row, repositories: isLimited ? [CHOSEN] : null } }
  const gate = createGate({
    routes: () => table,
    tokens: { peek: () => entry, find: async () => entry, lapse: () => undefined },
    users: { verify: async () => 'invalid' },
    uses: { used: () => undefined },
    load: { admit: () => undefined },
    nonces: { claim: async () => 'new' },
    clock: { nowMs: () => NOW, wallMs: () => NOW, isTrusted: () => true },
    observer: NO_OBSERVER,
    signing: { windowMs: 1000, bodyLimitBytes: 1000, query: 'required', body: 'raw' }
  })
  const stamp = { timestamp: String(NOW), nonce: 'n' }
  const signature = isSigned && sign(stamp, { method, path: target, body }, TOKEN)
  const decision = await gate.decide({
    method,
    rawTarget: target,
    httpVersion: '1.1',
    rawHeaders: [
      'Host',
      'gate',
      'Authorization',
      `Bearer ${TOKEN}`,
      ...(body ? ['Content-Type', 'application/json', 'Content-Length', String(body.length)] : []),
      ...(signature
        ? ['X-Cli-Signature', signature, 'X-Cli-Timestamp', stamp.timestamp, 'X-Cli-Nonce', 'n']
        : [])
    ],
    body: { hold: async () => Buffer.from(body) }
  })
  if (decision.kind === 'denial') return decision.code
  return decision.kind === 'permit' && decision.wouldDeny ? 'report' : 'permit'
}

function catalogueOf(table: RouteTable): Catalogue {
  return JSON.parse(catalogueText(table))
}

/** By key; a rule that the page does not list is not among them. */
function listed(rules: readonly AllowedRule[]): ReadonlyMap<string, AllowedRule> {
  return new Map(rules.map(entry => [keyOf(entry.rule), entry]))
}

function keyOf({ methods, path }: Pick<Rule, 'methods' | 'path'>): string {
  return `${methods.join(',')} ${path}`
}

function isForTokens({ need }: Rule): boolean {
  return !['public', 'jwt', 'deny'].includes(need.kind)
}

/** Where the page and the gate say different things about a rule. */
async function differences(table: RouteTable, selection: Selection): Promise<readonly string[]> {
  const shown = listed(allowedRules(catalogueOf(table), selection))
  const found: string[] = []
  for (const rule of table.rules.filter(isForTokens)) {
    const entry = shown.get(keyOf(rule))
    const expect = async (what: string, wanted: string, repository: string, isSigned: boolean) => {
      const sample = sampleOf(rule, repository, table)
      const verdict = await verdictOf({ table, selection, sample, isSigned })
      if (verdict !== wanted) found.push(`${rule.key}, ${what}: ${verdict}, not ${wanted}`)
    }
    if (!entry) {
      await expect('not listed', 'INSUFFICIENT_SCOPE', CHOSEN, true)
    } else if (!entry.isCallable) {
      await expect('not callable', 'REPOSITORY_DENIED', CHOSEN, true)
    } else {
      const passes = entry.byReport ? 'report' : 'permit'
      await expect('as shown', passes, CHOSEN, entry.needsSignature)
      if (entry.needsSignature) await expect('unsigned', 'INVALID_SIGNATURE', CHOSEN, false)
      const kinds = rule.bindings?.map(({ kind }) => kind) ?? []
      const namesOne = kinds.some(kind => kind !== 'upstream' && kind !== 'none')
      const isWaived = rule.mode === 'report' && selection.isLimited && namesOne
      if (!entry.onlyChosen) {
        const wanted = isWaived ? 'report' : passes
        await expect('any repository', wanted, OTHER, entry.needsSignature)
      } else if (namesOne && !(isWaived && kinds.includes('upstream'))) {
        await expect('another one', 'REPOSITORY_DENIED', OTHER, entry.needsSignature)
      }
    }
  }
  return found
}

function selectionsOf(table: RouteTable): fc.Arbitrary<Selection> {
  return fc.record({
    scopes: fc.subarray([...table.scopes.keys()]),
    isLimited: fc.boolean(),
    requireSignature: fc.boolean()
  })
}

t.test('the preview says of every rule what the gate does, whatever is ticked', async () => {
  for (const [text, runs] of [
    [EVERY_KIND, effort(150, 1000)],
    [SHIPPED, effort(10, 1000)]
  ] as const) {
    const { table } = loadText(text)
    const law = fc.asyncProperty(selectionsOf(table), async selection => {
      const found = await differences(table, selection)
      if (found.length > 0) throw new Error(found.join('\n'))
    })
    await fc.assert(law, { numRuns: runs })
  }
})

t.test('what is listed is answered, and nothing else is, on the wire', async t => {
  const { table } = loadText(SHIPPED)
  const proxy = await startProxy(t, { routes: SHIPPED })
  const runs = effort(3, 20)
  for (const selection of fc.sample(selectionsOf(table), { numRuns: runs, seed: 8 })) {
    const { scopes, isLimited, requireSignature } = selection
    const repositories = isLimited ? [CHOSEN] : null
    const { text } = proxy.addToken({ scopes, repositories, requireSignature })
    const shown = listed(allowedRules(catalogueOf(table), selection))
    for (const rule of table.rules.filter(isForTokens)) {
      const { method, target, body } = sampleOf(rule, CHOSEN, table)
      const stamp = { timestamp: String(Date.now()), nonce: crypto.randomUUID() }
      const arrived = proxy.upstream.requests.length
      const answer = await fetch(`${proxy.url}${target}`, {
        method,
        headers: {
          authorization: `Bearer ${text}`,
          'x-cli-signature': sign(stamp, { method, path: target, body }, text),
          'x-cli-timestamp': stamp.timestamp,
          'x-cli-nonce': stamp.nonce,
          ...(body ? { 'content-type': 'application/json' } : {})
        },
        ...(body ? { body } : {})
      })
      await answer.arrayBuffer()
      const isListed = shown.get(keyOf(rule))?.isCallable ?? false
      const sent = proxy.upstream.requests.length - arrived
      if (answer.status !== (isListed ? 200 : 403) || sent !== (isListed ? 1 : 0)) {
        t.fail(`${rule.key} for ${JSON.stringify(selection)}: ${answer.status}, ${sent} sent`)
      }
    }
    t.pass(`${shown.size} rules of ${table.rules.length}`)
  }
})

t.test('what comes with a scope is shown with the one that it comes by', async t => {
  const catalogue = catalogueOf(loadText(EVERY_KIND).table)
  const held = (...ticked: readonly string[]) => Object.fromEntries(heldScopes(catalogue, ticked))
  t.strictSame(held('a:write'), { 'a:write': undefined, 'a:read': 'a:write' })
  t.strictSame(
    held('a:admin', 'a:read'),
    { 'a:admin': undefined, 'a:read': undefined, 'a:write': 'a:admin', 'b:read': 'a:admin' },
    'one that is ticked itself comes by nothing'
  )
  t.strictSame(held('gone:x'), {}, 'unknown ones are left out')
})
