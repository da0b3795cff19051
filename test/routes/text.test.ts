import t from 'tap'
import { alignCells, type Paint, PLAIN } from '../../src/routes/text.ts'

const cells = (...texts: readonly string[]) => texts.map(text => ({ text }))

t.test('what stands last in its row makes no column wider', async t => {
  t.same(alignCells([cells('a', 'b'), cells('long text'), cells('ää', 'c')], PLAIN), [
    'a    b',
    'long text',
    'ää   c'
  ])
  t.same(alignCells([cells('a', ''), cells('', 'b')], PLAIN, 1), ['a', '  b'])
  t.same(alignCells([], PLAIN), [])
})

t.test('colour is put around a text after it was aligned', async t => {
  const paint: Paint = (tone, text) => `<${tone}>${text}</>`
  const rows = [[{ text: 'a', tone: 'bad' } as const, { text: 'b' }], cells('cc', 'd')]
  t.same(alignCells(rows, paint, 1), ['<bad>a</>  b', 'cc d'])
})
