import t from 'tap'
import { createTokenStore } from '../../src/store/tokens.ts'
import { openTestDatabase, startPostgres } from '../support/postgres.ts'
import { createOne, OPERATOR, testStores } from './store-claims.ts'

const server = await startPostgres(t)
const { url } = await server.createDatabase()
const database = openTestDatabase(url)
t.teardown(() => database[Symbol.asyncDispose]())

testStores(t, database)

t.test('of twenty revocations at once each has the time of the first', async t => {
  const replicas = [1, 2, 3, 4].map(() => openTestDatabase(url))
  const row = await createOne(createTokenStore(database))
  const results = await Promise.all(
    [...replicas, ...replicas, ...replicas, ...replicas, ...replicas].map(replica =>
      createTokenStore(replica).revoke(row.id, undefined, OPERATOR)
    )
  )
  t.equal(new Set(results.map(result => JSON.stringify(result))).size, 1)
  for (const replica of replicas) await replica[Symbol.asyncDispose]()
})

t.test('bulk revocations at once take each token once, and none fails', async t => {
  const created = await server.createDatabase()
  // By user the index gives the newest first, by organisation the oldest: each way is taken.
  const name = new URL(created.url).pathname.slice(1)
  await created.sql(`ALTER DATABASE ${name} SET enable_seqscan = off;
    ALTER DATABASE ${name} SET enable_bitmapscan = off`)
  const replicas = [1, 2].map(() => openTestDatabase(created.url))
  for (let i = 0; i < 5; i++) {
    await created.sql(
      `INSERT INTO tg_token (digest, preview, user_id, org_id, name, scopes, created_at)
        SELECT sha256(($1 || n)::bytea), 'p', $1, $1, 'n', '{}', to_timestamp(n)
        FROM generate_series(1, 900) n`,
      [`u${i}`]
    )
    const filters = [{ userId: `u${i}` }, { orgId: `u${i}` }]
    const results = await Promise.all(
      replicas.flatMap(replica =>
        filters.map(filter => createTokenStore(replica).revokeMany(filter, OPERATOR))
      )
    )
    t.equal(new Set(results.flatMap(({ ids }) => ids)).size, 900)
    t.equal(results.flatMap(({ ids }) => ids).length, 900)
  }
  for (const replica of replicas) await replica[Symbol.asyncDispose]()
})
