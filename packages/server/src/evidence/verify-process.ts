import { fork } from 'node:child_process'
import { getCompileCacheDir } from 'node:module'
import { fileURLToPath } from 'node:url'
import type { VerifyProgress } from '../audit/index.ts'
import type { JobResult, VerifyJob } from './verify-job.ts'

/** Verifies in a process of its own, one job after the other. */
export interface VerifyProcess {
  /** Rejects when the process died, or was ended by the signal. */
  run<J extends VerifyJob>(
    job: J,
    onProgress?: ((done: VerifyProgress) => void) | undefined,
  ): Promise<JobResult<J['kind']>>
  /** Resolves when the process is gone, and with it its connections. */
  close(): Promise<void>
}

/**
 * Opens a process for what is done every hour: a thread that was used once leaves 54 MB with this process, measured, for as
 * long as it runs, and a process leaves nothing. It takes a quarter of a second to start, so what somebody waits for is
 * verified in a thread (`verify-thread.ts`).
 */
export function openVerifyProcess(signal?: AbortSignal): VerifyProcess {
  const cache = getCompileCacheDir()
  const child = fork(fileURLToPath(new URL('./verify-child.ts', import.meta.url)), {
    serialization: 'advanced',
    execArgv: ['--disable-warning=ExperimentalWarning'],
    // Nothing of ours but what Node needs; the job comes by message, so no secret stands in an environment.
    env: cache === undefined ? {} : { NODE_COMPILE_CACHE: cache },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  child.on('error', () => {})
  const end = () => void child.kill('SIGKILL')
  signal?.addEventListener('abort', end, { once: true })
  if (signal?.aborted) end()
  let dead = false
  void gone.then(() => {
    dead = true
    signal?.removeEventListener('abort', end)
  })

  return {
    run(job, onProgress) {
      return new Promise((resolve, reject) => {
        const died = () => reject(new Error('the verification ended without an answer'))
        if (dead) return died()
        const hear = (said: unknown) => {
          // Ours sends nothing else.
          const { progress, result, error } = said as {
            progress?: VerifyProgress
            result?: JobResult<(typeof job)['kind']>
            error?: string
          }
          if (progress) return onProgress?.(progress)
          child.off('exit', died)
          child.off('message', hear)
          if (error === undefined) resolve(result!)
          else reject(new Error(error))
        }
        child.once('exit', died)
        child.on('message', hear)
        child.send(job, (error) => error && died())
      })
    },
    async close() {
      if (child.connected) child.disconnect()
      await gone
    },
  }
}
