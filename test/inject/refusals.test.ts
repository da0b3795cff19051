import t from 'tap'
import { inject, type InjectOptions } from '../../src/inject/inject.ts'
import { injected, OPTIONS, problemsOf, readInput } from './manifests.ts'

/** One good pod, line by line; each test spoils one. */
const GOOD = `apiVersion: v1
kind: Pod
metadata:
  name: app
  labels: { app: app }
spec:
  containers:
    - name: app
      image: app:1
      ports:
        - containerPort: 3000
---
apiVersion: v1
kind: Service
metadata: { name: app }
spec: { selector: { app: app }, ports: [{ port: 80, targetPort: 3000 }] }
`

function refused(text: string, options: Partial<InjectOptions> = {}): readonly string[] {
  return problemsOf(inject(text, { ...OPTIONS, ...options }))
}

const CASES: readonly (readonly [title: string, from: string, to: string, problem: RegExp])[] = [
  [
    'the host network',
    'spec:\n  containers',
    'spec:\n  hostNetwork: true\n  containers',
    /^app\.yaml:7: Pod app: hostNetwork shares .* remove it$/
  ],
  [
    'another container of that name',
    '- name: app\n',
    '- name: tollgate\n',
    /^app\.yaml:8: Pod app: the name tollgate is taken by another container: rename that one$/
  ],
  [
    'an app on the gate’s port',
    'containerPort: 3000',
    'containerPort: 8080',
    /^app\.yaml:10: Pod app: port 8080 of app is the gate's port: let app listen on another$/
  ],
  [
    'an app on the admin port',
    'containerPort: 3000',
    'containerPort: 9090',
    /^app\.yaml:10: .*port 9090 of app is the gate's port for probes and metrics/
  ],
  [
    'a port of the node that leads past the gate',
    '- containerPort: 3000',
    '- { containerPort: 3000, hostPort: 80 }',
    /^app\.yaml:11: Pod app: hostPort leads past the gate: remove it and publish the Service$/
  ],
  [
    'the route file mounted with subPath',
    '      ports:\n',
    '      volumeMounts: [{ name: r, mountPath: /r.yaml, subPath: routes.yaml }]\n      ports:\n',
    /^app\.yaml:10: Pod app: the route file is mounted with subPath.*mount the directory$/
  ],
  [
    'a volume of that name which is another',
    'spec:\n  containers',
    'spec:\n  volumes: [{ name: tollgate-redis, emptyDir: {} }]\n  containers',
    /^app\.yaml:7: Pod app: the volume tollgate-redis is there and is another: rename it$/
  ],
  [
    'no port at all',
    '      ports:\n        - containerPort: 3000\n',
    '',
    /^app\.yaml:8: Pod app: the container app names no port: say --app-port 3000, or the annotation/
  ],
  [
    'several ports',
    '- containerPort: 3000',
    '- { containerPort: 3000, name: http }\n        - containerPort: 3001',
    /^app\.yaml:10: .*say --app-port with one of 3000 \(http\), 3001$/i
  ],
  [
    'several containers',
    '    - name: app\n',
    '    - { name: helper, image: "helper:1" }\n    - name: app\n',
    /^app\.yaml:7: .*say --app-container with one of helper, app$/i
  ],
  [
    'an alias where something is to be changed',
    'containers:\n    - name: app',
    'containers:\n    - lifecycle: *l\n      name: app',
    /^app\.yaml:9: what has to be changed here is an alias: write out what it stands for$/
  ]
]

for (const [title, from, to, problem] of CASES) {
  t.test(`refused: ${title}`, async t => {
    let text = GOOD.replace(from, to)
    t.not(text, GOOD, 'the case spoils something')
    if (title.includes('subPath')) {
      const volume = '  volumes: [{ name: r, configMap: { name: tollgate-routes } }]\n'
      text = text.replace('spec:\n', `spec:\n${volume}`).replace(problem.source, '')
    }
    if (title.includes('alias')) text = text.replace('kind: Pod\n', 'kind: Pod\nx: &l {}\n')
    const problems = refused(text)
    t.equal(problems.length, 1)
    t.match(problems[0], title.includes('subPath') ? /^app\.yaml:11: .*subPath/ : problem)
  })
}

t.test('the good one is not refused', async t => {
  t.same(injected(GOOD).warnings, [])
})

t.test('what is no YAML is refused with its place', async t => {
  t.match(refused('a: 1\nb: {{ .Values.x }}\n')[0], /^app\.yaml:2: no YAML: /)
  t.match(refused('a: [1\n')[0], /^app\.yaml:\d: no YAML: /)
})

t.test('all problems of a file are told together', async t => {
  const text = `${GOOD.replace('3000', '8080')}---\n${GOOD.replace('name: app\n      image', 'name: tollgate\n      image')}`
  t.equal(refused(text).length, 2)
})

t.test('a container of ours that lost its note is not taken for ours', async t => {
  const { text } = injected(GOOD)
  const spoiled = text.replace(/ {2}annotations: .*\n/, '')
  t.not(spoiled, text)
  t.match(refused(spoiled)[0], /the name tollgate is taken by another container/)
})

t.test('a rewritten probe whose original is lost is refused', async t => {
  const { text } = injected(readInput('go-sidecar-hpa.yaml'))
  const spoiled = text.replace(/ +- \{ name: APP_PROBES.*\n/, '')
  t.not(spoiled, text)
  t.match(refused(spoiled)[0], /the readiness probe asks the gate, which does not know what to ask/)
})

t.test('what is asked for must be there', async t => {
  t.match(refused(GOOD, { appContainer: 'web' })[0], /no container is called web: there are app$/)
  t.match(refused(GOOD, { appPort: 8080 })[0], /the app cannot have port 8080/)
})

t.test('what may be a mistake is told and does not stop', async t => {
  const warningsOf = (text: string, options: Partial<InjectOptions> = {}) =>
    injected(text, { ...OPTIONS, ...options }).warnings
  const alone = GOOD.split('---')[0] ?? ''
  t.match(warningsOf(alone), [
    /^app\.yaml:1: Pod app: a Service that selects this pod was not in the input/
  ])
  t.match(warningsOf(GOOD, { service: 'web' }), [/the Service web was not in the input/])
  t.match(warningsOf(GOOD, { exposure: 'warn' }), [/only reported/])
  const probe = (text: string) =>
    GOOD.replace('      ports:\n', `      readinessProbe: ${text}\n      ports:\n`)
  t.match(warningsOf(probe('{ tcpSocket: { port: 3000 } }')), [/use httpGet/])
  t.match(warningsOf(probe('{ exec: { command: [ok] } }')), [/runs a command/])
  t.match(warningsOf(probe('{ httpGet: { port: 3000, scheme: HTTPS } }')), [/plain HTTP/])
  const headers = '{ httpGet: { port: 3000, httpHeaders: [{ name: a, value: b }] } }'
  t.match(warningsOf(probe(headers)), [/headers of the readiness probe do not reach the app/])
  const preStop = '      lifecycle: { preStop: { exec: { command: [stop] } } }\n      ports:\n'
  t.match(warningsOf(GOOD.replace('      ports:\n', preStop)), [/a preStop of its own/])
})

t.test('only the Service that is named is turned', async t => {
  const other = GOOD.replaceAll('name: app }', 'name: other }').split('---')[1] ?? ''
  const { text } = injected(`${GOOD}---${other}`, { ...OPTIONS, service: 'other' })
  t.equal(text.split('targetPort: 8080').length, 2)
  t.match(text, /name: other \}\nspec: .*targetPort: 8080/)
})
