/**
 * Manifests as people write them, and what becomes of them. After a wanted change
 * `UPDATE_GOLDEN=1 node test/inject/golden.test.ts` writes the files anew: look at the diff.
 */
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { invalidity, misspellings } from '../helm/schemas.ts'
import { at, listAt } from '../support/helm.ts'
import { findKubeTool } from '../support/kube-tools.ts'
import { FILES, GOLDEN, injected, objectsIn, optionsFor, readInput } from './manifests.ts'

const run = promisify(execFile)

/** Injected text and warnings, as one reviewable text. */
function goldenOf(file: string): string {
  const { text, warnings } = injected(readInput(file), optionsFor(file))
  return text + warnings.map(line => `#! ${line}\n`).join('')
}

for (const file of FILES) {
  t.test(`${file} comes out as it was reviewed`, async t => {
    const path = join(GOLDEN, file)
    const text = goldenOf(file)
    if (process.env['UPDATE_GOLDEN']) writeFileSync(path, text)
    t.equal(text, readFileSync(path, 'utf8'))
  })
}

t.test('what is injected stays byte for byte, and is no finding of --check', async t => {
  for (const file of FILES) {
    const { text } = injected(readInput(file), optionsFor(file))
    t.equal(injected(text, optionsFor(file)).text, text, file)
    // The annotations remember what was chosen.
    t.equal(injected(text).text, text, `${file}, without saying which port`)
  }
})

t.test('a newer version replaces its own container and nothing else', async t => {
  for (const file of FILES) {
    const options = optionsFor(file)
    const { text } = injected(readInput(file), { ...options, image: 'tollgate:0.9.0' })
    const newer = injected(text, { ...options, image: 'tollgate:1.0.0' }).text
    t.equal(newer, injected(readInput(file), options).text, file)
    t.not(newer, text, file)
  }
})

t.test('every line that is not about the gate is kept, in its order', async t => {
  const isTurned =
    /targetPort|port: |httpGet|path: |"path"|terminationGrace|annotations: \{|volumes: \[|metadata: \{|spec: \{|"metadata"|ports: \[/
  for (const file of FILES) {
    const before = readInput(file).split('\n')
    const after = injected(readInput(file), optionsFor(file)).text.split('\n')
    let from = 0
    for (const line of before) {
      const found = after.indexOf(line, from)
      if (found === -1) t.match(line, isTurned, `${file}: ${line}`)
      else from = found + 1
    }
  }
})

t.test('what has nothing to do with the gate keeps its bytes', async t => {
  const { text } = injected(readInput('mixed.yaml'), optionsFor('mixed.yaml'))
  const [input, output] = [readInput('mixed.yaml'), text].map(all => all.split('---\n'))
  for (const i of [0, 1, 2]) t.equal(output?.[i], input?.[i])
  const crlf = 'kind: ConfigMap\r\ndata:   {a:   b}\r\n---\r\n\r\n# end\r\n'
  t.equal(injected(crlf).text, crlf)
  for (const text of ['', '\n', '# nothing\n', '---\n...\n', 'a: 1', '[1, 2]\n']) {
    t.equal(injected(text).text, text, JSON.stringify(text))
  }
})

t.test('a file with Windows line ends keeps them', async t => {
  const crlf = readInput('java.yaml').replaceAll('\n', '\r\n')
  const { text } = injected(crlf, optionsFor('java.yaml'))
  t.equal(
    text.replaceAll('\r\n', '\n'),
    injected(readInput('java.yaml'), optionsFor('java.yaml')).text
  )
  t.notMatch(text, /[^\r]\n/)
})

t.test('Kubernetes takes what comes out, every key of it', async t => {
  const objects = FILES.flatMap(file =>
    objectsIn(injected(readInput(file), optionsFor(file)).text)
  ).filter(({ kind }) => kind !== 'Namespace' && kind !== 'CronJob')
  t.ok(objects.length >= 20)
  for (const object of objects) t.equal(invalidity(object), undefined)
  t.equal(await misspellings(objects), '')
})

t.test('the gate is the last init container, whatever stood there before', async t => {
  for (const file of FILES) {
    for (const object of objectsIn(injected(readInput(file), optionsFor(file)).text)) {
      const isTemplate = ['Deployment', 'StatefulSet', 'DaemonSet', 'ReplicaSet'].includes(
        String(object['kind'])
      )
      if (!isTemplate && object['kind'] !== 'Pod') continue
      const pod = isTemplate ? at(object, 'spec', 'template') : object
      if (at(pod, 'metadata', 'annotations', 'tollgate/inject') === 'false') continue
      t.match(listAt(pod, 'spec', 'initContainers').at(-1), {
        name: 'tollgate',
        restartPolicy: 'Always'
      })
    }
  }
})

const MERGE = `
      apiVersion: apps/v1
      kind: Deployment
      metadata: { name: orders }
      spec:
        template:
          spec:
            initContainers:
              - name: tollgate
                env: [{ name: LOG_LEVEL, value: warn }]
`
const BY_PLACE = `
      - op: add
        path: /spec/template/spec/initContainers/2/env/-
        value: { name: LOG_LEVEL, value: warn }
`

t.test('kustomize takes it as a resource, and its patches reach the gate', async t => {
  const kubectl = await findKubeTool('kubectl')
  if ('reason' in kubectl) return t.plan(0, kubectl.reason)
  // A merged list begins with what the patch names: the gate may start before the others too.
  const orders = [
    [MERGE, ['tollgate', 'wait-for-db', 'migrate']],
    [BY_PLACE, ['wait-for-db', 'migrate', 'tollgate']]
  ] as const
  for (const [patch, names] of orders) {
    const folder = mkdtempSync(join(tmpdir(), 'tollgate-kustomize-'))
    t.teardown(() => rmSync(folder, { recursive: true, force: true }))
    writeFileSync(join(folder, 'java.yaml'), injected(readInput('java.yaml')).text)
    writeFileSync(
      join(folder, 'kustomization.yaml'),
      `resources: [java.yaml]
namePrefix: eu-
images: [{ name: tollgate, newTag: 1.0.1 }]
patches:
  - target: { kind: Deployment, name: orders }
    patch: |${patch}`
    )
    const { stdout } = await run(kubectl.path, ['kustomize', folder])
    const deployment = objectsIn(stdout).find(({ kind }) => kind === 'Deployment')
    const inits = listAt(deployment, 'spec', 'template', 'spec', 'initContainers')
    t.same(
      inits.map(container => at(container, 'name')),
      names
    )
    const gate = inits.find(container => at(container, 'name') === 'tollgate')
    t.equal(at(gate, 'image'), 'tollgate:1.0.1')
    const env = listAt(gate, 'env').map(entry => at(entry, 'name'))
    t.ok(env.includes('LOG_LEVEL'), 'what the patch adds')
    t.ok(env.includes('UPSTREAM_URL'), 'what was there')
    t.equal(invalidity({ ...deployment }), undefined)
  }
})
