/**
 * The README says what is so. Generated parts are written by `UPDATE_README=1 node test/readme.test.ts`.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { loadSettings } from '../src/config/load.ts'
import { SETTINGS } from '../src/config/schema.ts'
import { OWN_ROUTES } from '../src/core/own-routes.ts'
import { checkRoutes } from '../src/routes/check.ts'
import { loadRoutes } from '../src/routes/compile.ts'
import { jsonSchemaText } from '../src/routes/schema.ts'
import { CODES } from '../src/telemetry/labels.ts'
import type { Setting } from '../src/config/kinds.ts'
import { metricsTable } from './support/metrics-table.ts'
import { loadText } from './support/routes.ts'

const ROOT = join(import.meta.dirname, '..')
const FILE = join(ROOT, 'README.md')
const LANGUAGES: Readonly<Record<string, string>> = {
  mjs: 'js',
  py: 'python',
  go: 'go',
  sh: 'bash'
}

const readme = readFileSync(FILE, 'utf8')

function settingsTable(): string {
  const rows = Object.entries<Setting<unknown>>(SETTINGS).map(([name, setting]) => {
    const { range, unit, about, why, isSecret } = setting
    const value = unit === undefined ? range : `${range} ${unit}`
    const cells = [
      `\`${name}\`${isSecret ? ', `_FILE`' : ''}`,
      defaultText(setting.default),
      `${about} (${value})`,
      why
    ]
    return `| ${cells.map(cell => cell.replaceAll('|', String.raw`\|`)).join(' | ')} |`
  })
  return ['| variable | default | meaning | why |', '|---|---|---|---|', ...rows].join('\n')
}

function defaultText(value: unknown): string {
  if (value === undefined) return '–'
  return typeof value === 'object' ? 'none' : `\`${JSON.stringify(value).replaceAll('"', '')}\``
}

function generate(text: string): string {
  const withSettings = text.replace(
    /(<!-- generated: settings -->\n)[\s\S]*?(<!-- end -->)/,
    (_, begin: string, end: string) => `${begin}${settingsTable()}\n${end}`
  )
  const withMetrics = withSettings.replace(
    /(<!-- generated: metrics -->\n)[\s\S]*?(<!-- end -->)/,
    (_, begin: string, end: string) => `${begin}${metricsTable()}\n${end}`
  )
  return withMetrics.replaceAll(
    /<!-- sample: (sign\.(\w+)) -->\n(?:```[\s\S]*?\n```\n)?/g,
    (_, file: string, type: string) => {
      const source = readFileSync(join(ROOT, 'test/signing-clients', file), 'utf8')
      return `<!-- sample: ${file} -->\n\`\`\`${LANGUAGES[type]}\n${source}\`\`\`\n`
    }
  )
}

if (process.env['UPDATE_README']) writeFileSync(FILE, generate(readme))

t.test('the tables of settings and metrics and the samples are those of the code', async t => {
  t.equal(readFileSync(FILE, 'utf8'), generate(readme))
})

t.test('every code that a client can see is explained', async t => {
  for (const code of CODES) if (code !== 'OK') t.match(readme, `\`${code}\``, code)
})

t.test('what the README links to is there', async t => {
  for (const [, target = ''] of readme.matchAll(/\]\(([^)#]+)\)/g)) {
    if (!/^https?:/.test(target)) t.ok(readFileSync(join(ROOT, target)), target)
  }
})

t.test('its two commands come first', async t => {
  const commands = [...readme.matchAll(/^```sh\n([\s\S]*?)\n```/gm)].map(([, text]) => text)
  t.same(commands.slice(0, 2), ['npm ci && npm start', 'npm ci && npm test'])
})

t.test('its route file loads', async t => {
  const yaml = [...readme.matchAll(/^```yaml\n(version: 1\n[\s\S]*?)\n```/gm)].map(
    ([, text = '']) => text
  )
  t.equal(yaml.length, 1)
  t.same(
    loadText(...yaml).findings.filter(({ level }) => level === 'error'),
    []
  )
})

t.test('the schema that editors read is the one that is checked', async t => {
  t.equal(readFileSync(join(ROOT, 'config/routes.schema.json'), 'utf8'), jsonSchemaText())
})

t.test('the example settings are settings', async t => {
  const TOLLGATE_CONFIG = join(ROOT, 'config/tollgate.example.yaml')
  const loaded = loadSettings({
    env: { TOLLGATE_CONFIG },
    readFile: path => readFileSync(path, 'utf8')
  })
  t.match(loaded, { warnings: [] })
})

t.test(
  'the route file that is shipped passes its tests, and has no error and no warning',
  async t => {
    const file = join(ROOT, 'config/routes.yaml')
    t.ok('table' in (await checkRoutes(file, { ownRoutes: OWN_ROUTES })))
    const loaded = await loadRoutes(file, { ownRoutes: OWN_ROUTES })
    t.same(
      loaded.findings.filter(({ level }) => level !== 'note'),
      []
    )
  }
)
