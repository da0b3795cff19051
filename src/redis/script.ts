/**
 * A script, run for all who ask in one turn of the event loop by one pipeline: one write, one round
 * trip. The driver's own auto-pipelining does the same, but keeps what is under way in a Map and a Set
 * that change with every pipeline: V8 lets their outgrown tables point to the next ones, and once one
 * has grown old, every later pipeline outlives its collection, with the requests that waited for it.
 */
import { hash } from 'node:crypto'
import type { Redis } from 'ioredis'

interface Waiting {
  readonly args: readonly string[]
  readonly resolve: (reply: unknown) => void
  readonly reject: (cause: unknown) => void
}

export class Script {
  readonly #text: string
  readonly #sha: string
  readonly #keyCount: number
  readonly #waiting = new WeakMap<Redis, Waiting[]>()

  constructor(text: string, keyCount: number) {
    this.#text = text
    this.#sha = hash('sha1', text, 'hex')
    this.#keyCount = keyCount
  }

  /** The script's reply; rejects with what the driver says. Nothing is sent twice. */
  run(connection: Redis, args: readonly string[]): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const waiting = this.#waiting.get(connection) ?? []
      this.#waiting.set(connection, waiting)
      if (waiting.push({ args, resolve, reject }) === 1) {
        setImmediate(() => void this.#send(connection))
      }
    })
  }

  async #send(connection: Redis): Promise<void> {
    const sent = this.#waiting.get(connection)?.splice(0) ?? []
    try {
      const pipeline = connection.pipeline()
      for (const { args } of sent) pipeline.evalsha(this.#sha, this.#keyCount, ...args)
      const replies = (await pipeline.exec()) ?? []
      sent.forEach((asked, i) => this.#settle(connection, asked, replies[i]))
    } catch (cause) {
      for (const { reject } of sent) reject(cause)
    }
  }

  #settle(
    connection: Redis,
    { args, resolve, reject }: Waiting,
    [cause, reply]: [error: Error | null, result: unknown] = [new Error('no reply'), undefined]
  ): void {
    if (cause === null) resolve(reply)
    // It was not carried out: the server does not know it yet.
    else if (cause.message.startsWith('NOSCRIPT'))
      connection.eval(this.#text, this.#keyCount, ...args).then(resolve, reject)
    else reject(cause)
  }
}
