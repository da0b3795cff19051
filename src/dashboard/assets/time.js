/** Times in words, in the browser's language; exactly, and in UTC, for who asks. */
import { make } from './dom.js'

const relative = new Intl.RelativeTimeFormat(undefined, { numeric: 'auto' })
const day = new Intl.DateTimeFormat(undefined, { dateStyle: 'full' })
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: 'short' })

/** A unit, how many seconds it has, and from how many on it is used. @type {readonly (readonly [Intl.RelativeTimeFormatUnit, number, number])[]} */
const UNITS = [
  ['year', 31_536_000, 63_072_000],
  ['month', 2_592_000, 8_640_000],
  ['day', 86_400, 86_400],
  ['hour', 3600, 3600],
  ['minute', 60, 60]
]

export const DAY_MS = 86_400_000

/**
 * `3 days ago`, `in 2 hours`.
 * @param {number} ms
 * @param {number} nowMs
 */
export function inWords(ms, nowMs) {
  const seconds = Math.round((ms - nowMs) / 1000)
  const found = UNITS.find(([, , least]) => Math.abs(seconds) >= least)
  return found
    ? relative.format(Math.round(seconds / found[1]), found[0])
    : relative.format(0, 'second')
}

/** @param {number} ms */
export const dayInWords = ms => day.format(ms)
/** @param {number} ms */
export const clockTime = ms => clock.format(ms)

/** @param {string} iso */
export const exactly = iso => `${iso.slice(0, 19).replace('T', ' ')} UTC`

/**
 * @param {string} iso
 * @param {number} nowMs
 */
export function timeOf(iso, nowMs) {
  const exact = exactly(iso)
  return make(
    'time',
    { dateTime: iso, title: exact },
    inWords(Date.parse(iso), nowMs),
    make('span', { className: 'unseen' }, ` (${exact})`)
  )
}
