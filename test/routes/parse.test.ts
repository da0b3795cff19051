import t from 'tap'
import type { Report } from '../../src/routes/findings.ts'
import { type Node, parseYaml, plain, valueOf } from '../../src/routes/parse.ts'

/** The findings of a text as `line:col code message`. */
function complaints(text: string): readonly string[] {
  const found: string[] = []
  const report: Report = (code, { line, col }, message) => {
    found.push(`${line}:${col} ${code} ${message}`)
  }
  parseYaml(text, 'f.yaml', report)
  return found
}

function parse(text: string): Node {
  const node = parseYaml(text, 'f.yaml', (code, _place, message) => t.fail(`${code} ${message}`))
  if (!node) throw new Error('no node')
  return node
}

t.test('everything knows its line and column', async t => {
  const node = parse('a:\n  - x\n  - { b: 1 }\n"GET /x": true\n')
  t.same(node, {
    kind: 'map',
    place: { file: 'f.yaml', line: 1, col: 1 },
    entries: [
      {
        key: 'a',
        place: { file: 'f.yaml', line: 1, col: 1 },
        value: {
          kind: 'list',
          place: { file: 'f.yaml', line: 2, col: 3 },
          items: [
            { kind: 'scalar', place: { file: 'f.yaml', line: 2, col: 5 }, value: 'x' },
            {
              kind: 'map',
              place: { file: 'f.yaml', line: 3, col: 5 },
              entries: [
                {
                  key: 'b',
                  place: { file: 'f.yaml', line: 3, col: 7 },
                  value: { kind: 'scalar', place: { file: 'f.yaml', line: 3, col: 10 }, value: 1 }
                }
              ]
            }
          ]
        }
      },
      {
        key: 'GET /x',
        place: { file: 'f.yaml', line: 4, col: 1 },
        value: { kind: 'scalar', place: { file: 'f.yaml', line: 4, col: 11 }, value: true }
      }
    ]
  })
  t.same(plain(node), { a: ['x', { b: 1 }], 'GET /x': true })
})

t.test('YAML 1.2 it is: yes is text, keys are text, a missing value is null', async t => {
  t.same(plain(parse('a: yes\nb: 0o17\n1: 1.5\nc:\nd: [x: 1]\ne: { f }')), {
    1: 1.5,
    a: 'yes',
    b: 15,
    c: null,
    d: [{ x: 1 }],
    e: { f: null }
  })
  t.equal(plain(parse('')), null)
  t.equal(plain(parse('\uFEFF# only a comment')), null)
})

t.test('a value is found by its key', async t => {
  const node = parse('a: 1\nb: 2')
  if (node.kind !== 'map') throw new Error('no map')
  t.same(valueOf(node, 'b')?.place, { file: 'f.yaml', line: 2, col: 4 })
  t.equal(valueOf(node, 'c'), undefined)
})

t.test('what makes a text mean something else than it says is an error', async t => {
  t.same(complaints('a: &x 1\nb: *x'), [
    '1:7 yaml anchors are not allowed',
    '2:4 yaml aliases are not allowed; write the value out'
  ])
  t.same(complaints('a: !!str 1\nb: !x { c: 1 }\n!!str k: 1'), [
    '1:10 yaml tags are not allowed',
    '2:7 yaml tags are not allowed',
    '3:7 yaml tags are not allowed'
  ])
  t.same(complaints('<<: { a: 1 }'), ['1:1 yaml merge keys are not allowed; write the keys out'])
  t.same(complaints('%YAML 1.1\n---\na: yes'), ['1:1 yaml directives are not allowed'])
  t.match(complaints('a: 1\n---\nb: 2'), [/^2:1 yaml /])
  t.match(complaints('? [a]\n: 1'), [/^1:3 yaml /])
})

t.test('a key that stands twice is an error that names the first', async t => {
  t.same(complaints('a: 1\nb: { c: 1, c: 1 }\na: 2'), [
    '2:12 duplicate "c" stands twice, first in line 2',
    '3:1 duplicate "a" stands twice, first in line 1'
  ])
})

t.test('a text that is no YAML is an error with its place', async t => {
  t.match(complaints('a: [1,'), [/^1:7 yaml /])
  t.match(complaints('a:\n\tb: 1'), [/^2:1 yaml Tabs/])
  t.match(complaints('a: "\\q"'), [/^1:5 yaml Invalid escape/])
})

t.test('deep nesting is an error, and one mistake makes few lines', async t => {
  const found = complaints('['.repeat(100_000))
  t.ok(found.length > 0 && found.length <= 20)
})
