/** Postgres remembers whether nonces were ever kept: an empty nonce store is then one that forgot. */
import type { NonceHistory } from '../core/ports.ts'
import type { Database, Statement } from './database.ts'

const ASK: Statement = {
  name: 'tg-nonces-used',
  text: 'SELECT nonce_since IS NOT NULL AS was_used FROM tg_epoch'
}
const NOTE: Statement = {
  name: 'tg-nonces-note',
  text: 'UPDATE tg_epoch SET nonce_since = clock_timestamp() WHERE nonce_since IS NULL'
}

export function createNonceHistory(database: Database): NonceHistory {
  return {
    async wasEverUsed() {
      const [row] = await database.query('api', ASK, [])
      return row?.['was_used'] !== false
    },
    async noteUse() {
      await database.query('api', NOTE, [])
    }
  }
}
