/** Alerts and dashboard speak of metrics and labels that there are, in PromQL that parses, and are explained. */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { parser } from '@prometheus-io/lezer-promql'
import t from 'tap'
import { parse } from 'yaml'
import { COUNTERS, GAUGES, HISTOGRAMS, type Metric } from '../../src/telemetry/catalogue.ts'
import { at, CHART, listAt } from '../support/helm.ts'

const run = promisify(execFile)
const RULES = join(CHART, 'alerts.yaml')

const PLAYS = ['alerts', 'alerts-week'].map(name =>
  join(import.meta.dirname, `${name}.promtool.yaml`)
)

/** Put to each sample by whoever scrapes. */
const SCRAPED = ['namespace', 'job', 'pod', 'instance', 'container']

/** Every name that a sample can have, with its labels. */
const SAMPLES: ReadonlyMap<string, Metric['labels']> = new Map([
  ...Object.entries<Metric>({ ...COUNTERS, ...GAUGES }).map(
    ([name, { labels }]) => [`tollgate_${name}`, labels] as const
  ),
  ...Object.entries<Metric>(HISTOGRAMS).flatMap(([name, { labels }]) =>
    ['_bucket', '_sum', '_count'].map(
      end => [`tollgate_${name}${end}`, end === '_bucket' ? { ...labels, le: [] } : labels] as const
    )
  )
])

/** Grafana puts these in. */
const plain = (expr: string) => expr.replaceAll('$__rate_interval', '5m')

/**
 * What is wrong with an expression: syntax; a metric or label that does not exist; a value that a label
 * never has; a grouping by labels that none of its metrics carries.
 */
function problemsOf(expr: string): readonly string[] {
  const problems: string[] = []
  const names: string[] = []
  const text = (node: { from: number; to: number }) => expr.slice(node.from, node.to)
  const tree = parser.parse(expr)
  tree.iterate({
    enter: cursor => {
      const { node } = cursor
      if (node.type.isError) problems.push(`syntax at ${node.from}: ${expr}`)
      if (node.name === 'VectorSelector') {
        const name = node.getChild('Identifier')
        const labels = name ? SAMPLES.get(text(name)) : undefined
        if (!name || !labels) {
          problems.push(`no metric ${text(node)}`)
          return
        }
        names.push(text(name))
        node
          .getChild('LabelMatchers')
          ?.cursor()
          .iterate(inner => {
            if (inner.name === 'UnquotedLabelMatcher')
              problems.push(...objections(text(inner), labels))
          })
      }
    }
  })
  const known = new Set([
    ...SCRAPED,
    ...names.flatMap(name => Object.keys(SAMPLES.get(name) ?? {}))
  ])
  tree.iterate({
    enter: ({ node }) => {
      if (node.name !== 'GroupingLabels') return
      for (const label of text(node)
        .replaceAll(/[()\s]/g, '')
        .split(',')) {
        if (label !== '' && !known.has(label)) problems.push(`no label ${label}: ${expr}`)
      }
    }
  })
  if (names.length === 0) problems.push(`no metric in ${expr}`)
  return problems
}

function objections(matcher: string, labels: Metric['labels']): readonly string[] {
  const [, name = '', operator = '', value = ''] =
    /^(\w+)\s*(=~|!~|!=|=)\s*"(.*)"$/.exec(matcher) ?? []
  if (SCRAPED.includes(name)) return []
  const values = labels[name]
  if (values === undefined) return [`no label ${matcher}`]
  if (typeof values === 'string') return []
  const wanted = operator.endsWith('~') ? value.split('|') : [value]
  return wanted
    .filter(one => !values.some(known => new RegExp(`^(?:${one})$`).test(known)))
    .map(one => `${name} is never ${one}`)
}

interface Alert {
  readonly name: string
  readonly expr: string
  readonly text: string
}

const alerts: readonly Alert[] = listAt(parse(readFileSync(RULES, 'utf8')), 'groups').flatMap(
  group =>
    listAt(group, 'rules').map(rule => ({
      name: String(at(rule, 'alert')),
      expr: String(at(rule, 'expr')),
      text: JSON.stringify(rule)
    }))
)

