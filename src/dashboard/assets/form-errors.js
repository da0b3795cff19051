/** What is wrong with the form: all of it in a summary, and each text beside its field. */
/** @import { FieldError } from './types.d.ts' */
import { at, make, on } from './dom.js'

/** Fields of the API, by those of the form: what they are called, and what takes the focus. */
const FIELDS = new Map([
  ['name', { of: 'name', title: 'Name', focus: ['name'] }],
  ['scopes', { of: 'scopes', title: 'Scopes', focus: ['scope-filter'] }],
  [
    'repositories',
    { of: 'repositories', title: 'Repository access', focus: ['repository', 'access-some'] }
  ],
  ['allRepositories', { of: 'repositories', title: 'Repository access', focus: ['access-all'] }],
  ['expiresInDays', { of: 'expires', title: 'Expires', focus: ['expires'] }],
  ['expiresAt', { of: 'expires', title: 'Expires', focus: ['expires-date', 'expires'] }],
  ['requireSignature', { of: 'requireSignature', title: 'Signed requests', focus: ['signature'] }]
])

/**
 * @param {Element} element
 * @param {string} ids
 */
function describe(element, ids) {
  if (ids.trim()) element.setAttribute('aria-describedby', ids.trim())
  else element.removeAttribute('aria-describedby')
}

/**
 * What was wrong there is not told any more: it is being changed, or sent again.
 * @param {Element} part of the form, or all of it
 */
export function forgive(part) {
  for (const old of part.querySelectorAll('.error')) old.remove()
  for (const bad of part.querySelectorAll('[aria-invalid]')) {
    bad.removeAttribute('aria-invalid')
    describe(bad, (bad.getAttribute('aria-describedby') ?? '').replace(/ ?error-\d+/g, ''))
  }
  const isRight = !document.querySelector('#create-form .error')
  if (isRight) at('create-problem').querySelector('.summary')?.remove()
}

/**
 * A summary with links at the top, which takes the focus, and each text beside its field.
 * @param {readonly FieldError[]} errors
 */
export function showErrors(errors) {
  forgive(at('create-form'))
  if (errors.length === 0) return
  const items = errors.map(({ field, message }, i) => {
    const known = FIELDS.get(field)
    if (!known) return make('li', {}, `${field} ${message}`)
    const text = `${known.title} ${message}`
    const target = known.focus.map(at).find(element => element.checkVisibility()) ?? at('name')
    const title = document.querySelector(`[data-field=${known.of}] :is(legend, label)`)
    const id = `error-${i}`
    title?.after(make('p', { className: 'error', id }, text))
    target.ariaInvalid = 'true'
    describe(target, `${target.getAttribute('aria-describedby') ?? ''} ${id}`)
    const link = make('a', { href: `#${target.id}` }, text)
    on(link, 'click', event => {
      event.preventDefault()
      target.focus()
    })
    return make('li', {}, link)
  })
  const count = errors.length === 1 ? 'One thing is' : `${errors.length} things are`
  const heading = make('h3', { tabIndex: -1 }, `${count} not right yet`)
  const summary = make('div', { className: 'problem summary' }, heading, make('ul', {}, ...items))
  at('create-problem').append(summary)
  heading.focus()
}
