/**
 * The entry of the process: arguments to the commands, signals to whoever listens, an exit code to
 * the shell. Nobody else ends the process.
 */
import type { CommandIo, CommandSignal } from './commands/output.ts'
import { describeUnexpected, run } from './commands/run.ts'

/** npm sends its child the SIGINT that the terminal has sent to both. */
const SAME_KEYPRESS_MS = 500
let endAskedAtMs: number | undefined

const io: CommandIo = {
  env: process.env,
  isTerminal: process.stdout.isTTY,
  out: text => void process.stdout.write(text),
  err: text => void process.stderr.write(text),
  onSignal(signal, listener) {
    process.on(signal, () => {
      if (isEnd(signal) && endAskedAtMs !== undefined) {
        const isEcho = signal === 'SIGINT' && performance.now() - endAskedAtMs < SAME_KEYPRESS_MS
        if (!isEcho) process.exit(signal === 'SIGINT' ? 130 : 143)
        return
      }
      if (isEnd(signal)) endAskedAtMs = performance.now()
      listener()
    })
  }
}

function isEnd(signal: CommandSignal): boolean {
  return signal === 'SIGINT' || signal === 'SIGTERM'
}

for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    // EPIPE: the reader of `tollgate … | head` has enough. Else what was asked for is not there.
    if (error.code !== 'EPIPE') process.exitCode = 1
  })
}
// Node would print the whole error, and with it what a driver attached: addresses and passwords.
process.on('uncaughtException', thrown => {
  io.err(describeUnexpected(thrown))
  process.exit(1)
})

// Not awaited at the top: the emitted program is made of scripts, which cannot.
let hasEnded = false
// As Node ends where that await is never settled: nobody shall take it for success.
process.on('exit', () => {
  if (!hasEnded) process.exitCode ??= 13
})
void main()

async function main(): Promise<void> {
  const exitCode = await run(process.argv.slice(2), io)
  hasEnded = true
  process.exitCode ??= exitCode
  // The gate has closed everything and waited for its log as long as it may; a reader that does not
  // read must not keep the process. Other commands end when their output has been taken.
  if (process.argv[2] === 'serve') process.exit()
}
