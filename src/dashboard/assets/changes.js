/** Rotating and revoking: what is asked before, what is said meanwhile, and the receipt. */
/** @import { Answer, NewToken, Receipt, Token } from './types.d.ts' */
import {
  announce,
  at,
  copy,
  copyOf,
  dialog,
  get,
  input,
  on,
  onClick,
  onSubmit,
  reasonOf,
  say,
  tell
} from './dom.js'
import { call, isNew, now } from './gate.js'
import { focusRow, loadList, markUncertain, neighbourOf, TOKENS } from './list.js'
import { scopeList } from './row.js'
import { showSecret } from './secret.js'
import { DAY_MS, exactly, inWords, timeOf } from './time.js'

/** Longer than any lease that an operator would choose. */
const BARRIER_TIMEOUT_MS = 40_000
const ASKING = 'Asking every replica…'
const WAITING = 'A replica does not answer; waiting for its lease to end.'
const NOT_CERTAIN = 'It is not certain that the token is revoked. Repeating is safe.'
const NOT_ROTATED =
  'It is not certain that the token was rotated. If the list shows another one of the same name, nobody knows its text: rotate or revoke that one.'
const ORDINALS = ['', 'first', 'second', 'third', 'fourth', 'fifth', 'sixth']

const revoke = dialog('revoke')
const rotate = dialog('rotate')
/** @type {Token | undefined} */
let token
let isBusy = false

export function startChanges() {
  for (const each of [revoke, rotate]) {
    on(each, 'cancel', event => {
      if (isBusy) event.preventDefault()
    })
  }
  onClick('revoke-cancel', () => revoke.close())
  onClick('rotate-cancel', () => rotate.close())
  onSubmit('revoke-form', () => {
    if (token && !isBusy) void runRevoke(token)
  })
  onSubmit('rotate-form', () => {
    if (token && !isBusy) void runRotate(token)
  })
  on(input('revoke-typed'), 'input', checkTyped)
  on(at('grace'), 'change', showHours)
}

/** @param {Token} given */
export function askRevoke(given) {
  token = given
  const { name, preview, scopes, createdAt, lastUsedAt } = given
  const nowMs = now()
  at('revoke-name').textContent = name
  at('revoke-preview').textContent = preview
  at('revoke-scopes').replaceChildren(...scopeList(scopes))
  at('revoke-created').replaceChildren(timeOf(createdAt, nowMs))
  at('revoke-used').replaceChildren(lastUsedAt ? timeOf(lastUsedAt, nowMs) : 'Never used')
  const usedMs = Date.parse(lastUsedAt ?? '')
  at('revoke-recent').hidden = !(nowMs - usedMs < DAY_MS)
  at('revoke-warning').textContent =
    `This token was used ${inWords(usedMs || 0, nowMs)}. Jobs that use it will fail at once.`
  input('revoke-typed').value = ''
  at('revoke-submit').hidden = false
  say('revoke-status', '')
  tell('revoke-problem')
  checkTyped()
  revoke.showModal()
  at('revoke-cancel').focus()
}

function checkTyped() {
  const isTyped = input('revoke-typed').value.trim() === token?.name.trim()
  get('revoke-submit', HTMLButtonElement).disabled = !at('revoke-recent').hidden && !isTyped
}

/**
 * While it runs, nothing in the dialog can be pressed, and it does not close.
 * @template T
 * @param {HTMLDialogElement} box
 * @param {string} status id of its status line
 * @param {() => Promise<Answer<T>>} work
 */
async function whileBusy(box, status, work) {
  isBusy = true
  const controls = [...box.querySelectorAll('button, input, select')]
  const usable = controls.filter(control => !control.matches(':disabled'))
  for (const control of usable) control.toggleAttribute('disabled', true)
  say(status, ASKING)
  const patience = setTimeout(() => say(status, WAITING), 1000)
  const answer = await work()
  clearTimeout(patience)
  say(status, '')
  for (const control of usable) control.toggleAttribute('disabled', false)
  isBusy = false
  return answer
}

