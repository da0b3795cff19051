/** Servers that answer with whatever bytes they are told to. */
import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'

export interface SocketServer {
  readonly url: string
  readonly port: number
  /** Reads of request bytes, connections opened and connections closed so far. */
  readonly seen: { reads: number; opened: number; closed: number; text: string }
}

interface Tap {
  teardown(run: () => unknown): void
}

/** `answer` is asked for each read of a connection; text is written as it is. */
export async function startSockets(
  t: Tap,
  answer: (socket: Socket, text: string) => string | undefined
): Promise<SocketServer> {
  const seen = { reads: 0, opened: 0, closed: 0, text: '' }
  const sockets = new Set<Socket>()
  const server = createServer(socket => {
    seen.opened += 1
    sockets.add(socket)
    socket.on('error', () => undefined)
    socket.on('close', () => (seen.closed += 1))
    socket.on('data', chunk => {
      const text = chunk.toString('latin1')
      seen.reads += 1
      seen.text += text
      const written = answer(socket, text)
      if (written !== undefined) socket.write(Buffer.from(written, 'latin1'))
    })
  })
  const port = await listen(server)
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return { url: `http://127.0.0.1:${port}`, port, seen }
}

/** On a free port of the loopback. */
export async function listen(server: Server): Promise<number> {
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}
