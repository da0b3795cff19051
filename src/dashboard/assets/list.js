/** The list of tokens: asked for, sorted, filtered, shown. */
/** @import { Actions, Answer, Token } from './types.d.ts' */
import { announce, at, copyOf, input, on, onClick, reasonOf, say, tell } from './dom.js'
import { call, now } from './gate.js'
import { toRow } from './row.js'
import { clockTime } from './time.js'
import { scopeOf, state } from './views.js'

export const TOKENS = '/api/auth/cli-tokens'
const FILTER_FROM = 10

/** Tokens whose revocation was asked for and not confirmed. @type {Set<string>} */
const uncertain = new Set()
/** @type {{ key: 'createdAt' | 'lastUsedAt' | 'expiresAt', isRising: boolean }} */
let order = { key: 'createdAt', isRising: false }
/** @type {Actions} */
let act = { rotate: () => {}, revoke: () => {} }
let asOfMs = 0
let asked = 0

/** @param {Actions} actions */
export function startList(actions) {
  act = actions
  onClick('refresh', loadList)
  on(at('with-inactive'), 'change', loadList)
  on(at('filter'), 'input', render)
  for (const header of document.querySelectorAll('[data-sort]')) {
    const key = header.getAttribute('data-sort')
    if (key !== 'createdAt' && key !== 'lastUsedAt' && key !== 'expiresAt') continue
    const button = header.querySelector('button')
    if (button) on(button, 'click', () => sortBy(key))
  }
  document.addEventListener('visibilitychange', () => {
    if (!document.hidden && state.view === 'list' && now() - asOfMs > 60_000) void loadList()
  })
}

export const listPath = () => TOKENS + (input('with-inactive').checked ? '?include=inactive' : '')

export async function loadList() {
  const mine = ++asked
  const table = at('tokens')
  table.ariaBusy = 'true'
  if (asOfMs === 0) {
    at('empty').hidden = true
    table.hidden = false
    at('rows').replaceChildren(...[1, 2, 3].map(() => copyOf('t-skeleton').element))
  }
  const patience = setTimeout(() => say('waiting', 'Still waiting for the token store…'), 5000)
  /** @type {Answer<{ tokens: readonly Token[] }>} */
  const answer = await call(listPath())
  clearTimeout(patience)
  if (mine === asked) takeList(answer)
}

/** @param {Answer<{ tokens: readonly Token[] }>} answer */
export function takeList(answer) {
  at('tokens').ariaBusy = null
  say('waiting', '')
  const { status, body } = answer
  if (status === 200 && body.tokens) {
    state.tokens = body.tokens
    asOfMs = now()
    uncertain.clear()
    tell('list-problem')
  } else if (status !== 401) {
    tell('list-problem', problemOf(answer), answer, () => void loadList())
  }
  const isOld = status !== 200 && asOfMs > 0
  at('as-of').textContent =
    asOfMs === 0 ? '' : `${isOld ? 'Not newer than' : 'As of'} ${clockTime(asOfMs)}`
  render()
}

/** @param {Answer<unknown>} answer */
function problemOf(answer) {
  const { status, body } = answer
  if (status === 403) return `Your account may not manage tokens. ${body.message ?? ''}`
  if (status === 503) return `${reasonOf(answer)} Your tokens are as they were.`
  return reasonOf(answer)
}

export function forgetList() {
  asked++
  asOfMs = 0
  state.tokens = []
  uncertain.clear()
  at('receipts').replaceChildren()
  tell('list-problem')
  render()
}

/** @param {string} id */
export function markUncertain(id) {
  uncertain.add(id)
  render()
}

/**
 * The row of a token, or of the one that took its place; else the heading.
 * @param {string | undefined} id
 */
export function focusRow(id) {
  const header = id === undefined ? null : at('rows').querySelector(`[data-id="${id}"] th`)
  ;(header instanceof HTMLElement ? header : at('list-title')).focus()
}

/**
 * The one that is shown below a token.
 * @param {string} id
 */
export function neighbourOf(id) {
  const ids = shown().map(token => token.id)
  const index = ids.indexOf(id)
  return ids[index + 1] ?? ids[index - 1]
}

/** @param {'createdAt' | 'lastUsedAt' | 'expiresAt'} key */
function sortBy(key) {
  order = { key, isRising: order.key === key ? !order.isRising : key === 'expiresAt' }
  render()
  announce(
    `Sorted by ${key === 'createdAt' ? 'creation' : key === 'lastUsedAt' ? 'last use' : 'expiry'}`
  )
}

/** @param {Token} token */
function rankOf(token) {
  const iso = token[order.key]
  if (iso) return Date.parse(iso)
  return order.key === 'expiresAt' ? Infinity : 0
}

function shown() {
  const wanted = input('filter').value.trim().toLowerCase()
  const isFiltered = state.tokens.length >= FILTER_FROM && wanted !== ''
  const found = state.tokens.filter(({ name, scopes }) => {
    if (!isFiltered) return true
    const texts = [name, ...scopes, ...scopes.map(scope => scopeOf(scope)?.title ?? '')]
    return texts.some(text => text.toLowerCase().includes(wanted))
  })
  const sign = order.isRising ? 1 : -1
  // Of equal ones the order of the gate stays: newest first.
  return found.toSorted((a, b) => {
    const [first, second] = [rankOf(a), rankOf(b)]
    return first === second ? 0 : first < second ? -sign : sign
  })
}

function render() {
  const found = shown()
  const isEmpty = state.tokens.length === 0
  const focused = document.activeElement?.getAttribute('data-key')
  at('tokens').classList.toggle('with-state', input('with-inactive').checked)
  at('rows').replaceChildren(...found.map(token => toRow(token, uncertain.has(token.id), act)))
  at('tokens').hidden = found.length === 0
  at('empty').hidden = !isEmpty || asOfMs === 0
  at('no-match').hidden = isEmpty || found.length > 0
  at('filter-field').hidden = state.tokens.length < FILTER_FROM
  for (const header of document.querySelectorAll('[data-sort]')) {
    const isSorted = header.getAttribute('data-sort') === order.key
    header.ariaSort = isSorted ? (order.isRising ? 'ascending' : 'descending') : null
  }
  const again = focused && at('rows').querySelector(`[data-key="${focused}"]`)
  if (again instanceof HTMLElement) again.focus()
}
