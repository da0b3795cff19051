/**
 * Operations of an OpenAPI document → the text of a route file that loads. What the document does not
 * decide is refused and marked; what cannot be written is left as a comment.
 */
import { createHash } from 'node:crypto'
import type { OwnRoute } from '../core/rule.ts'
import { compileRoutes } from './compile.ts'
import { type Finding, finding } from './findings.ts'
import type { Access, OpenApi, Operation } from './openapi.ts'
import { parseYaml } from './parse.ts'
import { ScopeName } from './schema.ts'
import { hasShape } from './shape.ts'
import { printable } from './text.ts'

const FILE = 'routes.yaml'

/** `source`: the document's name, for people. The text is ended, and has no error. */
export function importOpenApi(
  api: OpenApi,
  source: string,
  ownRoutes: readonly OwnRoute[]
): string {
  const names = nameScopes(api.operations)
  const lines = [
    '# yaml-language-server: $schema=./routes.schema.json',
    `# Made from ${printable(source)} (${printable(api.name)}). Who may do what is what it says, and nothing else.`,
    'version: 1',
    ...scopeLines(names, api.scopeTexts),
    ...routeLines(api.operations, names)
  ]
  return `${commentOutErrors(lines, ownRoutes).join('\n')}\n`
}

/** The document's scopes, in the grammar of ours: `file_content:read` is `file-content:read`. */
function nameScopes(operations: readonly Operation[]): ReadonlyMap<string, string> {
  const names = new Map<string, string>()
  for (const { access } of operations) {
    for (const scope of 'scopes' in access ? access.scopes : []) {
      if (!names.has(scope)) names.set(scope, newName(scope, [...names.values()]))
    }
  }
  return names
}

function newName(scope: string, taken: readonly string[]): string {
  const parts = scope
    .toLowerCase()
    .split(/[:./]+/)
    .map(part => part.replaceAll(/[^a-z0-9]+/g, '-').replaceAll(/^[^a-z]+|-+$/g, ''))
    .filter(part => part !== '')
  const joined = parts.length > 1 ? parts.join(':') : `api:${parts[0] ?? 'scope'}`
  const digest = createHash('sha256').update(scope).digest('hex').slice(0, 8)
  const isFree = hasShape(ScopeName, joined) && !taken.includes(joined)
  return isFree ? joined : `${joined.slice(0, 50).replace(/[:-]+$/, '')}-${digest}`
}

function scopeLines(
  names: ReadonlyMap<string, string>,
  texts: ReadonlyMap<string, string>
): readonly string[] {
  if (names.size === 0) return ['scopes: {}']
  const lines = [...names].map(([scope, name]) => {
    const about = printable((texts.get(scope) ?? '').replaceAll(/\s+/g, ' ').trim()).slice(0, 500)
    const said = about === '' ? '' : `, about: ${JSON.stringify(about)}`
    return `  ${name}: { title: ${JSON.stringify(printable(scope).slice(0, 100))}${said} }`
  })
  return ['scopes:', ...lines]
}

function routeLines(
  operations: readonly Operation[],
  names: ReadonlyMap<string, string>
): readonly string[] {
  if (operations.length === 0) return ['routes: {}']
  const lines = operations.map(({ method, path, access, note }) => {
    const key = `${method} ${path}`
    const written = /^[\w ,/{}:.|~@$!+=-]+$/.test(key) ? key : JSON.stringify(key)
    const remarks = [
      ...(access.kind === 'undecided' ? [`TODO decide: ${access.reason}`] : []),
      ...(note === undefined ? [] : [note])
    ]
    const remark = remarks.length === 0 ? '' : `  # ${printable(remarks.join('; '))}`
    return `  ${written}: ${valueOf(access, names)}${remark}`
  })
  return ['routes:', ...lines]
}

function valueOf(access: Access, names: ReadonlyMap<string, string>): string {
  if (access.kind === 'public') return 'public'
  if (access.kind === 'undecided') return 'deny'
  const scopes = access.scopes.map(scope => names.get(scope) ?? scope)
  const list = `[${scopes.join(', ')}]`
  if (access.kind === 'any') return `{ any: ${list} }`
  return scopes.length === 1 ? scopes.join('') : list
}

/** Lines that the compiler refuses become comments that say why, until none is left. */
function commentOutErrors(
  lines: readonly string[],
  ownRoutes: readonly OwnRoute[]
): readonly string[] {
  const errors = errorsOf(lines, ownRoutes)
  const byLine = new Map(errors.map(({ place, message }) => [place.line - 1, message]))
  const first = lines.findIndex(line => line.startsWith('routes:'))
  const wrong = lines.map((_, i) => (i > first ? byLine.get(i) : undefined))
  if (wrong.every(message => message === undefined)) return lines
  const commented = lines.map((line, i) =>
    wrong[i] === undefined ? line : `  # left out, ${wrong[i]}:${line.slice(1)}`
  )
  return commentOutErrors(withRoutes(commented, first), ownRoutes)
}

/** A map of comments alone would be none. */
function withRoutes(lines: readonly string[], first: number): readonly string[] {
  const isEmpty = lines.slice(first + 1).every(line => line.startsWith('  #'))
  return isEmpty ? lines.with(first, 'routes: {}') : lines
}

function errorsOf(lines: readonly string[], ownRoutes: readonly OwnRoute[]): readonly Finding[] {
  const findings: Finding[] = []
  const root = parseYaml(lines.join('\n'), FILE, (code, place, message) => {
    findings.push(finding(code, place, message))
  })
  const sources = { files: [{ file: FILE, root }], seen: new Map(), hash: '' }
  const compiled = compileRoutes(sources, findings, { ownRoutes })
  return compiled.findings.filter(({ level }) => level === 'error')
}
