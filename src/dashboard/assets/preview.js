/** What a token with these rights could call, worked out here: the gate is not asked. */
/** @import { AllowedRule, Selection } from './allowed-rules.js' */
import { allowedRules } from './allowed-rules.js'
import { at, copyOf, input, make } from './dom.js'
import { state } from './views.js'

const GROUPS = /** @type {const} */ ([
  ['can', 'Can call'],
  ['signed', 'Can call when signed'],
  ['chosen', 'Answers only for the chosen repositories'],
  ['cannot', 'Cannot: the token is limited to repositories, and these name none']
])

/** @param {Selection} selection */
export function showPreview(selection) {
  const all = allowedRules(state.catalogue, selection)
  const count = all.filter(({ isCallable }) => isCallable).length
  at('preview-count').textContent = `${count} of ${state.catalogue.rules.length} rules`
  const wanted = input('preview-filter').value.trim().toLowerCase()
  const found = all.filter(({ rule }) =>
    `${rule.methods.join(' ')} ${rule.path} ${rule.why ?? ''}`.toLowerCase().includes(wanted)
  )
  const sections = GROUPS.flatMap(([group, title]) => {
    const rules = found.filter(each => groupOf(each) === group)
    if (rules.length === 0) return []
    const heading = make('h4', {}, `${title} (${rules.length})`)
    return [make('section', { className: group }, heading, make('ul', {}, ...rules.map(toItem)))]
  })
  const nothing = make('p', { className: 'muted' }, wanted ? 'No rule matches.' : 'Nothing yet.')
  at('preview').replaceChildren(...(sections.length > 0 ? sections : [nothing]))
}

/** @param {AllowedRule} allowed */
function groupOf({ isCallable, onlyChosen, needsSignature }) {
  if (!isCallable) return 'cannot'
  if (onlyChosen) return 'chosen'
  return needsSignature ? 'signed' : 'can'
}

/** @param {AllowedRule} allowed */
function toItem({ rule, needsSignature, onlyChosen, byReport }) {
  const { element, part } = copyOf('t-call')
  part('methods').textContent = rule.methods.join(' ')
  part('path').textContent = rule.path
  const notes = [
    onlyChosen && needsSignature ? 'when signed' : '',
    byReport
      ? 'only because the rule is in report mode'
      : rule.mode === 'report'
        ? 'report mode'
        : '',
    rule.why ?? ''
  ]
  part('why').textContent = notes.filter(Boolean).join('; ')
  return element
}

/**
 * The first call that can be tried at once: a GET whose path is whole.
 * @param {Selection} selection
 */
export function firstCall(selection) {
  const rules = allowedRules(state.catalogue, selection).filter(
    ({ rule, isCallable }) => isCallable && rule.methods.includes('GET') && !/[{*]/.test(rule.path)
  )
  // One that shows a scope at work, where there is one.
  return (rules.find(({ rule }) => rule.need !== 'any-token') ?? rules[0])?.rule.path
}
