/** The fuzzer works: it finds nothing in the gate, and something in a gate that is broken. */
import t from 'tap'
import { effort } from '../support/effort.ts'
import { digestToken } from '../../src/core/token.ts'
import { fuzz } from './fuzzer.ts'

t.setTimeout(120_000)

t.test('random requests neither crash nor pass the gate', async t => {
  const seed = Date.now() % 1_000_000
  t.comment(`FUZZ_SEED=${seed}`)
  const executions = effort(1500, 30_000)
  const { findings, statuses, passed } = await fuzz(t, { seed, executions, seconds: 60 })
  t.same(findings, [])
  t.ok(passed > executions / 20, `${passed} requests went on`)
  for (const status of ['200', '400', '401'])
    t.ok(statuses.has(status), `some were answered ${status}`)
})

t.test('a gate that takes every token for one is found out', async t => {
  const entry = {
    row: {
      id: 'stranger',
      digest: digestToken('ci_'),
      preview: 'ci_…',
      userId: 'u1',
      orgId: null,
      name: 'ci',
      scopes: ['a:read', 'b:read'],
      repositories: null,
      requireSignature: false,
      createdAtMs: 0,
      lastUsedAtMs: null,
      expiresAtMs: null,
      revokedAtMs: null
    }
  }
  const tokens = { peek: () => entry, find: async () => entry, lapse: () => undefined }
  const { findings } = await fuzz(t, { seed: 1, executions: 300, seconds: 60, deps: { tokens } })
  t.ok(findings.length > 0)
})
