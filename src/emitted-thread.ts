/** The entry of the emitted program's thread; in source it is routes/check-thread.ts itself. */
import { join } from 'node:path'
import { runKept } from './kept-code.ts'

runKept(join(import.meta.dirname, 'check-thread.cjs'))
