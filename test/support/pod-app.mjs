// An application as it stands in a pod: answers on HOST:PORT, and at SIGTERM ends what it has begun.
// IGNORES_TERM: it is one of those that do not.
import { createServer } from 'node:http'

const { HOST = '127.0.0.1', PORT = '0', NAME = 'app', IGNORES_TERM } = process.env

const server = createServer((request, response) => void answer(request, response))

async function answer(request, response) {
  if (request.url === '/healthz') {
    response.end('well')
    return
  }
  let bytes = 0
  for await (const chunk of request) bytes += chunk.length
  if (request.url?.startsWith('/api/scans/dashboard')) {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    for (let i = 0; i < 3; i++) {
      response.write(`data: ${i}\n\n`)
      await new Promise(resolve => setTimeout(resolve, 30))
    }
    response.end()
    return
  }
  response.setHeader('content-type', 'application/json')
  response.end(JSON.stringify({ name: NAME, bytes }))
}

server.listen(Number(PORT), HOST, () => console.log('listening'))
process.on('SIGTERM', () => {
  if (IGNORES_TERM) return
  server.close(() => process.exit(0))
  server.closeIdleConnections()
})
