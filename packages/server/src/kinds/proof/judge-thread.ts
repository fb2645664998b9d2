import { Worker } from 'node:worker_threads'
import type { Judgement } from './judge.ts'
import type { FromThread, Job, ToThread } from './judge-worker.ts'

export interface JudgeThread {
  /** Judges in a thread of its own. Rejects with the signal's reason, having ended the thread, whatever it was doing. */
  judge(
    job: Job,
    read: (artifactId: string) => Promise<AsyncIterable<Uint8Array>>,
    signal: AbortSignal,
  ): Promise<Judgement>
  /** Makes sure that a thread is there: starting one takes longer than most judgements. */
  warm(): void
  close(): Promise<void>
}

/** A thread that nobody used for this long is ended: its parsers are memory that an idle server need not hold. */
const IDLE_MS = 60_000
// A judgement that needs more than this is hostile; the thread ends, the server does not.
const LIMITS = { maxOldGenerationSizeMb: 512 }

/** Threads are kept and used again, one job at a time each. */
export function createJudgeThread(): JudgeThread {
  const idle = new Map<Worker, NodeJS.Timeout>()

  function take(): Worker {
    const [kept] = idle.keys()
    if (!kept)
      return new Worker(new URL('./judge-worker.ts', import.meta.url), { resourceLimits: LIMITS, stdout: false })
    clearTimeout(idle.get(kept))
    idle.delete(kept)
    forget(kept)
    kept.ref()
    return kept
  }

  function putBack(worker: Worker) {
    forget(worker)
    worker.on('error', () => idle.delete(worker))
    worker.unref()
    const timer = setTimeout(() => {
      idle.delete(worker)
      void worker.terminate()
    }, IDLE_MS)
    timer.unref()
    idle.set(worker, timer)
  }

  return {
    warm() {
      if (idle.size === 0) putBack(take())
    },
    async judge(job, read, signal) {
      signal.throwIfAborted()
      const worker = take()
      const reading = new Map<number, Promise<AsyncIterator<Uint8Array>>>()
      const say = (message: ToThread) => worker.postMessage(message)
      try {
        const judgement = await new Promise<Judgement>((resolve, reject) => {
          signal.addEventListener('abort', () => reject(signal.reason), { once: true })
          worker.on('error', reject)
          worker.on('exit', (code) => reject(new Error(`the judging thread ended with ${code}`)))
          worker.on('message', (message: FromThread) => {
            if ('done' in message) return resolve(message.done)
            if ('crashed' in message) return reject(new Error(message.crashed))
            if ('open' in message) {
              const iterator = read(message.open).then((bytes) => bytes[Symbol.asyncIterator]())
              iterator.catch(() => {})
              reading.set(message.call, iterator)
              return
            }
            const call = message.next
            reading
              .get(call)!
              .then((iterator) => iterator.next())
              .then(
                ({ done, value }) => say({ call, chunk: done ? null : value }),
                (error: unknown) => say({ call, error: error instanceof Error ? error.message : String(error) }),
              )
          })
          say({ judge: job })
        })
        putBack(worker)
        return judgement
      } catch (error) {
        forget(worker)
        worker.on('error', () => {})
        void worker.terminate()
        for (const iterator of reading.values()) iterator.then((one) => one.return?.()).catch(() => {})
        throw error
      }
    },
    async close() {
      const workers = [...idle.keys()]
      for (const timer of idle.values()) clearTimeout(timer)
      idle.clear()
      await Promise.all(workers.map((worker) => worker.terminate()))
    },
  }
}

/** Drops our listeners by name: without one, Node's own that carry messages would go too, and the next job would hang. */
function forget(worker: Worker): void {
  for (const event of ['message', 'error', 'exit']) worker.removeAllListeners(event)
}
