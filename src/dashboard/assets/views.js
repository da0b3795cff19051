/** Which part of the page is shown, what it has to work with, and the address bar. */
/** @import { Token } from './types.d.ts' */
/** @import { Catalogue } from './allowed-rules.js' */
import { at } from './dom.js'

const TITLES = {
  'sign-in': 'Sign in',
  list: 'Your tokens',
  create: 'Create token',
  secret: 'Copy your token now'
}

/** Without the last slash with which it may have been asked for. */
export const PAGE = location.pathname.replace(/\/$/, '')

/** @typedef {keyof typeof TITLES} View */

export const state = {
  /** @type {View} */
  view: 'sign-in',
  /** @type {Catalogue} */
  catalogue: { hash: '', scopes: [], rules: [] },
  /** @type {readonly Token[]} */
  tokens: []
}

/**
 * @param {View} view
 * @param {HTMLElement} [focus] its heading otherwise
 */
export function show(view, focus) {
  state.view = view
  for (const each of Object.keys(TITLES)) at(each).hidden = each !== view
  document.title = `${TITLES[view]} · API tokens · Tollgate`
  scrollTo(0, 0)
  ;(focus ?? at(`${view}-title`)).focus()
}

/** Nothing of a link or a form stays in the address bar. */
export function clearAddress() {
  history.replaceState(null, '', location.pathname)
}

/** @param {string} name */
export function scopeOf(name) {
  return state.catalogue.scopes.find(scope => scope.name === name)
}

/** @param {'low' | 'medium' | 'high' | undefined} risk */
export const riskWord = risk => (risk === 'high' || risk === 'medium' ? `${risk} risk` : '')
