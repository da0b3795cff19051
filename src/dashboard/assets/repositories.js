/**
 * The repositories a token is limited to. The upstream's own list feeds a combobox with a listbox
 * (ARIA Authoring Practices); where it has none to give, the field takes ids as text.
 */
/** @import { Repository } from './repository-list.js' */
import { announce, at, input, make, on, say } from './dom.js'
import { known, labelOf, learnRepositories, REPOSITORY_ID } from './repository-list.js'

const MOST = 100
const COUNT_FROM = 80
const MOST_OPTIONS = 50
const NO_LIST = 'The list of repositories is not available. Enter repository configuration ids.'
const HOW = 'Type a name, or paste ids.'

/** Ids in the order of choice. @type {Set<string>} */
const chosen = new Set()
/** What the listbox offers. @type {readonly Repository[]} */
let offered = []
let active = -1
let changed = () => {}

const field = input('repository')
const listbox = at('options')

export const chosenRepositories = () => [...chosen]
/** @param {() => void} onChange */
export function startPicker(onChange) {
  changed = onChange
  on(field, 'input', open)
  on(field, 'click', open)
  on(field, 'blur', close)
  on(field, 'keydown', onKey)
  on(field, 'paste', event => {
    const words = (event.clipboardData?.getData('text') ?? '').split(/[\s,;]+/).filter(Boolean)
    if (words.length < 2) return
    event.preventDefault()
    addAll(words)
  })
}

/** Shown from now on: the upstream is asked. */
export async function openPicker() {
  if (!known) say('repository-hint', 'Asking for the list of repositories…')
  await learnRepositories()
  for (const [name, value] of Object.entries(COMBOBOX)) {
    if (known) field.setAttribute(name, value)
    else field.removeAttribute(name)
  }
  say('repository-hint', known ? HOW : NO_LIST)
  render()
}

const COMBOBOX = {
  role: 'combobox',
  'aria-autocomplete': 'list',
  'aria-expanded': 'false',
  'aria-controls': 'options'
}

/** @param {readonly string[]} ids */
export function setRepositories(ids) {
  chosen.clear()
  for (const id of ids) chosen.add(id)
  field.value = ''
  render()
}

/** What was typed and not yet added counts, where it can only be an id. False: it is none. */
export function takePending() {
  const text = field.value.trim()
  if (text === '') return true
  const exact = known?.find(({ id, label }) => id === text || label === text)
  if (known && !exact) return false
  return addAll([exact?.id ?? text])
}

/** @param {readonly string[]} words */
function addAll(words) {
  const bad = words.filter(word => !REPOSITORY_ID.test(word))
  const good = words.filter(word => REPOSITORY_ID.test(word))
  const before = chosen.size
  for (const id of good) if (chosen.size < MOST) chosen.add(id)
  const isFull = good.some(id => !chosen.has(id))
  field.value = bad.join(' ')
  close()
  render()
  const told = [
    isFull ? `At most ${MOST} repositories.` : '',
    bad.length > 0 ? `Not added, because this is no id: ${bad.join(', ')}` : ''
  ].filter(Boolean)
  say('repository-hint', told.join(' ') || (known ? HOW : NO_LIST))
  if (chosen.size > before) announce(`${chosen.size} repositories selected`)
  changed()
  return told.length === 0
}

/** @param {string} id */
function remove(id) {
  const index = [...chosen].indexOf(id)
  chosen.delete(id)
  render()
  const next = at('chosen').querySelectorAll('button')[Math.min(index, chosen.size - 1)]
  ;(next ?? field).focus()
  changed()
}

function render() {
  const chips = [...chosen].map(id => {
    const button = make('button', { type: 'button', ariaLabel: `Remove ${labelOf(id)}` }, '×')
    on(button, 'click', () => remove(id))
    return make('li', {}, make('bdi', { title: id }, labelOf(id)), button)
  })
  at('chosen').replaceChildren(...chips)
  at('chosen').hidden = chips.length === 0
  say('repository-count', chosen.size >= COUNT_FROM ? `${chosen.size} of ${MOST}` : '')
}

function open() {
  if (!known) return
  const wanted = field.value.trim().toLowerCase()
  const isLike = (/** @type {Repository} */ { id, label }) =>
    label.toLowerCase().includes(wanted) || id.toLowerCase().includes(wanted)
  const found = known.filter(repository => !chosen.has(repository.id) && isLike(repository))
  offered = found.slice(0, MOST_OPTIONS)
  const text = field.value.trim()
  // The list may be short of one; who knows the id may say it.
  const isNew =
    REPOSITORY_ID.test(text) && !chosen.has(text) && !known.some(({ id }) => id === text)
  if (isNew) offered = [...offered, { id: text, label: `Use “${text}” as an id`, branch: '' }]
  const options = offered.map(({ id, label, branch }, i) => {
    const option = make('li', { id: `option-${i}`, role: 'option', ariaSelected: 'false' })
    option.append(make('bdi', { title: id }, label))
    if (branch) option.append(' ', make('span', { className: 'muted' }, branch))
    // The field keeps the focus.
    on(option, 'mousedown', event => event.preventDefault())
    on(option, 'click', () => addAll([id]))
    return option
  })
  listbox.replaceChildren(...options)
  listbox.hidden = options.length === 0
  field.ariaExpanded = String(options.length > 0)
  if (options.length === 0) say('repository-hint', 'No repository matches.')
  else
    say('repository-hint', found.length > MOST_OPTIONS ? `${found.length} match; type more.` : HOW)
  setActive(-1)
}

function close() {
  listbox.hidden = true
  offered = []
  if (known) field.ariaExpanded = 'false'
  setActive(-1)
}

/** @param {number} index */
function setActive(index) {
  active = index
  for (const [i, option] of [...listbox.children].entries()) {
    option.ariaSelected = String(i === index)
    if (i === index) option.scrollIntoView({ block: 'nearest' })
  }
  if (index < 0) field.removeAttribute('aria-activedescendant')
  else field.setAttribute('aria-activedescendant', `option-${index}`)
}

/** @param {KeyboardEvent} event */
function onKey(event) {
  const { key } = event
  const isOpen = offered.length > 0
  if (key === 'ArrowDown' || key === 'ArrowUp') {
    event.preventDefault()
    if (!isOpen) open()
    const step = key === 'ArrowDown' ? 1 : -1
    const from = active < 0 && step < 0 ? 0 : active
    if (offered.length > 0) setActive((from + step + offered.length) % offered.length)
  } else if (key === 'Escape' && isOpen) {
    event.preventDefault()
    close()
  } else if (key === 'Enter' && field.value.trim() + active !== '-1') {
    event.preventDefault()
    const only = offered.length === 1 ? offered[0] : offered[active]
    if (only) addAll([only.id])
    else if (!known) addAll(field.value.split(/[\s,;]+/).filter(Boolean))
    else takePending()
  }
}
