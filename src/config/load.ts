/**
 * From environment and settings file to settings: everything is read before anything is refused, so
 * that all problems are told together. Pure but for the given `readFile`.
 *
 * Secrets may come from a file (`JWT_SECRET_FILE`). Neither a value nor the path of such a file is
 * ever part of a message: paths are where secrets get pasted by mistake.
 */
import { findConflicts } from './conflicts.ts'
import { type Given, parseSettingsFile, type Problem } from './file.ts'
import { isWrong, type Setting } from './kinds.ts'
import { nearest } from './nearest.ts'
import { SETTINGS, type Settings } from './schema.ts'

export interface Sources {
  readonly env: Readonly<Record<string, string | undefined>>
  /** Gives the whole text; throws what node:fs throws. */
  readonly readFile: (path: string) => string
}

export type Loaded =
  /** `warnings`: names in the environment that look like mistyped settings. */
  | { readonly settings: Settings; readonly warnings: readonly string[] }
  | { readonly problems: readonly Problem[] }

const CONFIG = 'TOLLGATE_CONFIG'
const FILE = '_FILE'
const TABLE: ReadonlyMap<string, Setting<unknown>> = new Map(Object.entries(SETTINGS))
/** Every key there is, `…_FILE` of the secrets included, in the order of the table. */
const SHAPES = new Map(
  [...TABLE].flatMap(([name, { shape, isSecret }]) => [
    [name, shape ?? 'text'] as const,
    ...(isSecret ? [[name + FILE, 'text'] as const] : [])
  ])
)

/** Settings, frozen; or every problem there is. */
export function loadSettings(sources: Sources): Loaded {
  const { env } = sources
  const file = readConfig(sources)
  const problems = [...file.problems]
  const values: Record<string, unknown> = {}
  for (const [name, setting] of TABLE) {
    const found = find(name, setting, sources, file.given)
    if (found === undefined) values[name] = setting.default
    else if ('message' in found) problems.push(found)
    else {
      const value = setting.parse(found.text)
      if (isWrong(value)) problems.push({ name, place: found.place, message: value.wrong })
      else values[name] = value
    }
  }
  problems.push(...findConflicts(values, env))
  if (problems.length > 0 || !isComplete(values)) return { problems }
  return { settings: Object.freeze(values), warnings: findTypos(env) }
}

/** One line a problem: `config.yaml:3:1: PORT must be …`. */
export function formatProblems(problems: readonly Problem[]): string {
  return problems.map(({ name, place, message }) => `${place}: ${name} ${message}`).join('\n')
}

function isComplete(values: Readonly<Record<string, unknown>>): values is Settings {
  return [...TABLE.keys()].every(name => name in values)
}

function readConfig({ env, readFile }: Sources): ReturnType<typeof parseSettingsFile> {
  const path = env[CONFIG]
  if (path === undefined) return { given: new Map(), problems: [] }
  const text = tryRead(path, readFile)
  if (typeof text === 'string') return parseSettingsFile(path, text, SHAPES)
  return {
    given: new Map(),
    problems: [{ name: CONFIG, place: 'environment', message: text.wrong }]
  }
}

/** The environment wins over the file; in neither may a secret stand in both of its forms. */
function find(
  name: string,
  { isSecret }: Setting<unknown>,
  { env, readFile }: Sources,
  fromFile: ReadonlyMap<string, Given>
): Given | Problem | undefined {
  const text = env[name]
  const place = 'environment'
  const inEnv = text === undefined ? undefined : { text, place }
  if (!isSecret) return inEnv ?? fromFile.get(name)
  const pathText = env[name + FILE]
  const levels = [
    { plain: inEnv, path: pathText === undefined ? undefined : { text: pathText, place } },
    { plain: fromFile.get(name), path: fromFile.get(name + FILE) }
  ]
  const level = levels.find(({ plain, path }) => plain ?? path)
  if (level?.path === undefined) return level?.plain
  if (level.plain !== undefined) {
    return { name, place: level.plain.place, message: `is given together with ${name}${FILE}` }
  }
  const read = tryRead(level.path.text, readFile)
  return typeof read === 'string'
    ? { text: read.replace(/\r?\n$/, ''), place: `${level.path.place} (${name}${FILE})` }
    : { name: name + FILE, place: level.path.place, message: read.wrong }
}

function tryRead(path: string, readFile: Sources['readFile']): string | { readonly wrong: string } {
  try {
    return readFile(path)
  } catch (thrown) {
    const code = thrown instanceof Error && 'code' in thrown ? String(thrown.code) : 'unreadable'
    return { wrong: `names a file that cannot be read (${code})` }
  }
}

/** The environment belongs to others too, so a name is only looked at when it seems to be ours. */
function findTypos(env: Sources['env']): readonly string[] {
  const known = [...SHAPES.keys(), CONFIG]
  const long = known.filter(name => name.length > 8)
  return Object.keys(env).flatMap(name => {
    if (known.includes(name)) return []
    const meant = nearest(name, long)
    if (meant !== undefined) return [`${name} is no setting. Did you mean ${meant}?`]
    const isFileForm = name.endsWith(FILE) && TABLE.has(name.slice(0, -FILE.length))
    if (isFileForm) return [`${name} is ignored: only secrets can be read from a file`]
    return name.startsWith('TOLLGATE_') ? [`${name} is no setting`] : []
  })
}
