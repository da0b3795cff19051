/** The form that makes a token; nothing is sent but by its button. */
/** @import { Answer, FieldError, NewToken } from './types.d.ts' */
import { heldScopes } from './allowed-rules.js'
import { at, copyOf, get, input, make, on, onClick, onSubmit, reasonOf, say, tell } from './dom.js'
import { call, isNew, now } from './gate.js'
import { forgive, showErrors } from './form-errors.js'
import { readLink } from './link.js'
import { TOKENS } from './list.js'
import { showPreview } from './preview.js'
import {
  chosenRepositories,
  openPicker,
  setRepositories,
  startPicker,
  takePending
} from './repositories.js'
import { dayInWords, DAY_MS } from './time.js'
import { riskWord, state } from './views.js'

const NAME_COUNT_FROM = 80
const UNKNOWN = 'It is not known whether the token was made. Look at the list before you try again.'
const LOGS = 'Tokens without an end are found in old logs.'

/** Ticked by the user; those that they imply are shown ticked too. @type {Set<string>} */
const ticked = new Set()
/** What shows a scope's state, by its name. @type {Map<string, (by: string | undefined) => void>} */
const boxes = new Map()
let isBusy = false

const name = input('name')
const expires = get('expires', HTMLSelectElement)
const date = input('expires-date')

/**
 * @param {object} wiring
 * @param {(token: NewToken) => void} wiring.made
 * @param {() => void} wiring.doubt it is not known whether there is a new token
 * @param {() => void} wiring.cancel
 */
export function startCreate({ made, doubt, cancel }) {
  startPicker(update)
  onSubmit('create-form', () => void submit(made, doubt))
  on(at('create-form'), 'input', ({ target }) => {
    const part = target instanceof Element ? target.closest('[data-field]') : undefined
    if (part) forgive(part)
  })
  onClick('create-cancel', cancel)
  on(name, 'input', countName)
  on(expires, 'change', showExpiry)
  on(date, 'input', showExpiry)
  for (const id of ['signature', 'access-all', 'access-some']) on(at(id), 'change', update)
  on(at('scope-filter'), 'input', filterScopes)
  on(at('preview-filter'), 'input', update)
  onClick('scopes-none', () => tick([]))
  onClick('scopes-read', () => {
    const names = state.catalogue.scopes.map(scope => scope.name)
    tick(names.filter(scope => /(?:^|:)read$/.test(scope)))
  })
}

/**
 * A fresh form, by the address bar's query where there is one.
 * @param {string} query
 */
export function resetCreate(query) {
  const link = readLink(query, state.catalogue, now())
  tell('create-problem')
  showErrors([])
  get('create-form', HTMLFormElement).reset()
  name.value = link.name
  input('signature').checked = link.requireSignature
  input(link.repositories.length > 0 ? 'access-some' : 'access-all').checked = true
  setRepositories(link.repositories)
  expires.value = link.expires
  date.value = link.date
  date.min = localDay(now())
  buildScopes()
  tick(link.scopes ?? state.catalogue.scopes.flatMap(scope => (scope.default ? scope.name : [])))
  filterScopes()
  countName()
  showExpiry()
  say('link-banner', link.isThere ? 'Filled in by a link. Check before you create.' : '')
  if (link.ignored.length > 0) {
    at('link-banner').append(make('br'), `Left out of it: ${link.ignored.join('; ')}.`)
  }
}

function countName() {
  const { length } = Array.from(name.value)
  at('name-count').textContent = length >= NAME_COUNT_FROM ? `${length} of 100` : ''
}

function buildScopes() {
  const groups = Object.groupBy(state.catalogue.scopes, scope => scope.name.split(':')[0] ?? '')
  boxes.clear()
  const elements = Object.entries(groups).map(([group, scopes = []]) => {
    const labels = scopes.map(scope => {
      const { element, part } = copyOf('t-scope')
      const box = part('box')
      if (!(box instanceof HTMLInputElement)) return element
      part('title').textContent = scope.title
      part('risk').textContent = riskWord(scope.risk)
      part('risk').classList.toggle('high', scope.risk === 'high')
      part('name').textContent = scope.name
      part('about').textContent = scope.about
      element.dataset['search'] = `${scope.name} ${scope.title} ${scope.about}`.toLowerCase()
      on(box, 'change', () => {
        if (box.checked) ticked.add(scope.name)
        else ticked.delete(scope.name)
        update()
      })
      boxes.set(scope.name, by => {
        box.checked = by !== undefined || ticked.has(scope.name)
        box.disabled = by !== undefined
        part('by').textContent = by === undefined ? '' : `Comes with ${by}.`
      })
      return element
    })
    return make('fieldset', { className: 'group' }, make('legend', {}, group), ...labels)
  })
  at('scopes').replaceChildren(...elements)
}

