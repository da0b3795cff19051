/**
 * Loaded into a gate by `--import`: makes its machine misbehave, as the file DISTURB_FILE says at the
 * moment. JSON: `blockMs` (each turn of the event loop takes so long), `wallMs` (its wall clock is off
 * by so much), `names` (host name to address, or null for a name server that fails).
 */
import dns from 'node:dns'
import { readFileSync } from 'node:fs'

const file = process.env.DISTURB_FILE
const realNow = Date.now
const realLookup = dns.lookup
let wish = {}

Date.now = () => realNow() + (wish.wallMs ?? 0)

dns.lookup = (name, options, done) => {
  const callback = typeof options === 'function' ? options : done
  const address = wish.names?.[name]
  if (address === undefined) return realLookup(name, options, done)
  if (address === null) {
    const error = Object.assign(new Error(`getaddrinfo EAI_AGAIN ${name}`), { code: 'EAI_AGAIN' })
    return process.nextTick(callback, error)
  }
  const isAll = typeof options === 'object' && options.all
  return process.nextTick(callback, null, isAll ? [{ address, family: 4 }] : address, 4)
}

function read() {
  try {
    wish = JSON.parse(readFileSync(file, 'utf8'))
  } catch {
    // Being written: the next look sees it.
  }
  const untilMs = performance.now() + (wish.blockMs ?? 0)
  while (performance.now() < untilMs);
}

setInterval(read, 20).unref()
