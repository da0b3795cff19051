import t from 'tap'
import { formatTable, hasColour, printListing } from '../../src/commands/output.ts'
import { printable } from '../../src/routes/text.ts'
import { fakeIo } from '../support/command-io.ts'

const listing = {
  heads: ['ID', 'NAME', 'SCOPES'],
  rows: [
    ['1', 'ci', 'a:read'],
    ['22', 'Grüße 🚀', '']
  ],
  json: [{ id: '1' }, { id: '22' }]
}

t.test('a table is aligned, without blanks at the ends of its lines', async t => {
  t.equal(formatTable(listing), 'ID  NAME     SCOPES\n1   ci       a:read\n22  Grüße 🚀\n')
  t.equal(formatTable({ heads: ['ID'], rows: [] }), 'ID\n')
})

t.test('the same as JSON', async t => {
  const io = fakeIo()
  printListing(io, 'json', listing)
  t.same(JSON.parse(io.stdout()), listing.json)
  t.ok(io.stdout().endsWith(']\n'))
})

t.test('a text from elsewhere cannot move the cursor or hide what follows', async t => {
  t.equal(printable('a\u001B[2Jb\r\n\u202Ec\uD800'), 'a\uFFFD[2Jb\uFFFD\uFFFD\uFFFDc\uFFFD')
  t.equal(
    formatTable({ heads: ['NAME'], rows: [['\u001B]0;x\u0007']] }),
    'NAME\n\uFFFD]0;x\uFFFD\n'
  )
})

t.test('colour is for a person at a terminal who did not decline it', async t => {
  const cases = [
    { io: fakeIo({}, true), isColoured: true },
    { io: fakeIo({ NO_COLOR: '' }, true), isColoured: true },
    { io: fakeIo({ NO_COLOR: '1' }, true), isColoured: false },
    { io: fakeIo({}, false), isColoured: false }
  ]
  for (const { io, isColoured } of cases) {
    t.equal(hasColour(io), isColoured)
    printListing(io, 'table', listing)
    t.equal(io.stdout().includes('\u001B['), isColoured)
  }
})
