import t from 'tap'
import { neededScopes } from '../../src/core/coverage.ts'
import { tableWith } from './examples.ts'

const table = tableWith({ 'a:write': ['a:read'] })

t.test('a granted scope is needed where it, or what it implies, is asked for', async t => {
  const granted = ['a:write', 'b:read']
  t.same(neededScopes({ kind: 'all', scopes: ['a:read', 'b:read'] }, granted, table), granted)
  t.same(neededScopes({ kind: 'any', scopes: ['c:read', 'b:read'] }, granted, table), ['b:read'])
  t.same(neededScopes({ kind: 'all', scopes: ['c:read'] }, granted, table), [])
})

t.test('a rule that asks for no scope needs none', async t => {
  t.same(neededScopes({ kind: 'any-token' }, ['a:read'], table), [])
  t.same(neededScopes({ kind: 'public' }, ['a:read'], table), [])
})
