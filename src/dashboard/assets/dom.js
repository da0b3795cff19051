/** Finding, filling and making elements. Text goes in by textContent alone; there is no markup here. */
/** @import { Answer } from './types.d.ts' */

/**
 * The element of the shell with this id.
 * @template {HTMLElement} T
 * @param {string} id
 * @param {new () => T} type
 * @returns {T}
 */
export function get(id, type) {
  const found = document.getElementById(id)
  if (found instanceof type) return found
  throw new Error(`no ${type.name} ${id}`)
}

/** @param {string} id */
export const at = id => get(id, HTMLElement)
/** @param {string} id */
export const input = id => get(id, HTMLInputElement)
/** @param {string} id */
export const dialog = id => get(id, HTMLDialogElement)

/**
 * @template {keyof HTMLElementEventMap} K
 * @param {HTMLElement} target
 * @param {K} type
 * @param {(event: HTMLElementEventMap[K]) => unknown} listener
 */
export function on(target, type, listener) {
  target.addEventListener(type, listener)
}

/**
 * @param {string} id
 * @param {() => unknown} listener
 */
export function onClick(id, listener) {
  on(at(id), 'click', listener)
}

/**
 * Nothing but the script ever sends a form.
 * @param {string} id
 * @param {() => unknown} listener
 */
export function onSubmit(id, listener) {
  on(at(id), 'submit', event => {
    event.preventDefault()
    listener()
  })
}

/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Partial<HTMLElementTagNameMap[K]>} properties
 * @param {readonly (Node | string)[]} children
 */
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties)
  element.append(...children)
  return element
}

/**
 * A copy of a template, and its parts by their `data-f`.
 * @param {string} id
 */
export function copyOf(id) {
  const root = get(id, HTMLTemplateElement).content.cloneNode(true)
  if (!(root instanceof DocumentFragment)) throw new Error(id)
  const element = root.firstElementChild
  if (!(element instanceof HTMLElement)) throw new Error(id)
  /** @param {string} name */
  const part = name => {
    const found =
      root.querySelector(`[data-f=${name}]`) ?? element.querySelector(`[data-f=${name}]`)
    if (found instanceof HTMLElement) return found
    throw new Error(`no ${name} in ${id}`)
  }
  return { element, part }
}

/**
 * Puts a text, or nodes, into a region. It is there before, and stays when it is empty: screen readers
 * tell what comes into a region that they know.
 * @param {string} id
 * @param {readonly (Node | string)[]} content
 */
export function say(id, ...content) {
  at(id).replaceChildren(...content.filter(part => part !== ''))
}

/**
 * For screen readers alone: what has changed elsewhere on the page.
 * @param {string} text
 */
export function announce(text) {
  at('announcement').textContent = text
}

/** @type {Map<string, number>} */
const countdowns = new Map()

/**
 * What went wrong, with the id under which the gate's log has it; replaces what was told before.
 * @param {string} id
 * @param {string} [text] none: nothing is wrong any more
 * @param {Answer<unknown>} [answer]
 * @param {() => void} [again] offered, after the time that the gate asked for
 */
export function tell(id, text, answer, again) {
  clearInterval(countdowns.get(id))
  const host = at(id)
  host.replaceChildren()
  if (!text) return
  const { element, part } = copyOf('t-problem')
  if (answer) part('id').textContent = answer.requestId
  part('trace').hidden = !answer
  const button = part('again')
  if (again && button instanceof HTMLButtonElement) {
    button.hidden = false
    on(button, 'click', again)
    let left = answer?.retryAfter ?? 0
    const show = () => {
      button.disabled = left > 0
      button.textContent = left > 0 ? `Try again in ${left} s` : 'Try again'
      if (left-- <= 0) clearInterval(countdowns.get(id))
    }
    countdowns.set(id, window.setInterval(show, 1000))
    show()
  }
  host.append(element)
  // An alert is told when its text comes into a page that has it already.
  part('text').textContent = text
}

/** @param {Answer<unknown>} answer */
export function reasonOf({ status, body }) {
  if (body.code === 'TOKEN_STORE_UNAVAILABLE') return 'The gate cannot reach its database.'
  if (status !== 0) return body.message ?? `The gate answered ${status}.`
  return navigator.onLine ? 'The gate does not answer.' : 'No connection.'
}

export const COPIED = 'Copied.'

/**
 * Copies, where the browser lets us; else selects, for the keyboard.
 * @param {string} text
 * @param {HTMLElement} shown holds the text
 * @returns {Promise<string>} what to tell: COPIED, or what is left to do
 */
export async function copy(text, shown) {
  try {
    await navigator.clipboard.writeText(text)
    return COPIED
  } catch {
    // Not there outside HTTPS and localhost, or not allowed.
    if (shown instanceof HTMLTextAreaElement) shown.select()
    else getSelection()?.selectAllChildren(shown)
    return `Press ${/Mac|iP/.test(navigator.platform) ? '⌘' : 'Ctrl+'}C to copy.`
  }
}
