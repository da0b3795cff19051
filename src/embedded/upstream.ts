/**
 * The demo upstream: a service behind the gate for whoever has none yet. It answers a few lists of a
 * made-up installation, narrowed by what the gate says the caller may see, and tells for any other
 * request what it received, so that one can see what the gate adds and takes away.
 */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { DRIFTS, REPOSITORIES, RUNNERS, type Sample, SCANS } from './samples.ts'

export interface DemoUpstream {
  /** `http://127.0.0.1:PORT`. */
  readonly url: string
  /** Ends running requests too. */
  close(): Promise<void>
}

/** On a free port of the loopback address. */
export async function startDemoUpstream(): Promise<DemoUpstream> {
  const server = createServer((request, response) => void respond(request, response))
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  const close = async () => {
    const closed = once(server, 'close')
    server.close()
    server.closeAllConnections()
    await closed
  }
  return { url: `http://127.0.0.1:${address.port}`, close }
}

async function respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const body = await readBody(request)
  const text = `${JSON.stringify(answer(request, body), undefined, 2)}\n`
  response.writeHead(200, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
    'cache-control': 'no-store'
  })
  response.end(text)
}

const SHOWN_BODY_BYTES = 65_536

interface Body {
  readonly bytes: number
  /** The first 64 KiB, read as UTF-8. */
  readonly text: string
}

/** A client that leaves in the middle has sent what came so far. */
async function readBody(request: IncomingMessage): Promise<Body> {
  const shown: Buffer[] = []
  let bytes = 0
  request.on('data', (chunk: Buffer) => {
    const room = SHOWN_BODY_BYTES - bytes
    if (room > 0) shown.push(chunk.subarray(0, room))
    bytes += chunk.length
  })
  request.on('error', () => undefined)
  await new Promise(resolve => request.on('close', resolve))
  return { bytes, text: Buffer.concat(shown).toString() }
}

type Json = Readonly<Record<string, unknown>>

/** What a caller may see of these. */
type See = (samples: readonly Sample[]) => readonly Sample[]
type List = (see: See, query: URLSearchParams) => Json

const LISTS: ReadonlyMap<string, List> = new Map<string, List>([
  ['/api/repo-configs', (see, query) => page('configs', see(REPOSITORIES), query)],
  ['/api/scans/dashboard', dashboard],
  ['/api/drifts', (see, query) => page('drifts', see(DRIFTS), query)],
  ['/api/runners', (see, query) => page('runners', see(RUNNERS), query)]
])

function answer(request: IncomingMessage, body: Body): Json {
  const [path = '', query] = (request.url ?? '').split('?', 2)
  const list = request.method === 'GET' ? LISTS.get(path.replace(/\/$/, '')) : undefined
  return list ? list(visibleTo(request), new URLSearchParams(query)) : received(request, body)
}

/** The gate says `*` or the ids; without a gate in front nothing is seen. */
function visibleTo({ headers }: IncomingMessage): See {
  const allowed = String(headers['x-ci-repositories'] ?? '').split(',')
  return samples =>
    samples.filter(
      ({ repositoryConfigId }) => allowed.includes('*') || allowed.includes(repositoryConfigId)
    )
}

function dashboard(see: See): Json {
  const open = see(DRIFTS).filter(({ status }) => status === 'detected')
  const counts = { repositories: see(REPOSITORIES).length, openDrifts: open.length }
  return { ...counts, recentScans: see(SCANS) }
}

const FILTERS = ['status', 'severity', 'repositoryConfigId']

function page(name: string, samples: readonly Sample[], query: URLSearchParams): Json {
  const found = samples.filter(sample =>
    FILTERS.every(filter => !query.has(filter) || query.get(filter) === sample[filter])
  )
  return { [name]: found, pagination: { page: 1, limit: 100, total: found.length } }
}

function received({ method, url, rawHeaders }: IncomingMessage, body: Body): Json {
  const headers = rawHeaders.flatMap((text, i) =>
    i % 2 === 0 ? [] : [`${rawHeaders[i - 1]}: ${text}`]
  )
  return { message: 'This is what the upstream received', method, target: url, headers, body }
}
