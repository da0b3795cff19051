#!/usr/bin/env node
/** The entry of the emitted program; in source it is cli.ts itself. */
import { join } from 'node:path'
import { runKept } from './kept-code.ts'

runKept(join(import.meta.dirname, 'cli.cjs'))
