/**
 * The chart's values: the schema is made from the settings and from a table, every value is commented,
 * and the library's defaults are those of the chart. `UPDATE_HELM=1 node test/helm/values-schema.test.ts`
 * writes the schema.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { parse, parseDocument, isMap, isScalar, type YAMLMap } from 'yaml'
import { SETTINGS } from '../../src/config/schema.ts'
import type { Setting } from '../../src/config/kinds.ts'
import { isRecord } from '../support/helm.ts'
import { valuesSchema } from './values-schema.ts'

const ROOT = join(import.meta.dirname, '../..')
const HELM = join(ROOT, 'helm')
const LIBRARY = join(HELM, 'charts/tollgate-lib')
const FILE = join(HELM, 'values.schema.json')

const read = (path: string) => readFileSync(path, 'utf8')

/** A named template that is plain YAML. */
function yamlOf(file: string, name: string): Record<string, unknown> {
  const source = read(join(LIBRARY, 'templates', file))
  const begin = `define "${name}" -}}\n`
  const from = source.indexOf(begin) + begin.length
  const value: unknown = parse(source.slice(from, source.indexOf('{{-', from)))
  if (!isRecord(value)) throw new Error(`${name} is no mapping`)
  return value
}

const owners = Object.fromEntries(
  Object.entries(yamlOf('_problems.tpl', 'tollgate-lib.owners')).map(([name, why]) => [
    name,
    String(why)
  ])
)
const wanted = `${JSON.stringify(valuesSchema(owners), null, 2)}\n`
if (process.env['UPDATE_HELM']) writeFileSync(FILE, wanted)

t.test('the schema is that of the settings and of the table', async t => {
  t.equal(read(FILE), wanted)
})

t.test('every secret, and every setting that the chart makes, is refused in config', async t => {
  const secrets = Object.entries<Setting<unknown>>(SETTINGS)
    .filter(([, { isSecret }]) => isSecret)
    .map(([name]) => name)
  for (const name of secrets) t.match(owners[name], /^it is a secret/, name)
  for (const name of Object.keys(owners)) t.ok(name in SETTINGS, `${name} is a setting`)
  const env = read(join(LIBRARY, 'templates/_env.tpl'))
  for (const [, name = ''] of env.matchAll(/\{ name: ([A-Z_]+),/g)) {
    if (name === 'NODE_OPTIONS') continue
    t.ok(owners[name] ?? owners[name.replace(/_FILE$/, '')], `${name} has an owner`)
  }
})

t.test('no setting in config is a boolean, so that on and off can be told', async t => {
  for (const [name, { json }] of Object.entries<Setting<unknown>>(SETTINGS)) {
    if (!(name in owners)) t.not(json.type, 'boolean', name)
  }
})

t.test('every value is in the schema, and has its comment in values.yaml', async t => {
  const document = parseDocument(read(join(HELM, 'values.yaml')))
  if (!isMap(document.contents)) throw new Error('no mapping')
  const schema: unknown = parse(wanted)
  const check = (map: YAMLMap, within: unknown, path: string, isCommented: boolean) => {
    const properties = isRecord(within) ? within['properties'] : undefined
    if (!isRecord(properties)) return
    const keys = map.items.map(({ key }) => (isScalar(key) ? String(key.value) : ''))
    const known = Object.keys(properties).filter(key => key !== 'tollgate-lib')
    t.same(keys.toSorted(), path === 'config' ? [] : known.toSorted(), `keys of ${path || 'all'}`)
    let hasComment = false
    map.items.forEach(({ key, value }, i) => {
      if (!isScalar(key)) return
      const name = String(key.value)
      const before = i === 0 ? map.commentBefore : key.commentBefore
      // Values side by side in one paragraph share the comment above them.
      hasComment = Boolean(before ?? key.commentBefore) || (hasComment && key.spaceBefore !== true)
      const here = `${path}${path && '.'}${name}`
      const isPlain = !isMap(value) || value.flow === true || value.items.length === 0
      if (isPlain) {
        t.ok(hasComment || isCommented || PLAIN.test(here), `${here} says what follows from it`)
      }
      if (isMap(value)) check(value, properties[name], here, hasComment || isCommented)
    })
  }
  check(document.contents, schema, '', false)
})

/** Kubernetes' own words, which say what they are. */
const PLAIN =
  /^(?:image\.pullPolicy|pod(?:Labels|Annotations)|nodeSelector|tolerations|affinity|priorityClassName)$/

t.test("the library's defaults are those of values.yaml", async t => {
  const values: unknown = parse(read(join(HELM, 'values.yaml')))
  const compare = (defaults: Record<string, unknown>, given: unknown, path: string) => {
    for (const [key, value] of Object.entries(defaults)) {
      const other = isRecord(given) ? given[key] : undefined
      if (isRecord(value) && isRecord(other)) compare(value, other, `${path}.${key}`)
      else t.same(value, other, `${path}.${key}`)
    }
  }
  compare(yamlOf('_defaults.tpl', 'tollgate-lib.defaults'), values, 'values')
})

t.test('image, charts and program have one version', async t => {
  const manifest: unknown = JSON.parse(read(join(ROOT, 'package.json')))
  const version = isRecord(manifest) ? manifest['version'] : undefined
  const texts = read(join(LIBRARY, 'templates/_texts.tpl'))
  t.equal(/define "tollgate-lib.version" -\}\}\n(\S+)\n/.exec(texts)?.[1], version)
  for (const folder of [HELM, LIBRARY]) {
    t.match(parse(read(join(folder, 'Chart.yaml'))), { appVersion: version, version })
  }
})