/** @param {Token} revoked */
async function runRevoke(revoked) {
  tell('revoke-problem')
  const path = `${TOKENS}/${revoked.id}`
  /** @type {Answer<{ revokedAt: string, barrier: Receipt }>} */
  const answer = await whileBusy(revoke, 'revoke-status', () =>
    call(path, { method: 'DELETE', timeoutMs: BARRIER_TIMEOUT_MS })
  )
  const { status, body } = answer
  if (status === 401) return
  if (status === 404) {
    revoke.close()
    await loadList()
    tell('list-problem', 'This token is already gone.', answer)
    focusRow(undefined)
    return
  }
  if (status !== 200 || !body.barrier || !body.revokedAt) {
    markUncertain(revoked.id)
    at('revoke-submit').hidden = true
    tell('revoke-problem', NOT_CERTAIN, answer, () => void runRevoke(revoked))
    at('revoke-cancel').focus()
    return
  }
  const next = neighbourOf(revoked.id)
  revoke.close()
  addReceipt(revoked, receiptText(body.barrier), body.revokedAt, answer.requestId)
  await loadList()
  focusRow(next)
}

/** @param {Receipt} receipt */
function receiptText({ replicas, acknowledged, waitedMs }) {
  const counted = `${acknowledged} of ${replicas} ${replicas === 1 ? 'replica' : 'replicas'} confirmed`
  const missing = replicas - acknowledged
  const time = `${waitedMs.toLocaleString()} ms`
  const whose =
    missing === 1 ? `the ${ORDINALS[replicas] ?? 'last'} one’s` : `the other ${missing} ones’`
  const how =
    missing > 0 ? `; ${whose} permission to use its cache ended after ${time}` : ` in ${time}`
  return `Revoked. ${counted}${how}. No replica accepts this token any more.`
}

/**
 * It stays until it is dismissed: it goes into an incident ticket.
 * @param {Token} about
 * @param {string} text
 * @param {string} at_
 * @param {string} requestId
 */
function addReceipt({ name, preview, id }, text, at_, requestId) {
  const { element, part } = copyOf('t-receipt')
  part('text').textContent = `${name} (${preview}): ${text}`
  part('when').textContent = exactly(at_)
  part('id').textContent = requestId
  const whole = `${text}\nToken: ${name} (${preview}), id ${id}\nTime: ${exactly(at_)}\nRequest id: ${requestId}`
  on(part('copy'), 'click', async () => announce(await copy(whole, part('text'))))
  on(part('dismiss'), 'click', () => {
    element.remove()
    focusRow(undefined)
  })
  at('receipts').prepend(element)
  announce(text)
}

/** @param {Token} given */
export function askRotate(given) {
  token = given
  at('rotate-name').textContent = given.name
  get('rotate-form', HTMLFormElement).reset()
  showHours()
  say('rotate-status', '')
  tell('rotate-problem')
  rotate.showModal()
  at('grace').focus()
}

function showHours() {
  at('grace-hours-field').hidden = get('grace', HTMLSelectElement).value !== 'other'
}

/** Undefined: no number of hours from 1 to 720. */
function graceHours() {
  const { value } = get('grace', HTMLSelectElement)
  if (value !== 'other') return Number(value)
  const hours = Number(input('grace-hours').value)
  return Number.isInteger(hours) && hours >= 1 && hours <= 720 ? hours : undefined
}

/** @param {Token} old */
async function runRotate(old) {
  tell('rotate-problem')
  const hours = graceHours()
  if (hours === undefined) {
    tell('rotate-problem', 'Enter a whole number of hours from 1 to 720.')
    at('grace-hours').focus()
    return
  }
  const path = `${TOKENS}/${old.id}/rotate`
  const options = { method: 'POST', timeoutMs: BARRIER_TIMEOUT_MS }
  /** @type {Answer<NewToken>} */
  const answer = await whileBusy(rotate, 'rotate-status', () =>
    call(path, { ...options, body: { graceSeconds: hours * 3600 } })
  )
  const { status, body } = answer
  if (status === 201 && isNew(body)) {
    rotate.close()
    const end = exactly(new Date(now() + hours * 3_600_000).toISOString())
    showSecret(
      body,
      hours === 0 ? 'The old token works no more.' : `The old token works until ${end}.`
    )
  } else if (status === 404) {
    rotate.close()
    await loadList()
    tell('list-problem', 'This token is already gone.', answer)
    focusRow(undefined)
  } else if (status !== 401) {
    const isUnclear = status === 0 || body.code === 'REVOCATION_UNCONFIRMED'
    tell('rotate-problem', isUnclear ? NOT_ROTATED : reasonOf(answer), answer)
    if (isUnclear) void loadList()
  }
}
