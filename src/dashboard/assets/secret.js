/** The token's text: in this module and in one field until Done, then nowhere. */
/** @import { NewToken } from './types.d.ts' */
import { allowedRules } from './allowed-rules.js'
import { at, COPIED, copy, dialog, get, on, onClick, say } from './dom.js'
import { firstCall } from './preview.js'
import { exactly } from './time.js'
import { clearAddress, show, state } from './views.js'

const field = get('secret-text', HTMLTextAreaElement)
const leave = dialog('leave')
let isCopied = false
/** What goes on once the token may be lost. */
let goOn = () => {}

/** @param {(id: string) => void} closed with the token's id */
export function startSecret(closed) {
  const finish = () => {
    const { id = '' } = field.dataset
    forgetSecret()
    closed(id)
  }
  on(field, 'click', () => field.select())
  onClick('secret-copy', async () => {
    const said = await copy(field.value, field)
    say('copied', said)
    isCopied ||= said === COPIED
  })
  on(field, 'copy', () => {
    isCopied = true
  })
  for (const button of document.querySelectorAll('[data-copy]')) {
    if (!(button instanceof HTMLButtonElement)) continue
    const text = at(button.dataset['copy'] ?? '')
    on(button, 'click', async () => {
      const said = await copy(text.textContent ?? '', text)
      say('copied', said)
      isCopied ||= said === COPIED && text.textContent.includes(field.value)
    })
  }
  onClick('secret-done', () => beforeLeaving(finish))
  onClick('leave-stay', () => leave.close())
  onClick('leave-go', () => {
    leave.close()
    goOn()
  })
}

/**
 * Asks first where a token is shown that nobody has copied.
 * @param {() => void} go
 */
export function beforeLeaving(go) {
  goOn = go
  if (field.value === '' || isCopied) go()
  else leave.showModal()
}

/** From here on it is nowhere in the page. */
export function forgetSecret() {
  field.value = ''
  delete field.dataset['id']
  for (const each of ['try', 'workflow', 'secret-name', 'secret-facts', 'copied']) {
    at(each).replaceChildren()
  }
  removeEventListener('beforeunload', warn)
}

/** @param {BeforeUnloadEvent} event */
const warn = event => event.preventDefault()

/**
 * @param {NewToken} made
 * @param {string} [aboutOld] what becomes of the token that this one replaces
 */
export function showSecret(made, aboutOld = '') {
  const { token, name, scopes, allRepositories, requireSignature, expiresAt } = made
  isCopied = false
  field.value = token
  field.dataset['id'] = made.id
  const end = expiresAt ? `expires ${exactly(expiresAt)}` : 'never expires'
  at('secret-name').textContent = name
  at('secret-facts').textContent = `, ${end}. ${aboutOld}`
  const selection = { scopes, isLimited: !allRepositories, requireSignature }
  const path = firstCall(selection)
  at('try').textContent = path ? tryIt(path, made) : callsOf(selection)
  at('workflow').textContent = workflow(path ?? '/api/…', requireSignature)
  addEventListener('beforeunload', warn)
  clearAddress()
  show('secret')
}

/**
 * @param {string} path
 * @param {NewToken} made
 */
function tryIt(path, { token, requireSignature }) {
  return requireSignature
    ? `CONTROLINFRA_TOKEN=${token} tollgate sign GET '${path}' --curl --gate ${location.origin} | bash`
    : `curl -i -H 'Authorization: Bearer ${token}' '${location.origin}${path}'`
}

/** @param {import('./allowed-rules.js').Selection} selection */
function callsOf(selection) {
  const calls = allowedRules(state.catalogue, selection).filter(({ isCallable }) => isCallable)
  const lines = calls.map(({ rule }) => `${rule.methods.join(',')} ${rule.path}`)
  return ['This token can call:', ...lines].join('\n')
}

/**
 * @param {string} path
 * @param {boolean} isSigned
 */
function workflow(path, isSigned) {
  const curl = `curl -sS --fail-with-body \\
      -H "Authorization: Bearer $CONTROLINFRA_TOKEN" \\
      '${location.origin}${path}'`
  const sign = `tollgate sign GET '${path}' --curl --gate ${location.origin} | bash`
  return `- name: Call the API
  env:
    CONTROLINFRA_TOKEN: \${{ secrets.CONTROLINFRA_TOKEN }}
  run: |
    ${isSigned ? sign : curl}`
}
