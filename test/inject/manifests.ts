/** Manifests of the tests: the inputs, what is injected with, and the objects in a text. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseAllDocuments } from 'yaml'
import { inject, type Injected, type InjectOptions } from '../../src/inject/inject.ts'
import { isRecord, listAt } from '../support/helm.ts'

export type Manifest = Readonly<Record<string, unknown>>

export const INPUTS = join(import.meta.dirname, 'inputs')
export const GOLDEN = join(import.meta.dirname, 'golden')

export const OPTIONS: InjectOptions = {
  file: 'app.yaml',
  image: 'tollgate:1.0.0',
  appContainer: undefined,
  appPort: undefined,
  service: undefined,
  routesConfigMap: 'tollgate-routes',
  secrets: { database: 'tollgate', redis: 'tollgate', jwt: 'tollgate' },
  exposure: 'refuse'
}

/** What cannot be seen from the input alone. */
const SAID: Readonly<Record<string, Partial<InjectOptions>>> = {
  'helm-output.yaml': { appPort: 9898 },
  'two-containers.yaml': { appContainer: 'app', appPort: 3000 }
}

export const FILES = readdirSync(INPUTS).toSorted()

export function readInput(file: string): string {
  return readFileSync(join(INPUTS, file), 'utf8')
}

export function optionsFor(file: string): InjectOptions {
  return { ...OPTIONS, file, ...SAID[file] }
}

/** Throws what is refused. */
export function injected(text: string, options: InjectOptions = OPTIONS) {
  const result = inject(text, options)
  if ('problems' in result) throw new Error(result.problems.join('\n'))
  return result
}

export function problemsOf(result: Injected): readonly string[] {
  return 'problems' in result ? result.problems : []
}

/** The objects, those of lists too. */
export function objectsIn(text: string): readonly Manifest[] {
  return parseAllDocuments(text).flatMap(document => {
    if (document.errors.length > 0) throw new Error(document.errors.join('\n'))
    // The API server takes null for nothing; the types do not.
    const value: unknown = document.toJS({ reviver: (_key, found) => found ?? undefined })
    if (!isRecord(value)) return []
    const isList = value['kind'] === 'List' || value['kind'] === 'ResourceList'
    return isList ? listAt(value, 'items').filter(isRecord) : [value]
  })
}
