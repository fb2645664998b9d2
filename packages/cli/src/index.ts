/** The `writ` command line as a function: for tests, and for programs that embed it. */
export { loadSettings, type Settings } from './config.ts'
export { exitCodes } from './exit-codes.ts'
export type { Terminal } from './terminal.ts'
export { runWrit } from './writ.ts'
