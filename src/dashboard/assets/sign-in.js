/** Signing in by password, pasted JWT or demo account; over the page when a session ends in it. */
/** @import { Answer } from './types.d.ts' */
import { at, dialog, get, input, make, on, onClick, onSubmit, say, tell } from './dom.js'
import { call, isKept, keptJwt, now, onSessionEnd, readJwt, signOut } from './gate.js'
import { PAGE, show, state } from './views.js'

/** @typedef {{ readonly text: string, readonly answer?: Answer<unknown> }} Problem */

const REFUSED = 'The gate does not accept this sign-in: it is not valid here, or it has ended.'
const NO_PASSWORDS = 'Signing in by password is not set up here. Paste a JWT.'
const NO_SERVICE = 'The service does not answer. Nothing is wrong with your password.'

const over = dialog('sign-in-dialog')
let endsMs = Infinity
let isBusy = false

/**
 * @param {object} wiring
 * @param {(jwt: string, isKept: boolean) => Promise<Problem | undefined>} wiring.enter
 *   takes a JWT to the gate; nothing: the page is shown as signed in
 * @param {() => void} wiring.leave forgets what the page holds of its user
 * @param {(go: () => void) => void} wiring.beforeLeaving asks, where something would be lost
 */
export function startSignIn({ enter, leave, beforeLeaving }) {
  /**
   * @param {HTMLElement} form
   * @param {() => Promise<string | Problem>} obtain
   */
  const attempt = async (form, obtain) => {
    if (isBusy) return
    isBusy = true
    const focused = document.activeElement
    const buttons = form.querySelectorAll('button')
    for (const button of buttons) button.disabled = true
    tell('sign-in-problem')
    const patience = setTimeout(() => tell('sign-in-problem', 'Still waiting for an answer…'), 5000)
    const jwt = await obtain()
    const problem = typeof jwt === 'string' ? await enter(jwt, input('keep').checked) : jwt
    clearTimeout(patience)
    isBusy = false
    for (const button of buttons) button.disabled = false
    tell('sign-in-problem', problem?.text, problem?.answer)
    if (problem && focused instanceof HTMLElement) focused.focus()
    else if (!problem) done()
  }

  onSubmit('jwt-form', () => {
    void attempt(at('jwt-form'), async () => readPasted(get('jwt', HTMLTextAreaElement).value))
  })
  const password = document.getElementById('password-form')
  if (password) {
    onSubmit('password-form', () => {
      void attempt(password, () => logIn(password.dataset['path'] ?? ''))
    })
  }
  const demo = document.getElementById('demo')
  if (demo?.parentElement) {
    const { parentElement } = demo
    on(demo, 'click', () => attempt(parentElement, askDemo))
  }

  const end = () => {
    signOut()
    leave()
    endsMs = Infinity
    say('session-note')
    askSignIn('You are signed out.')
  }
  onClick('sign-out', () => beforeLeaving(end))
  onClick('sign-in-later', () => over.close())
  onSessionEnd(() => sessionEnded())
  on(over, 'close', () => {
    if (state.view !== 'sign-in' && endsMs === Infinity) offerSignIn('Your sign-in has ended. ')
  })
  setInterval(watchEnd, 1000)
  addEventListener('pagehide', ({ persisted }) => {
    if (persisted && !isKept()) signOut()
  })
  addEventListener('pageshow', ({ persisted }) => {
    if (persisted && !isKept() && state.view !== 'sign-in') sessionEnded()
  })

  at('sign-in').hidden = false
  if (isKept()) {
    input('keep').checked = true
    void attempt(at('sign-in-box'), async () => keptJwt())
  }
}

/** @param {number} ms when this session ends, by the gate's clock */
export function sessionEnds(ms) {
  endsMs = ms
  say('session-note')
}

function done() {
  for (const id of ['password', 'email']) {
    const field = document.getElementById(id)
    if (field instanceof HTMLInputElement) field.value = ''
  }
  get('jwt', HTMLTextAreaElement).value = ''
  over.close()
}

function watchEnd() {
  const leftMs = endsMs - now()
  if (leftMs <= 0) sessionEnded()
  else if (leftMs < 60_000 && at('session-note').textContent === '')
    offerSignIn('Your sign-in ends in a minute. ')
}

function sessionEnded() {
  if (state.view === 'sign-in') return
  endsMs = Infinity
  signOut()
  // Nothing may come over a token that is shown once.
  if (state.view === 'secret') offerSignIn('Your sign-in has ended. ')
  else askSignIn('Your sign-in has ended. What you typed is still here.')
}

/** @param {string} text */
function offerSignIn(text) {
  const again = make('button', { type: 'button', textContent: 'Sign in again' })
  on(again, 'click', () => askSignIn('What you typed stays.'))
  say('session-note', text, again)
}

/** @param {string} why */
function askSignIn(why) {
  const isOver = state.view !== 'sign-in' && state.catalogue.hash !== ''
  tell('sign-in-problem')
  at('sign-in-why').textContent = why
  at(isOver ? 'sign-in-dialog' : 'sign-in').prepend(at('sign-in-box'))
  if (!isOver) show('sign-in')
  else if (!over.open) over.showModal()
  at('sign-in-title').focus()
}

/**
 * @param {string} path
 * @returns {Promise<string | Problem>}
 */
async function logIn(path) {
  const [email, password] = [input('email').value, input('password').value]
  if (!email || !password) return { text: 'Enter your email and your password.' }
  /** @type {Answer<{ token: unknown, retryAfter: unknown }>} */
  const answer = await call(path, {
    method: 'POST',
    as: '',
    body: { email, password },
    isOurs: false
  })
  const { status, body } = answer
  const message = typeof body.message === 'string' ? body.message : ''
  if (status === 200 && typeof body.token === 'string') return body.token
  if (status >= 200 && status < 300) {
    return { text: 'Your account needs another step. Sign in there, then paste your JWT.' }
  }
  if (status === 429) {
    const seconds = answer.retryAfter || Number(body.retryAfter) || 60
    const minutes = Math.ceil(seconds / 60)
    const unit = minutes === 1 ? 'minute' : 'minutes'
    return { text: `Too many attempts. Try again in ${minutes} ${unit}.`, answer }
  }
  if (status === 404 || body.code === 'ROUTE_DENIED') return { text: NO_PASSWORDS, answer }
  if (status === 0 || status >= 500) return { text: NO_SERVICE, answer }
  return { text: message || 'Email or password is wrong.', answer }
}

/**
 * @param {string} pasted
 * @returns {string | Problem}
 */
function readPasted(pasted) {
  const text = pasted.trim().replace(/^bearer\s+/i, '')
  if (text.startsWith('ci_')) {
    return { text: 'This is an API token. Managing tokens needs your own sign-in.' }
  }
  if (readJwt(text)) return text
  return { text: 'This is no JWT. It has three parts with dots between them.' }
}

/** @returns {Promise<string | Problem>} */
async function askDemo() {
  const path = `${PAGE}/demo-session`
  /** @type {Answer<{ token: string }>} */
  const answer = await call(path, { method: 'POST', as: '' })
  return answer.body.token ?? { text: 'The demo account is not there.', answer }
}

/**
 * What became of asking the gate with a new JWT; nothing: it is good.
 * @param {readonly Answer<unknown>[]} answers
 * @returns {Problem | undefined}
 */
export function problemOf(answers) {
  const refused = answers.find(({ status }) => status === 401 || status === 400)
  if (refused) return { text: REFUSED, answer: refused }
  const silent = answers.find(({ status }) => status === 0)
  return silent && { text: 'The gate does not answer. Try again.', answer: silent }
}
