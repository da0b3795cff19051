import t from 'tap'
import type { Place } from '../../src/core/rule.ts'
import {
  finding,
  hasError,
  placeSeenFrom,
  placeText,
  sortFindings,
  suggestion
} from '../../src/routes/findings.ts'

const at = (line: number, col = 1, file = 'a.yaml'): Place => ({ file, line, col })

t.test('findings are sorted by level, then file as read, line and column', async t => {
  const sorted = sortFindings(
    [
      finding('crossing', at(1), '7'),
      finding('unused-scope', at(2), '6'),
      finding('overlap', at(1, 1, 'Z.yaml'), '4'),
      finding('yaml', at(9, 2), '3'),
      finding('yaml', at(9, 1), '2'),
      finding('bad-key', at(8), '1'),
      finding('crossing', at(1), '5', 'warning')
    ],
    ['a.yaml', 'Z.yaml']
  )
  t.same(
    sorted.map(({ message }) => message),
    ['1', '2', '3', '4', '5', '6', '7']
  )
})

t.test('a finding has the level of its code unless it is told another', async t => {
  t.equal(finding('overlap', at(1), '').level, 'error')
  t.equal(finding('unreachable', at(1), '').level, 'warning')
  t.equal(finding('crossing', at(1), '').level, 'note')
  t.equal(finding('crossing', at(1), '', 'warning').level, 'warning')
  t.equal(hasError([finding('crossing', at(1), ''), finding('report-mode', at(1), '')]), false)
  t.equal(hasError([finding('crossing', at(1), ''), finding('yaml', at(1), '')]), true)
})

t.test('a place is named from where the reader is', async t => {
  t.equal(placeText(at(4, 7)), 'a.yaml:4:7')
  t.equal(placeSeenFrom(at(1), at(4, 7)), 'line 4')
  t.equal(placeSeenFrom(at(1), at(4, 7, 'b.yaml')), 'b.yaml:4:7')
})

t.test('the nearest known word is suggested, at two edits or less, one in short words', async t => {
  const known = ['scans:read', 'scans:reads', 'mode', 'jwt', 'public']
  for (const [word, expected] of [
    ['scan:read', 'scans:read'],
    ['scans:raed', 'scans:read'],
    ['scans:reads2', 'scans:reads'],
    ['mod', 'mode'],
    ['jtw', undefined],
    ['jw', 'jwt'],
    ['pblick', 'public'],
    ['pbick', undefined],
    ['something', undefined],
    ['', undefined]
  ] as const) {
    t.equal(
      suggestion(word, known),
      expected === undefined ? '' : ` Did you mean "${expected}"?`,
      word
    )
  }
})
