/** A link that fills the form: read, checked, and never obeyed without a click. */
/** @import { Catalogue } from './allowed-rules.js' */

const ID = /^[A-Za-z0-9._:-]{1,128}$/
const NAME = /^[^\p{C}\p{Zl}\p{Zp}]{1,100}$/u
const DAY = /^\d{4}-\d\d-\d\d$/
const CHOICES = ['7', '30', '90', '365', 'never']
const KNOWN = ['name', 'scopes', 'repositories', 'expires', 'signature']
const DAY_MS = 86_400_000

/**
 * Values for the whole form: those of the link, and defaults.
 * @param {string} query
 * @param {Catalogue} catalogue
 * @param {number} nowMs
 */
export function readLink(query, catalogue, nowMs) {
  const given = new URLSearchParams(query)
  /** @type {string[]} */
  const ignored = []
  /**
   * The values of a list that are good; the others are named.
   * @param {string} key
   * @param {(value: string) => boolean} isGood
   */
  const list = (key, isGood) => {
    const values = new Set((given.get(key) ?? '').split(',').filter(Boolean))
    const bad = [...values].filter(value => !isGood(value))
    if (bad.length > 0) ignored.push(`${key} ${bad.map(shorten).join(', ')}`)
    return [...values].filter(isGood)
  }
  /**
   * @param {string} key
   * @param {(value: string) => boolean} isGood
   */
  const one = (key, isGood) => {
    const value = given.get(key)
    if (value === null || isGood(value)) return value ?? ''
    ignored.push(`${key} ${shorten(value)}`)
    return ''
  }
  const name = one('name', value => NAME.test(value))
  const known = new Set(catalogue.scopes.map(scope => scope.name))
  const scopes = given.has('scopes') ? list('scopes', value => known.has(value)) : undefined
  const repositories = list('repositories', value => ID.test(value)).slice(0, 100)
  const end = one('expires', value => isEnd(value, nowMs))
  const signature = one('signature', value => value === 'required' || value === 'optional')
  const isDays = /^\d+$/.test(end) && !CHOICES.includes(end)
  const day = isDays ? new Date(nowMs + Number(end) * DAY_MS).toISOString().slice(0, 10) : end
  return {
    isThere: KNOWN.some(key => given.has(key)),
    name,
    /** Undefined: the defaults. */
    scopes,
    repositories,
    /** A value of the select box. */
    expires: CHOICES.includes(end) ? end : end ? 'date' : '90',
    date: DAY.test(day) ? day : '',
    requireSignature: signature === 'required',
    ignored
  }
}

/**
 * @param {string} value
 * @param {number} nowMs
 */
function isEnd(value, nowMs) {
  if (value === 'never') return true
  if (DAY.test(value)) return Date.parse(value) > nowMs
  return /^\d{1,4}$/.test(value) && Number(value) >= 1 && Number(value) <= 3650
}

/**
 * What a stranger wrote is named without what cannot be seen, or would turn the line around.
 * @param {string} text
 */
const shorten = text =>
  `“${text.length > 40 ? `${text.slice(0, 40)}…` : text}”`.replaceAll(
    /[\p{C}\p{Zl}\p{Zp}]/gu,
    '\ufffd'
  )
