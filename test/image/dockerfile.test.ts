import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { readDockerfile } from '../support/dockerfile.ts'
import { unhooked } from '../support/unhooked.ts'

const ROOT = join(import.meta.dirname, '../..')
const run = promisify(execFile)

const { globals, stages } = readDockerfile()
const every = [...globals, ...stages.flatMap(({ instructions }) => instructions)]
const final = stages.at(-1)?.instructions ?? []

/** Of all instructions of one kind in the final stage. */
function words(keyword: string): readonly string[] {
  return final.filter(found => found.keyword === keyword).flatMap(found => found.words)
}

t.test('four stages: what builds is not in what is shipped', async t => {
  t.same(
    stages.map(({ name, from }) => [name, from]),
    [
      ['build', '${BUILD_IMAGE}'],
      ['deps', '${BUILD_IMAGE}'],
      ['warm', '${RUNTIME_IMAGE}'],
      ['', '${RUNTIME_IMAGE}']
    ]
  )
  t.same(
    final.filter(({ keyword }) => keyword === 'RUN'),
    [],
    'the final stage only copies'
  )
})

t.test('both base images are arguments by tag, and no digest is invented', async t => {
  t.same(
    globals.map(({ keyword, words }) => [keyword, ...words]),
    [
      ['ARG', 'BUILD_IMAGE=node:26-trixie-slim'],
      ['ARG', 'RUNTIME_IMAGE=gcr.io/distroless/nodejs26-debian13:nonroot']
    ]
  )
  const text = readFileSync(join(ROOT, 'Dockerfile'), 'utf8')
  t.notMatch(text, /@sha256:[0-9a-f]/)
})

t.test('it runs as a number that owns nothing, without a shell', async t => {
  t.same(words('USER'), ['65532:65532'])
  t.same(words('ENTRYPOINT'), [
    '/nodejs/bin/node',
    '--disable-sigusr1',
    '--min-semi-space-size=8',
    '/app/dist/cli.js'
  ])
  t.same(words('CMD'), ['serve'])
  for (const { keyword, isExecForm, line } of every) {
    if (['RUN', 'CMD', 'ENTRYPOINT'].includes(keyword)) t.ok(isExecForm, `line ${line}`)
  }
  for (const { keyword, flags, line } of final) {
    if (keyword === 'COPY') t.equal(flags.get('chown'), '0:0', `line ${line}`)
  }
  t.same(
    every.filter(({ keyword }) => ['ADD', 'HEALTHCHECK', 'VOLUME', 'SHELL'].includes(keyword)),
    []
  )
})

t.test('the order of the lines makes root write and the user run', async t => {
  const lineOf = (keyword: string) => final.find(found => found.keyword === keyword)?.line ?? 0
  const copies = final.filter(({ keyword }) => keyword === 'COPY').map(({ line }) => line)
  t.ok(Math.max(...copies) < lineOf('USER'))
  t.ok(lineOf('USER') < lineOf('ENTRYPOINT'))
})

t.test('production, and all addresses', async t => {
  t.same(words('ENV'), ['NODE_ENV=production', 'HOST=0.0.0.0'])
})

t.test('labels come from arguments, and no argument is a secret', async t => {
  const labels = new Map(words('LABEL').map(word => [word.split('=')[0], word]))
  const names = ['title', 'description', 'source', 'version', 'revision', 'licenses']
  for (const name of [...names, 'base.name', 'base.digest']) {
    t.ok(labels.has(`org.opencontainers.image.${name}`), name)
  }
  for (const name of ['source', 'version', 'revision', 'base.name', 'base.digest']) {
    const label = `org.opencontainers.image.${name}`
    t.match(labels.get(label), /=\$\{[A-Z_]+\}$/, label)
  }
  for (const { keyword, words } of every) {
    if (keyword !== 'ARG' && keyword !== 'ENV') continue
    for (const word of words) t.notMatch(word.split('=')[0], /SECRET|TOKEN|PASSWORD|KEY/i, word)
  }
})

t.test('the context of a build holds nothing but what the stages copy', async t => {
  const lines = readFileSync(join(ROOT, '.dockerignore'), 'utf8').trim().split('\n')
  t.same(lines, ['*', '!src', '!config', '!scripts', '!package*.json', '!tsconfig*.json'])
  const copied = stages
    .flatMap(({ instructions }) => instructions)
    .filter(({ keyword, flags }) => keyword === 'COPY' && !flags.has('from'))
    .flatMap(({ words }) => words.slice(0, -1))
  for (const path of copied) {
    t.match(path, /^(?:src|config|scripts)(?:\/|$)|^(?:package|tsconfig).*\.json$/, path)
  }
})

const DIGEST = `sha256:${'0123456789abcdef'.repeat(4)}`
const BUILD = ['--build-image', `node:26-trixie-slim@${DIGEST}`]
const RUNTIME = ['--runtime-image', `gcr.io/distroless/nodejs26-debian13:nonroot@${DIGEST}`]

async function releaseCheck(...args: readonly string[]) {
  const script = join(ROOT, 'scripts/release-check')
  return run(...unhooked(process.execPath, [script, ...args])).then(
    ({ stdout }) => ({ code: 0, said: stdout }),
    (failed: unknown) => {
      const { code, stderr } = { code: 0, stderr: '', ...Object(failed) }
      return { code: Number(code), said: String(stderr) }
    }
  )
}

t.test('a release without digests is refused, and says which', async t => {
  t.match(await releaseCheck(), { code: 1, said: /--runtime-image.*\n--build-image/ })
  t.match(await releaseCheck(...BUILD), { code: 1, said: /^--runtime-image must name an image/ })
  const byTag = await releaseCheck('--runtime-image', 'gcr.io/x:nonroot', ...BUILD)
  t.match(byTag, { code: 1, said: /a tag can change/ })
})

t.test('a release with digests gets its build arguments', async t => {
  const { code, said } = await releaseCheck(...BUILD, ...RUNTIME, '--revision', 'abc123')
  t.equal(code, 0, said)
  const given = said.trim().split('\n')
  t.ok(given.includes(`--build-arg=BASE_DIGEST=${DIGEST}`), said)
  t.ok(given.includes('--build-arg=BASE_NAME=gcr.io/distroless/nodejs26-debian13:nonroot'), said)
  t.ok(given.includes('--build-arg=REVISION=abc123'), said)
  const declared = every.filter(({ keyword }) => keyword === 'ARG').flatMap(({ words }) => words)
  for (const argument of given) {
    const [, name = ''] = argument.split('=')
    t.ok(
      declared.some(word => word.startsWith(`${name}=`)),
      `the Dockerfile takes ${name}`
    )
  }
})