const panels = listAt(
  JSON.parse(readFileSync(join(CHART, 'dashboards/tollgate.json'), 'utf8')),
  'panels'
)

t.test('every alert asks for what the gate counts', async t => {
  t.ok(alerts.length >= 17)
  for (const { name, expr } of alerts) t.same(problemsOf(expr), [], name)
})

t.test('every panel shows what the gate counts, and no two lie on one place', async t => {
  const places = new Set<string>()
  for (const panel of panels) {
    const title = String(at(panel, 'title'))
    const place = JSON.stringify([at(panel, 'gridPos', 'x'), at(panel, 'gridPos', 'y')])
    t.notOk(places.has(place), title)
    places.add(place)
    for (const target of listAt(panel, 'targets')) {
      t.same(problemsOf(plain(String(at(target, 'expr')))), [], title)
    }
  }
  t.ok(places.size > 20)
  const ids = panels.map(panel => at(panel, 'id'))
  t.equal(new Set(ids).size, ids.length)
})

t.test('an expression is objected to where it is wrong', async t => {
  const first = (expr: string) => problemsOf(expr)[0]
  t.match(first('sum(rate(tollgate_requests_total[5m])'), 'syntax')
  t.equal(first('tollgate_request_total'), 'no metric tollgate_request_total')
  t.equal(first('up == 0'), 'no metric up')
  t.equal(first('tollgate_store_up{shop="redis"}'), 'no label shop="redis"')
  t.equal(first('tollgate_store_up{store="mysql"}'), 'store is never mysql')
  t.equal(first('tollgate_requests_total{code=~"UPSTREAM_.*|DOWN"}'), 'code is never DOWN')
  t.match(first('sum by (store) (tollgate_in_flight)'), 'no label store')
  t.equal(first('tollgate_store_up{store="redis", pod="x"} == 0'), undefined)
})

t.test('every alert has its section, with three first commands', async t => {
  const page = readFileSync(join(CHART, 'alerts.md'), 'utf8')
  const sections = new Map(
    page
      .split(/^## /m)
      .slice(1)
      .map(section => [section.slice(0, section.indexOf('\n')), section] as const)
  )
  t.same([...sections.keys()].toSorted(), [...new Set(alerts.map(({ name }) => name))].toSorted())
  for (const [name, section] of sections) {
    t.equal([...section.matchAll(/^\d\. /gm)].length, 3, name)
    for (const [, link = ''] of section.matchAll(/\]\(#([^)]+)\)/g)) {
      t.ok(
        [...sections.keys()].some(other => other.toLowerCase() === link),
        `${name} ${link}`
      )
    }
  }
})

t.test('texts use labels that their expressions keep', async t => {
  for (const { name, expr, text } of alerts) {
    const kept = [...expr.matchAll(/by \(([^)]*)\)/g)].map(([, list = '']) => list.split(/,\s*/))
    const outer = kept[0]
    for (const [, label = ''] of text.matchAll(/\$labels\.(\w+)/g)) {
      t.ok(outer === undefined ? SCRAPED.includes(label) : isKept(expr, outer, label), name)
    }
  }
})

/** `and on`, `unless on` keep the labels of their left side. */
function isKept(expr: string, outer: readonly string[], label: string): boolean {
  return expr.startsWith('tollgate_') ? SCRAPED.includes(label) : outer.includes(label)
}

t.test('each alert fires when it should and is silent when not, by promtool', async t => {
  const tool = await run('promtool', ['--version']).catch(() => undefined)
  if (tool === undefined) {
    t.comment('promtool is not installed: expressions are parsed, not run')
    return
  }
  const checked = await run('promtool', ['check', 'rules', RULES])
  t.match(checked.stdout, 'SUCCESS')
  const played = await run('promtool', ['test', 'rules', ...PLAYS])
  t.notMatch(played.stdout, 'FAILED')
})

t.test('each alert has a case where it fires', async t => {
  const played = PLAYS.map(file => readFileSync(file, 'utf8')).join('')
  for (const { name } of alerts) {
    t.match(played, new RegExp(`alertname="${name}"[^\\n]*\\n[^\\n]*\\n.*value: 1 `), name)
  }
})
