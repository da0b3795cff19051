import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, constants, existsSync, openSync, readFileSync, readSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setImmediate } from 'node:timers/promises'
import t from 'tap'
import { createFileSink, createLineStream, type Sink } from '../../src/telemetry/line-stream.ts'

/** Linux has a device that is always full. */
const NO_FULL_DISK = existsSync('/dev/full') ? false : 'this system has no /dev/full'
const MODULE = join(import.meta.dirname, '../../src/telemetry/line-stream.ts')

/** A sink that takes a chunk and is done with it when the test says so. */
function makeSink() {
  const chunks: string[] = []
  let finish: ((error: Error | null) => void) | undefined
  const arrivals: (() => void)[] = []
  const sink: Sink = {
    write(bytes, done) {
      chunks.push(Buffer.from(bytes).toString())
      finish = done
      for (const arrival of arrivals.splice(0)) arrival()
    }
  }
  return {
    sink,
    chunks,
    arrived: () => new Promise<void>(resolve => arrivals.push(resolve)),
    finish: (error: Error | null = null) => finish?.(error)
  }
}

function makeStream(limitBytes = 1000) {
  const given = makeSink()
  let dropped = 0
  const onDropped = (lines: number) => void (dropped += lines)
  const stream = createLineStream({ sink: given.sink, onDropped, delayMs: 1, limitBytes })
  return { ...given, stream, dropped: () => dropped }
}

t.test('lines of some milliseconds are written together, in order', async t => {
  const { stream, chunks, arrived, finish } = makeStream()
  stream.write('a\n')
  stream.write('b\n')
  t.same(chunks, [], 'not at once')
  await arrived()
  t.same(chunks, ['a\nb\n'])
  stream.write('c\n')
  stream.write('d\n')
  finish()
  t.same(chunks, ['a\nb\n', 'c\nd\n'], 'what came meanwhile follows at once')
})

t.test('beyond the bound lines are dropped and counted, until there is room again', async t => {
  const { stream, chunks, arrived, finish, dropped } = makeStream(10)
  stream.write('1234567\n')
  await arrived()
  stream.write('8\n')
  stream.write('no room\n')
  stream.write('nor here\n')
  t.equal(dropped(), 2, 'bytes being written count as well')
  finish()
  finish()
  stream.write('ten bytes\n')
  await stream.flush(0)
  t.same(chunks, ['1234567\n', '8\n', 'ten bytes\n'])
})

t.test('lines of a failed write are counted as dropped, the next ones are tried again', async t => {
  const { stream, chunks, arrived, finish, dropped } = makeStream()
  stream.write('a\n')
  stream.write('b\n')
  await arrived()
  finish(new Error('ENOSPC'))
  t.equal(dropped(), 2)
  stream.write('c\n')
  await arrived()
  finish()
  t.equal(dropped(), 2)
  t.same(chunks, ['a\nb\n', 'c\n'])
})

t.test('a flush waits for what is there, and not longer than it may', async t => {
  const { stream, chunks, finish } = makeStream()
  await stream.flush(60_000)
  t.same(chunks, [], 'nothing to do')
  stream.write('a\n')
  let isFlushed = false
  const flushed = stream.flush(60_000).then(() => (isFlushed = true))
  t.same(chunks, ['a\n'], 'at once')
  stream.write('b\n')
  finish()
  await Promise.resolve()
  t.equal(isFlushed, false, 'the second chunk is still on its way')
  finish()
  await flushed
  t.same(chunks, ['a\n', 'b\n'])
  stream.write('c\n')
  await stream.flush(1)
  t.pass('the sink never finished, the flush did')
})

t.test('a file gets every byte', async t => {
  const file = join(t.testdir({}), 'log')
  const fd = openSync(file, 'w')
  const stream = createLineStream({ sink: createFileSink(fd), onDropped: () => t.fail('dropped') })
  const line = `${'x'.repeat(999)}\n`
  for (let i = 0; i < 1000; i++) stream.write(line)
  await stream.flush(10_000)
  closeSync(fd)
  t.equal(readFileSync(file).length, 1_000_000)
})

t.test('a device without room is asked again until it has some', async t => {
  const fifo = join(t.testdir({}), 'fifo')
  execFileSync('mkfifo', [fifo])
  const reader = openSync(fifo, constants.O_RDONLY | constants.O_NONBLOCK)
  const writer = openSync(fifo, constants.O_WRONLY | constants.O_NONBLOCK)
  const stream = createLineStream({
    sink: createFileSink(writer),
    onDropped: () => t.fail('dropped')
  })
  stream.write(`${'x'.repeat(299_999)}\n`) // a pipe holds 64 KiB
  const flushed = stream.flush(10_000)
  let bytes = 0
  const chunk = Buffer.alloc(65_536)
  while (bytes < 300_000) {
    await setImmediate()
    bytes += readNow(reader, chunk)
  }
  await flushed
  t.equal(bytes, 300_000)
  closeSync(reader)
  closeSync(writer)
})

/** Bytes that are there; 0 where there are none yet. */
function readNow(fd: number, into: Buffer): number {
  try {
    return readSync(fd, into)
  } catch {
    return 0
  }
}

t.test('a full disk costs the lines and nothing else', { skip: NO_FULL_DISK }, async t => {
  const fd = openSync('/dev/full', 'w')
  let dropped = 0
  const sink = createFileSink(fd)
  const stream = createLineStream({ sink, onDropped: lines => void (dropped += lines) })
  stream.write('a\n')
  stream.write('b\n')
  await stream.flush(10_000)
  closeSync(fd)
  t.equal(dropped, 2)
})

/** A process that logs `bytes` to its standard output, flushes and ends itself. */
function startWriter(bytes: number, stdout: 'pipe' | number) {
  const script = `
    import { createLineStream, openStdout } from ${JSON.stringify(MODULE)}
    let dropped = 0
    const stream = createLineStream({ sink: openStdout(), onDropped: n => { dropped += n } })
    for (let sent = 0; sent < ${bytes}; sent += 1000) stream.write('x'.repeat(999) + '\\n')
    const start = performance.now()
    await stream.flush(200)
    process.stderr.write(JSON.stringify({ ms: performance.now() - start, dropped }))
    process.exit()`
  const args = ['--input-type=module', '--eval', script]
  return spawn(process.execPath, args, { stdio: ['ignore', stdout, 'pipe'] })
}

async function finished(child: ReturnType<typeof startWriter>) {
  const [report] = await Promise.all([child.stderr ? text(child.stderr) : '', once(child, 'exit')])
  const parsed: unknown = JSON.parse(report)
  return { code: child.exitCode, report: parsed }
}

t.test('a process whose output nobody reads ends all the same', async t => {
  const child = startWriter(2_000_000, 'pipe')
  const { code, report } = await finished(child)
  t.equal(code, 0)
  t.match(report, { ms: Number, dropped: 0 })
})

t.test('a process whose reader left ends all the same', async t => {
  const child = startWriter(2_000_000, 'pipe')
  child.stdout?.destroy()
  t.equal((await finished(child)).code, 0)
})

t.test(
  'a process with a full disk behind its output ends all the same',
  { skip: NO_FULL_DISK },
  async t => {
    const fd = openSync('/dev/full', 'w')
    const { code, report } = await finished(startWriter(5000, fd))
    closeSync(fd)
    t.equal(code, 0)
    t.match(report, { dropped: 5 })
  }
)

t.test('a pipe that is read gets every line', async t => {
  const child = startWriter(1_000_000, 'pipe')
  const [out] = await Promise.all([child.stdout ? text(child.stdout) : '', finished(child)])
  t.equal(out.length, 1_000_000)
})
