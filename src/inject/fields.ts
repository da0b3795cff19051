/** Reading of plain values of which nothing is known: what is of another type is not there. */

export type Fields = Readonly<Record<string, unknown>>
export type Path = readonly (string | number)[]

/** Of one place in the input; `line` counts from 1. */
export type Note = { readonly path: Path; readonly message: string }

export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The map at a path; empty where there is none. */
export function fieldsAt(value: unknown, ...path: Path): Fields {
  const found = at(value, path)
  return isFields(found) ? found : {}
}

/** The list at a path; empty where there is none. */
export function listAt(value: unknown, ...path: Path): readonly unknown[] {
  const found = at(value, path)
  return Array.isArray(found) ? found : []
}

export function textAt(value: unknown, ...path: Path): string | undefined {
  const found = at(value, path)
  return typeof found === 'string' ? found : undefined
}

export function numberAt(value: unknown, ...path: Path): number | undefined {
  const found = at(value, path)
  return typeof found === 'number' ? found : undefined
}

export function at(value: unknown, path: Path): unknown {
  let found = value
  for (const step of path) {
    if (Array.isArray(found)) found = found[Number(step)]
    else if (isFields(found) && Object.hasOwn(found, step)) found = found[step]
    else return undefined
  }
  return found
}

/** Equal as JSON is, whatever the order of the keys. */
export function isSame(one: unknown, other: unknown): boolean {
  return JSON.stringify(sorted(one)) === JSON.stringify(sorted(other))
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (!isFields(value)) return value
  const names = Object.keys(value).toSorted()
  return Object.fromEntries(names.map(name => [name, sorted(value[name])]))
}
