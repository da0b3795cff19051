/**
 * What a token would be allowed to call, worked out from the catalogue alone: no request, no state, no
 * page. The tests hold it to the gate's own decisions.
 */

/**
 * @typedef {object} CatalogueScope
 * @property {string} name
 * @property {string} title
 * @property {string} about
 * @property {'low' | 'medium' | 'high'} risk
 * @property {boolean} default
 * @property {readonly string[]} implies directly, as written in the route file
 */

/**
 * @typedef {object} CatalogueRule
 * @property {readonly string[]} methods
 * @property {string} path
 * @property {{ readonly all: readonly string[] } | { readonly any: readonly string[] } | 'any-token'} need
 * @property {'bound' | 'upstream' | 'none' | 'refused'} repositories
 * @property {'optional' | 'required'} signature
 * @property {'enforce' | 'report'} mode
 * @property {string | null} why
 */

/**
 * @typedef {object} Catalogue
 * @property {string} hash
 * @property {readonly CatalogueScope[]} scopes
 * @property {readonly CatalogueRule[]} rules
 */

/**
 * @typedef {object} Selection
 * @property {readonly string[]} scopes as ticked, without those that are implied
 * @property {boolean} isLimited to chosen repositories
 * @property {boolean} requireSignature
 */

/**
 * @typedef {object} AllowedRule
 * @property {CatalogueRule} rule
 * @property {boolean} isCallable false: only because the token is limited to repositories, and the rule names none
 * @property {boolean} needsSignature an unsigned call is refused
 * @property {boolean} onlyChosen answers for the chosen repositories alone
 * @property {boolean} byReport it passes only as long as the rule is in report mode
 */

/**
 * Scopes that come with the ticked ones: each name with the one that it comes by, undefined for those
 * that are ticked themselves. Scopes that the catalogue does not know are left out.
 *
 * @param {Catalogue} catalogue
 * @param {readonly string[]} ticked
 * @returns {ReadonlyMap<string, string | undefined>}
 */
export function heldScopes({ scopes }, ticked) {
  const known = new Map(scopes.map(scope => [scope.name, scope]))
  /** @type {Map<string, string | undefined>} */
  const held = new Map(ticked.filter(name => known.has(name)).map(name => [name, undefined]))
  // A Map goes on to what is added while it is walked, so this follows whole chains.
  for (const name of held.keys()) {
    for (const implied of known.get(name)?.implies ?? []) {
      if (!held.has(implied)) held.set(implied, name)
    }
  }
  return held
}

/**
 * The rules that such a token meets, in the order of the catalogue. A rule whose scopes it lacks is
 * not among them.
 *
 * @param {Catalogue} catalogue
 * @param {Selection} selection
 * @returns {readonly AllowedRule[]}
 */
export function allowedRules(catalogue, { scopes, isLimited, requireSignature }) {
  const held = heldScopes(catalogue, scopes)
  return catalogue.rules.flatMap(rule => {
    const { repositories } = rule
    const isReport = rule.mode === 'report'
    const hasScopes = meetsNeed(rule.need, held)
    if (!hasScopes && !isReport) return []
    const isRefused = isLimited && repositories === 'refused'
    const isBound = repositories === 'bound' && !isReport
    // A token that has to sign anyway meets such a rule.
    const lacksSignature = rule.signature === 'required' && !requireSignature
    return [
      {
        rule,
        isCallable: !isRefused || isReport,
        needsSignature: requireSignature || (lacksSignature && !isReport),
        onlyChosen: isLimited && (isBound || repositories === 'upstream'),
        byReport: isReport && (!hasScopes || isRefused || lacksSignature)
      }
    ]
  })
}

/**
 * @param {CatalogueRule['need']} need
 * @param {ReadonlyMap<string, unknown>} held
 */
function meetsNeed(need, held) {
  if (need === 'any-token') return true
  return 'all' in need
    ? need.all.every(name => held.has(name))
    : need.any.some(name => held.has(name))
}
