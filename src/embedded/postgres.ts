/**
 * Postgres inside this process, for a gate without DATABASE_URL: PGlite, a build of Postgres as WASM,
 * behind the same driver, statements and migrations as a real one. What differs: there is one
 * connection, and a statement blocks the process while it runs. The folder has one user at a time.
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { Duplex } from 'node:stream'
import type { PoolConfig } from 'pg'
import { lockFolder } from './folder-lock.ts'

export interface EmbeddedPostgres extends AsyncDisposable {
  /** For the pool: a stream that speaks Postgres' protocol. */
  readonly connection: Pick<PoolConfig, 'stream' | 'user' | 'database'>
  /** False: it lives in memory, because the folder cannot be written. */
  readonly isKept: boolean
  /** Nothing was kept in this folder before. */
  readonly isNew: boolean
}

/** Throws EmbeddedInUse. */
export async function openEmbeddedPostgres(folder: string): Promise<EmbeddedPostgres> {
  const lock = await lockFolder(folder)
  try {
    const { PGlite } = await import('@electric-sql/pglite')
    const place = lock ? join(folder, 'postgres') : 'memory://'
    const isNew = !lock || !existsSync(join(place, 'PG_VERSION'))
    const server = await PGlite.create(place, { relaxedDurability: false })
    const session = createSession(server)
    return {
      connection: {
        user: 'postgres',
        database: 'postgres',
        stream: () => new Wire(session)
      },
      isKept: lock !== undefined,
      isNew,
      [Symbol.asyncDispose]: async () => {
        await server.close()
        lock?.()
      }
    }
  } catch (error) {
    lock?.()
    throw error
  }
}

interface Session {
  /** The answer to some bytes of the protocol. */
  ask(bytes: Uint8Array): Promise<Uint8Array>
  /** Forgets what a connection left behind: its transaction, its statements. */
  reset(): Promise<void>
}

interface Server {
  execProtocolRaw(bytes: Uint8Array): Promise<Uint8Array>
  exec(sql: string): Promise<unknown>
}

/** One connection's worth of state, whatever the driver believes. One message after the other. */
function createSession(server: Server): Session {
  let last: Promise<unknown> = Promise.resolve()
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const next = last.then(work)
    last = next.catch(() => undefined)
    return next
  }
  return {
    ask: bytes => inTurn(() => server.execProtocolRaw(bytes)),
    reset: () =>
      inTurn(async () => {
        await server.exec('ROLLBACK')
        await server.exec('DISCARD ALL')
      })
  }
}

/** What the driver takes for a socket. */
class Wire extends Duplex {
  readonly #session: Session

  constructor(session: Session) {
    super({ allowHalfOpen: false })
    this.#session = session
  }

  connect(): this {
    this.#session.reset().then(
      () => this.emit('connect'),
      (error: unknown) => this.destroy(error instanceof Error ? error : new Error(String(error)))
    )
    return this
  }

  setNoDelay(): this {
    return this
  }

  setKeepAlive(): this {
    return this
  }

  ref(): this {
    return this
  }

  unref(): this {
    return this
  }

  override _read(): void {
    // Answers are pushed as they come.
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    void this.#pass(chunk, done)
  }

  override _final(done: (error?: Error | null) => void): void {
    // The driver waits for the other side to hang up.
    this.push(null)
    done()
  }

  async #pass(chunk: Buffer, done: (error?: Error | null) => void): Promise<void> {
    try {
      const answer = await this.#session.ask(new Uint8Array(chunk))
      if (answer.length > 0) this.push(Buffer.from(answer))
      done()
    } catch (error) {
      done(error instanceof Error ? error : new Error(String(error)))
    }
  }
}
