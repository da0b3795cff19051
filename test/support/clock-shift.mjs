/**
 * Loaded into a gate by `--import`: lets a test set its clocks. The file named by CLOCK_SHIFT_FILE holds
 * `{"wallMs":…,"bootMs":…}`, what is added to the wall clock and to the time since boot. It is read
 * at each look at a clock whose shift can matter, at most every 5 ms.
 */
import { readFileSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import os from 'node:os'

const file = process.env['CLOCK_SHIFT_FILE'] ?? ''
const now = Date.now
const uptime = os.uptime
let shift = { wallMs: 0, bootMs: 0 }
let readAtMs = -Infinity

function current() {
  if (performance.now() - readAtMs < 5) return shift
  readAtMs = performance.now()
  try {
    shift = JSON.parse(readFileSync(file, 'utf8'))
  } catch {
    // Half written: the next look reads it whole.
  }
  return shift
}

Date.now = () => now() + current().wallMs
os.uptime = () => uptime() + current().bootMs / 1000
syncBuiltinESMExports()
