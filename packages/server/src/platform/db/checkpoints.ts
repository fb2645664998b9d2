import { Worker } from 'node:worker_threads'

/** Changes between two checkpoints: about as many pages as SQLite lets its log grow to by default, 1,000. */
const CHANGES = 2_000

/** Brings the pages of a SQLite file's log into the file itself, in another thread. */
export interface Checkpoints {
  /** So many rows were changed since the last call. */
  changed(rows: number): void
  close(): Promise<void>
}

/**
 * A checkpoint writes pages and waits for the disk twice, some 10 ms in which the loop would stand still. The thread does what can be
 * done without keeping the writer waiting, and begins with the first that is needed: a server with little to do has none. What it does
 * not manage, or could not because it died, the writer does itself when the log has grown eightfold (`wal_autocheckpoint`).
 */
export function createCheckpoints(file: string): Checkpoints {
  let rows = 0
  let worker: Worker | undefined
  let gone: Promise<unknown> = Promise.resolve()
  let busy = false
  const start = () => {
    const made = new Worker(new URL('./checkpoint-worker.ts', import.meta.url), { workerData: file })
    made.unref()
    made.on('message', () => {
      busy = false
    })
    // It stays `busy`: the writer is left to itself.
    made.on('error', () => {})
    gone = new Promise((resolve) => made.once('exit', resolve))
    return made
  }
  return {
    changed(more) {
      rows += more
      if (rows < CHANGES || busy) return
      rows = 0
      busy = true
      worker ??= start()
      worker.postMessage('checkpoint')
    },
    async close() {
      // Nothing else may keep the process alive by now, and what follows this has to be done, too.
      worker?.ref()
      worker?.postMessage('close')
      await gone
    },
  }
}
