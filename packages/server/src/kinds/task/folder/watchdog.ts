// The thread beside a process of handlers. It sees what the main thread, blocked, cannot: that the server is gone, or that the
// memory runs out. Either ends the process.
import { writeSync } from 'node:fs'
import { workerData } from 'node:worker_threads'

const EVERY_MS = 250
// Written by child.ts.
const { parent, maxBytes } = workerData as { parent: number; maxBytes: number }

setInterval(() => {
  const orphan = process.ppid !== parent
  const bytes = process.memoryUsage.rss()
  if (!orphan && bytes <= maxBytes) return
  if (!orphan)
    writeSync(2, `took ${Math.round(bytes / 2 ** 20)} MiB of memory; at most ${maxBytes / 2 ** 20} are allowed\n`)
  process.kill(process.pid, 'SIGKILL')
}, EVERY_MS)
