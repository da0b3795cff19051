/** 127.0.0.2 plays the pod's address: what listens on 127.0.0.1 alone does not answer there. */
import { once } from 'node:events'
import { createServer, type Server } from 'node:net'
import t, { type Test } from 'tap'
import { type ExposureOptions, watchExposure } from '../../src/proxy/exposure.ts'
import { eventually, freePort } from '../support/gate.ts'

const POD_IP = '127.0.0.2'
const skip = process.platform !== 'linux' && 'only Linux has all of 127.0.0.0/8 on loopback'

async function listen(t: Test, host: string, port = 0): Promise<{ port: number; server: Server }> {
  const server = createServer(socket => socket.on('error', () => undefined)).listen(port, host)
  await once(server, 'listening')
  t.teardown(() => void server.close())
  const address = server.address()
  return { port: typeof address === 'object' ? (address?.port ?? 0) : 0, server }
}

function watch(t: Test, port: number, spoiled: Partial<ExposureOptions> = {}) {
  const gauges: number[] = []
  const lines: string[] = []
  const note = (level: string) => (message: string) => void lines.push(`${level} ${message}`)
  const exposure = watchExposure({
    upstreamUrl: `http://127.0.0.1:${port}`,
    podIp: POD_IP,
    retryMs: 10,
    intervalMs: 10,
    observer: {
      count: () => undefined,
      measure: () => undefined,
      gauge: (name, value) => {
        if (name === 'upstream_exposed') gauges.push(value)
      }
    },
    log: { info: note('info'), warn: note('warn'), error: note('error') },
    ...spoiled
  })
  t.teardown(() => exposure?.stop())
  return { exposure, gauges, lines }
}

t.test('a service on loopback alone is not exposed', { skip }, async t => {
  const { port } = await listen(t, '127.0.0.1')
  const { exposure, gauges, lines } = watch(t, port)
  await eventually('three looks', () => gauges.length >= 3)
  t.equal(exposure?.isExposed(), false)
  t.equal(Math.max(...gauges), 0)
  t.same(lines, [])
})

t.test('one on every address is, with one line however long it lasts', { skip }, async t => {
  const { port, server } = await listen(t, '0.0.0.0')
  const { exposure, gauges, lines } = watch(t, port)
  await eventually('three looks', () => gauges.length >= 3)
  t.equal(exposure?.isExposed(), true)
  t.equal(gauges.at(-1), 1)
  t.match(lines, [/^error the upstream answers past the gate/])
  t.equal(lines.length, 1)

  // It comes back on loopback alone.
  server.close()
  await listen(t, '127.0.0.1', port)
  await eventually('it is seen', () => exposure?.isExposed() === false)
  t.match(lines[1], /^info the upstream does not answer past the gate any more$/)
})

t.test('before the service answers nothing is said of it', { skip }, async t => {
  const port = await freePort()
  const { exposure, gauges } = watch(t, port)
  const { server } = await listen(t, POD_IP, port)
  let dialled = 0
  server.on('connection', () => (dialled += 1))
  await new Promise(resolve => setTimeout(resolve, 100))
  t.equal(dialled, 0, 'the pod’s address is dialled once loopback answers')
  t.same(gauges, [])
  await listen(t, '127.0.0.1', port)
  await eventually('it is seen', () => exposure?.isExposed())
})

t.test('only a service on loopback, in a pod that knows its address, is looked at', async t => {
  for (const upstreamUrl of ['http://10.0.0.1:3000', 'unix:/run/app.sock', 'https://app:443']) {
    t.equal(watch(t, 1, { upstreamUrl }).exposure, undefined, upstreamUrl)
  }
  t.equal(watch(t, 1, { podIp: undefined }).exposure, undefined)
  for (const upstreamUrl of ['http://localhost:1', 'http://[::1]:1', 'http://127.0.0.9']) {
    t.ok(watch(t, 1, { upstreamUrl }).exposure, upstreamUrl)
  }
})