/** @param {readonly string[]} names */
function tick(names) {
  ticked.clear()
  for (const each of names) ticked.add(each)
  update()
}

function filterScopes() {
  const wanted = input('scope-filter').value.trim().toLowerCase()
  let count = 0
  for (const group of at('scopes').children) {
    const labels = [...group.querySelectorAll('label')]
    for (const label of labels) label.hidden = !label.dataset['search']?.includes(wanted)
    const found = labels.filter(label => !label.hidden).length
    if (group instanceof HTMLElement) group.hidden = found === 0
    count += found
  }
  at('scopes-no-match').hidden = count > 0
}

/** After any change: what is implied, and what the token could call. */
function update() {
  const isLimited = input('access-some').checked
  if (isLimited && at('picker').hidden) void openPicker()
  at('picker').hidden = !isLimited
  at('signature-how').hidden = !input('signature').checked
  const held = heldScopes(state.catalogue, [...ticked])
  for (const [scope, showState] of boxes) showState(held.get(scope))
  const extra = held.size - ticked.size
  const selected = `${ticked.size} selected`
  at('scope-count').textContent = extra > 0 ? `${selected}, ${extra} more come with them` : selected
  const requireSignature = input('signature').checked
  showPreview({ scopes: [...ticked], isLimited, requireSignature })
}

/** @param {number} ms */
function localDay(ms) {
  const day = new Date(ms)
  return new Date(ms - day.getTimezoneOffset() * 60_000).toISOString().slice(0, 10)
}

/** Undefined: never. NaN: no date. */
function endMs() {
  if (expires.value === 'never') return undefined
  if (expires.value === 'date') return Date.parse(`${date.value}T23:59:59`)
  return now() + Number(expires.value) * DAY_MS
}

function showExpiry() {
  date.hidden = expires.value !== 'date'
  const end = endMs()
  const words = end === undefined ? LOGS : Number.isNaN(end) ? 'Choose a date.' : dayInWords(end)
  at('expires-words').textContent = words
}

/** @returns {readonly FieldError[]} */
function findErrors() {
  const errors = []
  if (name.value.trim() === '') errors.push({ field: 'name', message: 'must be given' })
  if (ticked.size === 0) errors.push({ field: 'scopes', message: 'must be one or more' })
  if (input('access-some').checked) {
    const isClean = takePending()
    const message = isClean ? 'must be one or more' : 'has text that is no repository'
    if (!isClean || chosenRepositories().length === 0)
      errors.push({ field: 'repositories', message })
  }
  const end = endMs()
  if (Number.isNaN(end)) errors.push({ field: 'expiresAt', message: 'must be a date' })
  else if (end && end <= now())
    errors.push({ field: 'expiresAt', message: 'must be in the future' })
  return errors
}

function bodyOf() {
  const isLimited = input('access-some').checked
  const end = endMs()
  const days = Number(expires.value)
  return {
    name: name.value,
    scopes: [...ticked],
    ...(isLimited ? { repositories: chosenRepositories() } : { allRepositories: true }),
    ...(days ? { expiresInDays: days } : end ? { expiresAt: new Date(end).toISOString() } : {}),
    requireSignature: input('signature').checked
  }
}

/**
 * @param {(token: NewToken) => void} made
 * @param {() => void} doubt
 */
async function submit(made, doubt) {
  if (isBusy) return
  tell('create-problem')
  const errors = findErrors()
  showErrors(errors)
  if (errors.length > 0) return
  isBusy = true
  const button = get('create-submit', HTMLButtonElement)
  button.disabled = true
  button.textContent = 'Creating…'
  /** @type {Answer<NewToken>} */
  const answer = await call(TOKENS, { method: 'POST', body: bodyOf() })
  isBusy = false
  button.disabled = false
  button.textContent = 'Create token'
  const { status, body } = answer
  if (status === 201 && isNew(body)) made(body)
  else if (status === 400 && body.errors) showErrors(body.errors)
  else if (status === 0 || status === 201 || status === 503) {
    // Also a store that does not answer may have the token.
    tell('create-problem', status === 503 ? `${reasonOf(answer)} ${UNKNOWN}` : UNKNOWN, answer)
    doubt()
  } else if (status !== 401) {
    tell('create-problem', reasonOf(answer), answer, () =>
      get('create-form', HTMLFormElement).requestSubmit()
    )
  }
  if (status === 201 || status === 400) return
  // The button lost it when it was disabled; the eyes belong to what is told at the top.
  button.focus({ preventScroll: true })
  at('create-problem').scrollIntoView({ block: 'nearest' })
}
