/** What the source must not do, because no request could show it. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'

const SRC = join(import.meta.dirname, '../../src')

const sources = readdirSync(SRC, { recursive: true, encoding: 'utf8' })
  .filter(name => name.endsWith('.ts'))
  .toSorted((a, b) => (a < b ? -1 : 1))
  .map(name => ({ name, text: readFileSync(join(SRC, name), 'utf8') }))

/** Lines of code that match, as `file: line`. */
function linesWith(pattern: RegExp): readonly string[] {
  return sources.flatMap(({ name, text }) =>
    text
      .split('\n')
      .filter(line => pattern.test(line) && !/^\s*(?:\*|\/\/|\/\*)/.test(line))
      .map(line => `${name}: ${line.trim()}`)
  )
}

t.test('C14: secrets are compared in constant time', async t => {
  t.same(linesWith(/\.equals\(/), [], 'Buffer.equals ends at the first difference')
  const secret = '(?:hmac|mac|signature|expected|secret|password)'
  const compared = new RegExp(
    `\\b${secret}\\w* [!=]==? (?!undefined|null|'|\\d)|[!=]== ${secret}\\b`,
    'i'
  )
  const harmless = /\.length === |(?:outcome|audience) === expected/
  t.same(
    linesWith(compared).filter(line => !harmless.test(line)),
    [
      // The answer to a handshake is no secret.
      "proxy/tunnel.ts: return valueOf(answer, 'sec-websocket-accept')?.trim() === expected"
    ]
  )
  t.same(
    linesWith(/timingSafeEqual\(/).map(line => line.slice(0, line.indexOf(':'))),
    ['core/signature.ts', 'revocation/acknowledgement.ts']
  )
})

t.test('only one function makes a permit, and nothing switches the strictness off', async t => {
  t.same(
    linesWith(/makePermit\(/)
      .map(line => line.slice(0, line.indexOf(':')))
      .filter(name => name !== 'core/gate.ts'),
    []
  )
  t.same(linesWith(/rejectUnauthorized: false|insecureHTTPParser: true|trustProxy: true/), [])
  t.same(
    linesWith(/\bnew URL\(/).filter(line => /^(?:core|proxy)\//.test(line)),
    [],
    'no target is rebuilt'
  )
})
