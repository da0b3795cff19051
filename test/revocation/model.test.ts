/**
 * The promise, played in virtual time: many fleets, each with a kind of trouble. With the protocol
 * as it is, nobody is accepted after the answer. With any one rule taken out, some run shows it.
 */
import t from 'tap'
import { createRevocation } from '../../src/revocation/revocation.ts'
import { effort } from '../support/effort.ts'
import { openNursery } from './support/mutants.ts'
import { MUTANTS } from './support/rules.ts'
import { play } from './support/scenarios.ts'

const RUNS = effort(1500, 100_000)
/** More than any rule has needed to be missed. */
const MUTANT_RUNS = 4000
/** Another start plays other fleets: `SEED=12345 node test/revocation/model.test.ts`. */
const FIRST_SEED = Number(process.env['SEED'] ?? 1)

t.test('no run of the protocol accepts a token after its DELETE was answered', async t => {
  const seen = new Map<string, number>()
  let accepted = 0
  let answered = 0
  for (let seed = FIRST_SEED; seed < FIRST_SEED + RUNS; seed++) {
    const outcome = await play(seed, { create: createRevocation })
    if (outcome.violation) {
      t.fail(`seed ${seed}, ${outcome.trouble}: ${outcome.violation}`)
      return
    }
    seen.set(outcome.trouble, (seen.get(outcome.trouble) ?? 0) + 1)
    accepted += outcome.accepted
    answered += outcome.answered
  }
  t.ok(accepted > RUNS && answered > RUNS / 2, 'tokens were accepted, and revocations answered')
  t.comment(`seeds from ${FIRST_SEED}: ${JSON.stringify(Object.fromEntries(seen))}`)
})

t.test('the same seed plays the same run', async t => {
  const [one, two] = [
    await play(7, { create: createRevocation }),
    await play(7, { create: createRevocation })
  ]
  t.same(one, two)
})

t.test('every rule of the protocol is needed: without it, a run breaks the promise', async t => {
  const nursery = openNursery()
  t.teardown(() => nursery.remove())
  let number = 0
  for (const [rule, { patches, protocol }] of Object.entries(MUTANTS)) {
    number += 1
    const create = patches ? await nursery.make(`mutant-${number}`, patches) : createRevocation
    let runs = 0
    let violation: string | undefined
    while (violation === undefined && runs < MUTANT_RUNS) {
      runs += 1
      violation = (await play(FIRST_SEED + runs, { create, ...protocol })).violation
    }
    t.ok(violation, `${rule} (run ${runs})`)
  }
})
