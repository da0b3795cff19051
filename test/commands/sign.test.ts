import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Command } from 'commander'
import t, { type Test } from 'tap'
import { CommandExit, type CommandIo } from '../../src/commands/output.ts'
import { registerSign } from '../../src/commands/sign.ts'
import { sign } from '../../src/core/signature.ts'

const TOKEN = 'ci_GoldenVector0OnlyForTests000001xNBA0'
const TIMESTAMP = '1767225600000'

interface Outcome {
  readonly out: string
  readonly err: string
}

/** Runs `tollgate sign …`; rejects as the command does. */
async function run(args: readonly string[], token: string | undefined = TOKEN): Promise<Outcome> {
  const printed = { out: '', err: '' }
  const io: CommandIo = {
    env: { CONTROLINFRA_TOKEN: token },
    isTerminal: false,
    out: text => void (printed.out += text),
    err: text => void (printed.err += text),
    onSignal: () => {}
  }
  const program = new Command('tollgate')
    .exitOverride()
    .configureOutput({ writeOut: text => io.out(text), writeErr: text => io.err(text) })
  registerSign(program, io)
  await program.parseAsync(['sign', ...args], { from: 'user' })
  return printed
}

/** The exit code and the message of a refusal. */
async function refusal(args: readonly string[], token?: string): Promise<CommandExit> {
  try {
    await run(args, token)
  } catch (thrown) {
    if (thrown instanceof CommandExit) return thrown
    throw thrown
  }
  throw new Error('not refused')
}

function bodyFile(t: Test, bytes: string | Uint8Array): string {
  const file = join(t.testdir(), 'body file')
  writeFileSync(file, bytes)
  return file
}

t.test('the headers are those of the golden vectors', async t => {
  const vectors = [
    {
      args: ['GET', '/api/scans/dashboard'],
      nonce: '00112233445566778899aabbccddeeff',
      signature: 'adf3b74cebe4b3abd3827da8eeec924900bc28b21052938fce68ac95faf93c9e'
    },
    {
      args: ['GET', '/api/drifts/?status=detected&severity=high'],
      nonce: '9b2f6c1e-6f0e-4c53-8d57-0c4a1f1f7d02',
      signature: '49c022457b4e34a825cf41066685b87ad709509876799a6730d8b71c0805e579'
    },
    {
      args: ['POST', '/api/scans/trigger/repo-config-id-1', '--body', bodyFile(t, '{}')],
      nonce: 'AbC-_~.',
      signature: '1512cfe95e8554eaff94cbb98c24376e452ffe9c5420c240958694662c4e37e2'
    },
    {
      args: ['DELETE', '/api/repo-configs/github:acme:infra'],
      nonce: 'v10',
      signature: '542e574938a32f506aaf2f8fb6cb0f6b5fd46802dc5b1571f3a74b42f3bea1cb'
    }
  ]
  for (const { args, nonce, signature } of vectors) {
    const { out, err } = await run([...args, '--timestamp', TIMESTAMP, '--nonce', nonce])
    t.equal(
      out,
      `x-cli-signature: ${signature}\nx-cli-timestamp: ${TIMESTAMP}\nx-cli-nonce: ${nonce}\n`
    )
    t.equal(err, '')
  }
})

t.test('bytes that are no text are signed as they are', async t => {
  const file = bodyFile(t, Buffer.from('00017f80ff0a0d', 'hex'))
  const fixed = ['--timestamp', TIMESTAMP, '--nonce', 'v7']
  const { out } = await run(['PUT', '/api/runners/r-1', '--body', file, ...fixed])
  t.match(out, '97f25ea84c2d7b37f8411420d73cd5ffe128c8fefcd2a2b84637329bba1d7b7d')
})

t.test('time and nonce are new each time, and the signature fits them', async t => {
  const beforeMs = Date.now()
  const runs = await Promise.all([1, 2].map(() => run(['GET', '/api/x', '--output', 'json'])))
  const [one, two] = runs.map(({ out }) => JSON.parse(out))
  t.match(one['x-cli-nonce'], /^[0-9a-f]{32}$/)
  t.not(one['x-cli-nonce'], two['x-cli-nonce'])
  t.ok(Number(one['x-cli-timestamp']) >= beforeMs)
  const stamp = { timestamp: one['x-cli-timestamp'], nonce: one['x-cli-nonce'] }
  const parts = { method: 'GET', path: '/api/x', body: '' }
  t.equal(one['x-cli-signature'], sign(stamp, parts, TOKEN))
})

