import t from 'tap'
import { createTokenStore } from '../../src/store/tokens.ts'
import { openTestDatabase, startPostgres } from '../support/postgres.ts'
import { createOne, createTokens, newToken, OPERATOR, testStores } from './store-claims.ts'

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

t.test('two bulk revocations at once take each token once, and neither fails', async t => {
  const stores = [database, openTestDatabase(url)]
  t.teardown(() => stores[1]?.[Symbol.asyncDispose]())
  for (let i = 0; i < 5; i++) {
    const { userId } = newToken()
    const orgId = `org of ${userId}`
    await createTokens(createTokenStore(database), 20, { userId, orgId })
    const results = await Promise.all(
      stores.flatMap(each => [
        createTokenStore(each).revokeMany({ userId }, OPERATOR),
        createTokenStore(each).revokeMany({ orgId }, OPERATOR)
      ])
    )
    const ids = results.flatMap(result => result.ids)
    t.equal(ids.length, 20)
    t.equal(new Set(ids).size, 20)
  }
})
