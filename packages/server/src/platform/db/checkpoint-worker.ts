import { DatabaseSync } from 'node:sqlite'
import { parentPort, workerData } from 'node:worker_threads'

// A thread of `createCheckpoints`. It has a connection of its own, and ends when it is told to.
const database = new DatabaseSync(workerData as string, { timeout: 0 })
database.exec('pragma synchronous = normal')

parentPort!.on('message', (asked: 'checkpoint' | 'close') => {
  if (asked === 'close') {
    database.close()
    parentPort!.close()
    return
  }
  try {
    database.exec('pragma wal_checkpoint(passive)')
  } catch {
    // Another checkpoint is under way, or the disk is full: the next one tries again.
  }
  parentPort!.postMessage('done')
})
