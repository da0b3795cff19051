/**
 * The token page: a client of the token API and of nothing else that only it could use. This module
 * wires the others together and holds who is signed in.
 */
/** @import { Answer, Token } from './types.d.ts' */
/** @import { Catalogue } from './allowed-rules.js' */
import { askRevoke, askRotate, startChanges } from './changes.js'
import { resetCreate, startCreate } from './create.js'
import { at, onClick } from './dom.js'
import { call, readJwt, signInWith } from './gate.js'
import { focusRow, forgetList, listPath, loadList, startList, takeList, TOKENS } from './list.js'
import { forgetRepositories } from './repository-list.js'
import { beforeLeaving, forgetSecret, showSecret, startSecret } from './secret.js'
import { problemOf, sessionEnds, startSignIn } from './sign-in.js'
import { clearAddress, PAGE, show, state } from './views.js'

const NEW = '#new'

/** Of whom the form and the list are; empty: of nobody. */
let owner = ''

/**
 * The gate is asked for list and catalogue; only when it has answered both, somebody is signed in.
 * @param {string} jwt
 * @param {boolean} isKept
 */
async function enter(jwt, isKept) {
  /** @type {[Answer<Catalogue>, Answer<{ tokens: readonly Token[] }>]} */
  const answers = await Promise.all([
    call(`${PAGE}/catalogue`, { as: jwt }),
    call(listPath(), { as: jwt })
  ])
  const [catalogue, list] = answers
  const problem = problemOf(answers)
  if (problem) return problem
  const { hash, scopes, rules } = catalogue.body
  if (hash === undefined || !scopes || !rules) {
    return {
      text: catalogue.body.message ?? 'The gate does not answer. Try again.',
      answer: catalogue
    }
  }
  const user = readJwt(jwt)
  const isSame = owner !== '' && owner === user?.identity
  if (!isSame) leave()
  owner = user?.identity ?? ''
  signInWith(jwt, isKept)
  sessionEnds(user?.endsMs ?? Infinity)
  at('who').hidden = false
  at('who-name').textContent = user?.name ?? ''
  state.catalogue = { hash, scopes, rules }
  if (!isSame) open()
  takeList(list)
  return undefined
}

/** Nothing of the last user stays. */
function leave() {
  owner = ''
  at('who').hidden = true
  at('who-name').textContent = ''
  state.catalogue = { hash: '', scopes: [], rules: [] }
  state.view = 'sign-in'
  forgetSecret()
  forgetList()
  forgetRepositories()
}

/** By the address: a link that fills the form, the form, or the list. */
function open() {
  resetCreate(location.search)
  const isForm = location.hash === NEW || at('link-banner').textContent !== ''
  show(isForm ? 'create' : 'list')
}

function openForm() {
  resetCreate('')
  location.hash = NEW
}

function cancelForm() {
  clearAddress()
  show('list', at('open-create'))
}

startList({ rotate: askRotate, revoke: askRevoke })
startChanges()
startCreate({
  made: token => showSecret(token),
  doubt: () => void loadList(),
  cancel: cancelForm
})
startSecret(id => {
  show('list')
  void loadList().then(() => focusRow(id))
})
onClick('open-create', openForm)
onClick('empty-create', openForm)
at('empty-curl').textContent =
  `curl -X POST -H "Authorization: Bearer $JWT" -H 'Content-Type: application/json' \\
  -d '{"name":"ci"}' ${location.origin}${TOKENS}`
addEventListener('hashchange', () => {
  if (state.view === 'list' && location.hash === NEW) show('create')
  else if (state.view === 'create' && location.hash === '') show('list')
})
startSignIn({ enter, leave, beforeLeaving })
