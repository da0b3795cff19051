/** One token as a row of the list. */
/** @import { Actions, Token } from './types.d.ts' */
import { copyOf, make, on } from './dom.js'
import { now } from './gate.js'
import { labelOf, learnRepositories } from './repository-list.js'
import { DAY_MS, timeOf } from './time.js'
import { riskWord, scopeOf } from './views.js'

const SOON_MS = 7 * DAY_MS
const UNUSED_MS = 90 * DAY_MS

/** @param {Token} token */
function stateOf({ revokedAt, expiresAt }) {
  if (revokedAt) return 'revoked'
  return expiresAt && Date.parse(expiresAt) <= now() ? 'expired' : 'active'
}

/**
 * @param {Token} token
 * @param {boolean} isUncertain its revocation was asked for and not confirmed
 * @param {Actions} act
 */
export function toRow(token, isUncertain, act) {
  const { element, part } = copyOf('t-row')
  const nowMs = now()
  const condition = stateOf(token)
  element.dataset['id'] = token.id
  element.classList.toggle('inactive', condition !== 'active')
  part('name').textContent = token.name
  if (isUncertain) {
    part('name').after(' ', make('span', { className: 'mark-warning' }, 'uncertain'))
  }
  part('preview').textContent = token.preview
  part('scopes').append(...scopeList(token.scopes))
  part('repositories').append(repositoriesOf(token))
  part('signing').textContent = token.requireSignature ? 'required' : 'optional'
  part('created').append(timeOf(token.createdAt, nowMs))
  part('used').append(...lastUse(token, nowMs))
  part('expires').append(...expiry(token, nowMs))
  part('state').textContent = condition
  for (const name of /** @type {const} */ (['rotate', 'revoke'])) {
    const button = part(name)
    button.dataset['key'] = `${name} ${token.id}`
    button.append(make('span', { className: 'unseen' }, ` ${token.name}`))
    on(button, 'click', () => act[name](token))
    button.hidden = condition !== 'active'
  }
  return element
}

/** @param {readonly string[]} names */
export function scopeList(names) {
  const items = names.map(name => {
    const scope = scopeOf(name)
    const item = make('li', { title: name }, scope?.title ?? name)
    if (scope?.risk === 'high')
      item.append(' ', make('span', { className: 'risk high' }, riskWord('high')))
    return item
  })
  const first = make('ul', { className: 'plain' }, ...items.slice(0, 3))
  if (items.length <= 3) return [first]
  const more = make('summary', {}, `+${items.length - 3} more`)
  return [first, make('details', {}, more, make('ul', { className: 'plain' }, ...items.slice(3)))]
}

/** @param {Token} token */
function repositoriesOf({ allRepositories, repositories }) {
  if (allRepositories) return 'All'
  const count = repositories.length
  const items = repositories.map(id => make('li', {}, make('bdi', {}, labelOf(id))))
  const list = make('ul', { className: 'plain' }, ...items)
  const summary = make('summary', {}, count === 1 ? '1 repository' : `${count} repositories`)
  const details = make('details', {}, summary, list)
  on(details, 'toggle', async () => {
    if (!details.open) return
    await learnRepositories()
    for (const [i, id] of repositories.entries()) {
      items[i]?.replaceChildren(make('bdi', {}, labelOf(id)))
    }
  })
  return details
}

/**
 * @param {Token} token
 * @param {number} nowMs
 * @returns {readonly (Node | string)[]}
 */
function lastUse({ lastUsedAt, createdAt }, nowMs) {
  const sinceMs = nowMs - Date.parse(lastUsedAt ?? createdAt)
  const days = Math.floor(sinceMs / DAY_MS)
  const warning = sinceMs > UNUSED_MS ? [mark(`Unused for ${days} days`)] : []
  return lastUsedAt ? [timeOf(lastUsedAt, nowMs), ...warning] : ['Never used', ...warning]
}

/**
 * @param {Token} token
 * @param {number} nowMs
 * @returns {readonly (Node | string)[]}
 */
function expiry({ expiresAt, revokedAt }, nowMs) {
  if (!expiresAt) return ['Never']
  const leftMs = Date.parse(expiresAt) - nowMs
  const isSoon = leftMs > 0 && leftMs < SOON_MS && !revokedAt
  if (!isSoon) return [timeOf(expiresAt, nowMs)]
  const time = timeOf(expiresAt, nowMs)
  time.prepend('Expires ')
  const wrapped = make('span', { className: 'mark-warning' }, time)
  return [wrapped]
}

/** @param {string} text */
const mark = text => make('span', { className: 'mark-warning' }, text)
