/** Route files as texts: compiled, and their findings as short lines. */
import { OWN_ROUTES } from '../../src/core/own-routes.ts'
import { compileRoutes, type LoadedRoutes, type RefusedRoutes } from '../../src/routes/compile.ts'
import { type Finding, finding } from '../../src/routes/findings.ts'
import { parseYaml } from '../../src/routes/parse.ts'

export { OWN_ROUTES }

/** The first text is `routes.yaml`, further ones are its fragments `1.yaml`, `2.yaml`, … */
export function compileText(...texts: readonly string[]): LoadedRoutes | RefusedRoutes {
  const findings: Finding[] = []
  const files = texts.map((text, i) => {
    const file = i === 0 ? 'routes.yaml' : `${i}.yaml`
    const root = parseYaml(text, file, (code, place, message) => {
      findings.push(finding(code, place, message))
    })
    return { file, root }
  })
  return compileRoutes({ files, hash: '0'.repeat(64), seen: new Map() }, findings, {
    ownRoutes: OWN_ROUTES
  })
}

/** Compiles or throws what is wrong. */
export function loadText(...texts: readonly string[]): LoadedRoutes {
  const loaded = compileText(...texts)
  if ('table' in loaded) return loaded
  throw new Error(loaded.findings.map(lineOf).join('\n'))
}

/** `7:3 error overlap …`, with the file's name before it where that is not `routes.yaml`. */
export function lineOf({ place, level, code, message }: Finding): string {
  const file = place.file === 'routes.yaml' ? '' : `${place.file}:`
  return `${file}${place.line}:${place.col} ${level} ${code} ${message}`
}

/** A whole file around some rules, as `KEY: VALUE` lines; the first is line 7. */
export function fileWith(...rules: readonly string[]): string {
  const scopes = ['a:read', 'a:write', 'b:read'].map(name => `  ${name}: { title: ${name} }`)
  return ['version: 1', 'scopes:', ...scopes, 'routes: {}', ...rules.map(rule => `  ${rule}`)]
    .join('\n')
    .replace(rules.length > 0 ? 'routes: {}' : 'nothing', 'routes:')
}
