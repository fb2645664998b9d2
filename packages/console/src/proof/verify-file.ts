import type { BundleReport, BundleTrust } from '@writ/tlog'
import type { Asked, Told } from './verify-worker.ts'

export type VerifyStep = Extract<Told, { step: string }>

/**
 * Verifies a bundle as a stranger would: only its own bytes and what the reader knows, no server. In a thread of its own; `signal` ends it
 * where it is, with an AbortError.
 */
export function verifyFile(
  zip: Blob,
  name: string,
  trust: BundleTrust,
  { onStep, signal }: { onStep: (at: VerifyStep) => void; signal: AbortSignal },
): Promise<BundleReport> {
  const worker = new Worker(new URL('./verify-worker.ts', import.meta.url), { type: 'module' })
  return new Promise<BundleReport>((resolve, reject) => {
    signal.throwIfAborted()
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
    worker.onmessage = ({ data }: MessageEvent<Told>) => {
      if ('report' in data) resolve(data.report)
      else if ('failed' in data) reject(new Error(data.failed))
      else onStep(data)
    }
    worker.onerror = (event) => reject(new Error(event.message || 'the verifier could not be started'))
    worker.postMessage({ zip, name, trust } satisfies Asked)
  }).finally(() => worker.terminate())
}
