import t from 'tap'
import { parseMetrics } from './prometheus.ts'

const GOOD = `# HELP a_total Things
# TYPE a_total counter
a_total{x="1",y="a\\"b\\\\c\\nd"} 3
a_total{x="2",y=""} 1.5e+3
# HELP s_seconds Waits
# TYPE s_seconds histogram
s_seconds_bucket{le="0.1"} 1
s_seconds_bucket{le="+Inf"} 2
s_seconds_sum 4.5
s_seconds_count 2
`

t.test('what is right is read as it is', async t => {
  const families = parseMetrics(GOOD)
  t.same([...families.keys()], ['a_total', 's_seconds'])
  t.same(families.get('a_total'), {
    name: 'a_total',
    help: 'Things',
    kind: 'counter',
    samples: [
      { name: 'a_total', labels: { x: '1', y: 'a"b\\c\nd' }, value: 3 },
      { name: 'a_total', labels: { x: '2', y: '' }, value: 1500 }
    ]
  })
  t.equal(families.get('s_seconds')?.samples.length, 4)
})

t.test('what a scraper would refuse is refused', async t => {
  const wrong: Readonly<Record<string, readonly [string | RegExp, string]>> = {
    'no end of the last line': [/\n$/, ''],
    'a sample without TYPE': ['# TYPE a_total counter\n', ''],
    'TYPE without HELP': ['# HELP a_total Things\n', ''],
    'a metric in two places': [/$/, '# HELP a_total Things\n# TYPE a_total counter\n'],
    'a series twice': ['a_total{x="2",y=""} 1.5e+3', 'a_total{x="1",y="a\\"b\\\\c\\nd"} 4'],
    'a label twice': ['x="2",y=""', 'x="2",x="3"'],
    'a label without its end': ['y=""}', 'y="}'],
    'a bare quotation mark': ['a\\"b', 'a"b'],
    'a value that is none': ['} 3\n', '} three\n'],
    'a counter that does not say so': [/a_total/g, 'a'],
    'a counter below zero': ['} 3\n', '} -3\n'],
    'an empty help': ['a_total Things', 'a_total '],
    'buckets that fall': ['le="0.1"} 1', 'le="0.1"} 3'],
    'buckets without the last': ['s_seconds_bucket{le="+Inf"} 2\n', ''],
    'a count that differs': ['s_seconds_count 2', 's_seconds_count 3'],
    'a sum that is missing': ['s_seconds_sum 4.5\n', ''],
    'a comment': [/^/, '# hello\n'],
    'a sample of another metric': ['s_seconds_count 2', 't_count 2']
  }
  for (const [why, [from, to]] of Object.entries(wrong)) {
    const text = GOOD.replace(from, to)
    t.not(text, GOOD, why)
    t.throws(() => parseMetrics(text), Error, why)
  }
})