t.test('a method in lower case is signed as it is sent', async t => {
  const fixed = ['--timestamp', TIMESTAMP, '--nonce', 'n']
  const lower = await run(['get', '/api/x', ...fixed])
  t.same(lower, await run(['GET', '/api/x', ...fixed]))
})

t.test('the curl command names the token and does not hold it', async t => {
  const file = bodyFile(t, '{"ref":"main"}')
  const args = ['--body', file, '--curl', '--gate', 'https://gate.example/', '--nonce', 'n']
  const { out } = await run(['POST', "/api/it's?a=[1]", ...args, '--timestamp', TIMESTAMP])
  t.notMatch(out, TOKEN)
  const lines = out.trimEnd().split(' \\\n  ')
  t.equal(lines[0], 'curl --globoff --path-as-is -X POST')
  t.equal(lines[1], '-H "Authorization: Bearer $CONTROLINFRA_TOKEN"')
  t.match(lines[2], /^-H 'x-cli-signature: [0-9a-f]{64}'$/)
  t.strictSame(lines.slice(3), [
    `-H 'x-cli-timestamp: ${TIMESTAMP}'`,
    "-H 'x-cli-nonce: n'",
    "-H 'Content-Type: application/json'",
    `--data-binary '@${file}'`,
    String.raw`'https://gate.example/api/it'\''s?a=[1]'`
  ])
})

t.test('a curl command that could not be pasted is refused', async t => {
  for (const args of [
    ['GET', '/api/x', '--curl', '--gate', 'foo'],
    ['POST', '/api/x', '--curl', '--body', '-']
  ]) {
    const thrown = await run(args).catch((error: unknown) => error)
    t.ok(thrown instanceof CommandExit && thrown.exitCode === 2, args.join(' '))
  }
})

t.test('the curl command fits the request', async t => {
  const head = await run(['HEAD', '/api/x', '--curl'])
  t.match(head.out, '--path-as-is --head')
  t.notMatch(head.out, '--data-binary')
  const bytes = await run(['PUT', '/api/x', '--curl', '--body', bodyFile(t, 'no json')])
  t.match(bytes.out, "-H 'Content-Type: application/octet-stream'")
})

t.test('what the gate would refuse is not signed', async t => {
  const body = bodyFile(t, 'null')
  const cases = [
    { args: ['GET', '/api/x', '--body', body], says: /GET request has no body/ },
    { args: ['G T', '/api/x'], says: /no method/ },
    { args: ['GET', 'api/x'], says: /begins with/ },
    { args: ['GET', '/api/a b'], says: /blanks/ },
    { args: ['GET', '/api/a#b'], says: /#/ },
    { args: ['GET', '/api/é'], says: /encode/ },
    { args: ['GET', '/api/x', '--nonce', 'a:b'], says: /--nonce/ },
    { args: ['GET', '/api/x', '--timestamp', '1767225600'], says: /13 digits/ },
    { args: ['POST', '/api/x', '--body', `${body}-not-there`], says: /ENOENT/ }
  ]
  for (const { args, says } of cases) {
    const { exitCode, message } = await refusal(args)
    t.equal(exitCode, 2, args.join(' '))
    t.match(message, says)
  }
})

t.test('without a token it says where the token comes from', async t => {
  const { exitCode, message } = await refusal(['GET', '/api/x'], '')
  t.equal(exitCode, 2)
  t.match(message, 'CONTROLINFRA_TOKEN')
})

t.test('a token that is cut off is warned of, and not shown', async t => {
  const { out, err } = await run(['GET', '/api/x'], TOKEN.slice(0, -1))
  t.match(out, /^x-cli-signature: /)
  t.match(err, /^Warning: CONTROLINFRA_TOKEN/)
  t.notMatch(err, 'ci_')
})
