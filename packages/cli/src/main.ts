#!/usr/bin/env node
import { loadSettings } from './config.ts'
import { runWrit } from './writ.ts'

const interrupted = new AbortController()
// The first Ctrl-C lets the command say what it leaves behind; the second ends it as it would end any other.
process.once('SIGINT', () => interrupted.abort(new DOMException('interrupted', 'AbortError')))
// A reader such as `head` that has seen enough is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1))

process.exitCode = await runWrit(process.argv.slice(2), loadSettings(), {
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  now: () => new Date(),
  ticks: () => performance.now(),
  signal: interrupted.signal,
  stopped: () =>
    new Promise((resolve) => {
      if (interrupted.signal.aborted) resolve()
      interrupted.signal.addEventListener('abort', () => resolve())
      // The second one ends it, too.
      process.once('SIGTERM', () => resolve())
    }),
})
