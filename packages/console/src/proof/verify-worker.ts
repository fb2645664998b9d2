import { sha256 } from '@noble/hashes/sha2.js'
import {
  type BundleProgress,
  type BundleReport,
  type BundleTrust,
  type Inflate,
  verifyZip,
  type ZipBytes,
} from '@writ/tlog'
import { primitives } from './primitives.ts'

// Verifies a bundle beside the page: a large one takes minutes, in which the page stays as it is and can end this.

export interface Asked {
  readonly zip: Blob
  readonly name: string
  readonly trust: BundleTrust
}
export type Told =
  | Readonly<Parameters<BundleProgress>[0]>
  | { readonly report: BundleReport }
  /** What kept it from verifying: not the bundle. */
  | { readonly failed: string }

const tell = (what: Told) => self.postMessage(what)
const TELL_EVERY_MS = 100

const bytesOf = (blob: Blob): ZipBytes => ({
  size: blob.size,
  read: async (from, length) => new Uint8Array(await blob.slice(from, from + length).arrayBuffer()),
})

/** Refuses by itself what stands behind the end of what was deflated. */
const inflate: Inflate = async function* (chunks) {
  const from = chunks[Symbol.asyncIterator]()
  const packed = new ReadableStream<Uint8Array<ArrayBuffer>>({
    async pull(controller) {
      const next = await from.next()
      if (next.done) controller.close()
      // Slices of what was read above, which nobody shares.
      else controller.enqueue(next.value as Uint8Array<ArrayBuffer>)
    },
  })
  const reader = packed.pipeThrough(new DecompressionStream('deflate-raw')).getReader()
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) yield next.value
  } finally {
    await reader.cancel().catch(() => {})
  }
}

self.onmessage = async ({ data: { zip, name, trust } }: MessageEvent<Asked>) => {
  let toldAt = 0
  const on = { ...primitives, inflate, createSha256: () => sha256.create() }
  try {
    const report = await verifyZip(bytesOf(zip), name, on, trust, (at) => {
      const now = performance.now()
      if (now - toldAt < TELL_EVERY_MS) return
      toldAt = now
      tell(at)
    })
    tell({ report })
  } catch (error) {
    tell({ failed: error instanceof Error ? error.message : String(error) })
  }
}
