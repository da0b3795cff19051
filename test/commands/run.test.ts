import t from 'tap'
import { CommandExit } from '../../src/commands/output.ts'
import { type Family, run } from '../../src/commands/run.ts'
import { Fault } from '../../src/core/decision.ts'
import { fakeIo } from '../support/command-io.ts'

const SECRET = 'hunter2'

/** Commands that end as they are told; `loaded` says which modules were needed. */
function makeFamilies(end: () => void | Promise<void> = () => undefined) {
  const loaded: string[] = []
  const family = (name: string): Family => ({
    commands: { [name]: `does ${name}` },
    load: async () => {
      loaded.push(name)
      return program => {
        program
          .command(name)
          .description(`does ${name}, at length`)
          .option('--size <n>', 'how much')
          .action(end)
      }
    }
  })
  return { loaded, families: [family('push'), family('pull')] }
}

t.test('a command that ends by itself is fine', async t => {
  const { families, loaded } = makeFamilies()
  const io = fakeIo()
  t.equal(await run(['push', '--size', '1'], io, families), 0)
  t.same([io.stdout(), io.stderr()], ['', ''])
  t.same(loaded, ['push'], 'nothing else was loaded')
})

t.test('help and version are data, and load as little as they can', async t => {
  const { families, loaded } = makeFamilies()
  for (const argv of [['--help'], ['help']]) {
    const io = fakeIo()
    t.equal(await run(argv, io, families), 0)
    t.match(io.stdout(), /Usage: tollgate[\s\S]*push +does push\n[\s\S]*pull[\s\S]*Exit codes:/)
    t.equal(io.stderr(), '')
  }
  const version = fakeIo()
  t.equal(await run(['--version'], version, families), 0)
  t.match(version.stdout(), /^\d+\.\d+\.\d+\n$/)
  t.same(loaded, [])
  for (const argv of [
    ['help', 'pull'],
    ['pull', '--help']
  ]) {
    const io = fakeIo()
    t.equal(await run(argv, io, families), 0)
    t.match(io.stdout(), /Usage: tollgate pull[\s\S]*at length[\s\S]*--size <n>/)
  }
})

t.test('a wrong call is told on stderr, with what was meant', async t => {
  const { families } = makeFamilies()
  const cases = [
    { argv: ['pusch'], says: /unknown command 'pusch'[\s\S]*Did you mean push\?/ },
    { argv: ['push', '--sise', '1'], says: /unknown option '--sise'[\s\S]*Did you mean --size\?/ },
    { argv: ['push', '--size'], says: /argument missing/ },
    { argv: ['push', 'extra'], says: /too many arguments/ },
    { argv: ['--nonsense'], says: /unknown option/ },
    { argv: [], says: /Usage: tollgate/ }
  ]
  for (const { argv, says } of cases) {
    const io = fakeIo()
    t.equal(await run(argv, io, families), 2, argv.join(' '))
    t.match(io.stderr(), says)
    t.equal(io.stdout(), '')
  }
})

async function endBy(thrown: unknown) {
  const io = fakeIo()
  const { families } = makeFamilies(() => {
    throw thrown
  })
  const exitCode = await run(['push'], io, families)
  if (io.stdout() !== '') throw new Error('no data was expected')
  return { exitCode, stderr: io.stderr() }
}

t.test('a command says how it ended', async t => {
  for (const code of [0, 1, 2, 3] as const) {
    t.same(await endBy(new CommandExit(code, 'because')), { exitCode: code, stderr: 'because\n' })
  }
  t.same(await endBy(new CommandExit(1)), { exitCode: 1, stderr: '' })
})

t.test('a store out of reach is 3, and a sentence', async t => {
  const refused = Object.assign(new Error(''), { code: 'ECONNREFUSED' })
  const cases: readonly (readonly [unknown, string])[] = [
    [undefined, ''],
    [refused, ' (ECONNREFUSED)'],
    [new TypeError(''), ' (TypeError)'],
    [new Error(`no route to postgres://u:${SECRET}@db`), ' (no route to [url])']
  ]
  for (const [cause, says] of cases) {
    const { exitCode, stderr } = await endBy(new Fault('TOKEN_STORE_UNAVAILABLE', { cause }))
    t.equal(exitCode, 3)
    t.equal(stderr, `The token store cannot be reached. Try again shortly.${says}\n`)
  }
})

/** As node:net fails to listen. */
const failed = (code: string, address = '127.0.0.1') =>
  Object.assign(new Error(`listen ${code}`), { code, syscall: 'listen', address, port: 8080 })

t.test('a port that cannot be had is bad configuration, and a sentence', async t => {
  const cases: readonly (readonly [Error, RegExp])[] = [
    [failed('EADDRINUSE'), /^127\.0\.0\.1:8080 is taken by another process\. .*\n$/],
    [failed('EADDRINUSE', '::1'), /^\[::1\]:8080 is taken/],
    [failed('EACCES'), /may not be used by this user/],
    [failed('EADDRNOTAVAIL'), /is no address of this machine/],
    [failed('EINVAL'), /cannot be listened on: EINVAL/]
  ]
  for (const [error, says] of cases) {
    const { exitCode, stderr } = await endBy(error)
    t.equal(exitCode, 2)
    t.match(stderr, says)
    t.notMatch(stderr, / at /, 'no stack')
  }
})

t.test('what nobody expected has a stack, and nothing of what a driver attached', async t => {
  const attached = Object.assign(new Error('odd'), {
    args: [SECRET],
    code: 'EODD',
    syscall: 'read'
  })
  for (const thrown of [
    attached,
    new Error('outer', { cause: attached }),
    new Fault('INTERNAL_ERROR', { cause: attached })
  ]) {
    const { exitCode, stderr } = await endBy(thrown)
    t.equal(exitCode, 1)
    t.match(stderr, /^Unexpected error: .*\n\s+at /)
    t.match(stderr, /Error: odd/)
    t.notMatch(stderr, SECRET)
  }
  t.match(await endBy('just text'), { exitCode: 1, stderr: 'Unexpected error: just text\n' })
})
