/**
 * What the page shows of the route file: the scopes, and the rules that a `ci_` token can meet. Rules
 * that scopes do not decide are left out, and so is where requests go.
 */
import type { Binding, Need, Rule, RouteTable } from '../core/rule.ts'

/** Of a large file it takes milliseconds to make, and every user may ask as often as they like. */
const texts = new WeakMap<RouteTable, string>()

/** The documented JSON text, in the file's order. */
export function catalogueText(table: RouteTable): string {
  const known = texts.get(table)
  if (known !== undefined) return known
  const text = makeText(table)
  texts.set(table, text)
  return text
}

function makeText({ hash, scopes, rules }: RouteTable): string {
  return JSON.stringify({
    hash,
    scopes: Array.from(scopes.values(), ({ name, title, about, risk, isDefault, implies }) => ({
      name,
      title,
      about,
      risk,
      default: isDefault,
      implies
    })),
    rules: rules.flatMap(presentRule)
  })
}

function presentRule({ methods, path, need, bindings, signature, mode, why }: Rule) {
  const shown = presentNeed(need)
  if (shown === undefined) return []
  return [
    {
      methods,
      path,
      need: shown,
      repositories: describe(bindings),
      signature,
      mode,
      why: why ?? null
    }
  ]
}

function presentNeed(need: Need) {
  switch (need.kind) {
    case 'all':
      return { all: need.scopes }
    case 'any':
      return { any: need.scopes }
    case 'any-token':
      return need.kind
    case 'public':
    case 'jwt':
    case 'deny':
      return undefined
  }
}

/** What becomes of a token that is limited to repositories. */
function describe(bindings: readonly Binding[] | undefined) {
  if (!bindings) return 'refused'
  if (bindings.some(({ kind }) => kind === 'upstream')) return 'upstream'
  return bindings.some(({ kind }) => kind === 'none') ? 'none' : 'bound'
}
