/**
 * Keeps the code of the emitted program while the image is built. Only the very Node that made it
 * takes it, so the runtime image runs this.
 */
import { keepCode } from './kept-code.ts'

process.stdout.write(`the code of ${keepCode(import.meta.dirname)} files is kept\n`)
