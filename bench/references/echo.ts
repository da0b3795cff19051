/** An upstream that reads a body to its end and answers with as many bytes. */
import { createServer } from 'node:http'

const chunk = Buffer.alloc(256 * 1024, 'y')

createServer((request, response) => {
  let left = 0
  request.on('data', (piece: Buffer) => (left += piece.length))
  request.once('end', () => {
    response.writeHead(200, { 'content-length': left })
    send()
  })
  function send(): void {
    while (left > 0) {
      const piece = chunk.subarray(0, Math.min(left, chunk.length))
      left -= piece.length
      if (!response.write(piece)) {
        response.once('drain', send)
        return
      }
    }
    response.end()
  }
}).listen(Number(process.env['PORT']), '127.0.0.1')
