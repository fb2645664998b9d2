/** A reader of a log that keeps every checkpoint it meets, as a client or a witness would, in a thread that nothing holds up. */
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { parentPort, workerData } from 'node:worker_threads'

const { log, into } = workerData as { log: string; into: string }
const pause = new Int32Array(new SharedArrayBuffer(4))
let last = ''
let size = 0
let seen = 0
let wrong: string | null = null
let stopping = false
parentPort!.on('message', () => {
  stopping = true
})

function look(): void {
  let text: string
  try {
    text = readFileSync(path.join(log, 'checkpoint'), 'utf8')
  } catch {
    return // Nothing is published yet.
  }
  if (text === last) return
  last = text
  const now = Number(text.split('\n')[1])
  if (now < size) wrong ??= `the checkpoint went from ${size} entries back to ${now}`
  size = now
  writeFileSync(path.join(into, `${String(seen++).padStart(6, '0')}`), text)
}

while (!stopping) {
  look()
  // The log's interval is ten times this, so no checkpoint comes and goes unseen.
  Atomics.wait(pause, 0, 0, 1)
  await new Promise<void>((next) => setImmediate(next))
}
look()
parentPort!.postMessage({ seen, wrong })
parentPort!.close()
