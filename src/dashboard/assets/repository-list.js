/** The upstream's repositories, asked for through the gate in the user's name; each shape it may answer in. */
/** @import { Answer } from './types.d.ts' */
import { call } from './gate.js'

/** What the gate takes as the id of a repository configuration. */
export const REPOSITORY_ID = /^[A-Za-z0-9._:-]{1,128}$/
const PAGE_SIZE = 100
const MOST_PAGES = 10

/** @typedef {{ readonly id: string, readonly label: string, readonly branch: string }} Repository */

/** Undefined: not asked yet, or no list is to be had. @type {readonly Repository[] | undefined} */
export let known
/** @type {Promise<void> | undefined} */
let learning
/** An answer for an earlier user comes too late. */
let generation = 0

/** @param {string} id */
export const labelOf = id => known?.find(repository => repository.id === id)?.label ?? id

/** Asks the upstream once, and again after a failure. */
export function learnRepositories() {
  learning ??= ask().finally(() => {
    if (!known) learning = undefined
  })
  return learning
}

async function ask() {
  const mine = generation
  /** @type {Map<string, Repository>} */
  const found = new Map()
  for (let page = 1; page <= MOST_PAGES; page++) {
    const query = page === 1 ? `limit=${PAGE_SIZE}` : `limit=${PAGE_SIZE}&page=${page}`
    /** @type {Answer<Record<string, unknown>>} */
    const answer = await call(`/api/repo-configs?${query}`, { timeoutMs: 5000, isOurs: false })
    const { configs, repositories, data, list, pagination } = answer.body
    const items = [configs, repositories, data, list].find(Array.isArray)
    if (answer.status !== 200 || !items) return
    const before = found.size
    for (const item of items) {
      const repository = readRepository(item)
      if (repository) found.set(repository.id, repository)
    }
    const total = Number(readMember(pagination, 'total')) || 0
    if (found.size >= total || found.size === before) break
  }
  if (mine === generation) known = [...found.values()]
}

/**
 * @param {unknown} item
 * @returns {Repository | undefined}
 */
function readRepository(item) {
  const given = readMember(item, '_id') ?? readMember(item, 'id')
  const id = typeof given === 'number' ? String(given) : given
  if (typeof id !== 'string' || !REPOSITORY_ID.test(id)) return undefined
  const names = [readMember(readMember(item, 'repository'), 'fullName')]
  names.push(readMember(item, 'fullName'), readMember(item, 'name'))
  const label = names.find(name => typeof name === 'string' && name !== '')
  const branch = readMember(item, 'branch')
  return {
    id,
    label: typeof label === 'string' ? label : id,
    branch: typeof branch === 'string' ? branch : ''
  }
}

/**
 * @param {unknown} value
 * @param {string} name
 * @returns {unknown}
 */
function readMember(value, name) {
  if (typeof value !== 'object' || value === null) return undefined
  return Object.entries(value).find(([key]) => key === name)?.[1]
}

/** Another user sees other repositories. */
export function forgetRepositories() {
  generation++
  known = undefined
  learning = undefined
}
