import { createHmac, createSecretKey, timingSafeEqual } from 'node:crypto'
import type { Lease } from '../../../queue/index.ts'

/** What a worker holds of a task, and hands back. */
export interface Held {
  readonly lease: Lease
  /** Of the task. */
  readonly queue: string
  readonly worker: string
  readonly startedAt: number
  /** When the attempt is out of time, and by what. */
  readonly endsAt: number
  readonly by: 'timeout' | 'deadline'
}

/**
 * A lease as text: signed, so that a worker can neither make one nor change one, and so that the server keeps nothing of it.
 * Only the fence in it decides whether it still holds.
 */
export function createLeaseTexts(secret: Uint8Array) {
  const key = createSecretKey(secret)
  const sign = (text: string) => createHmac('sha256', key).update(text).digest('base64url').slice(0, 22)
  return {
    write(held: Held): string {
      const text = Buffer.from(JSON.stringify(held)).toString('base64url')
      return `${text}.${sign(text)}`
    },
    /** Undefined for anything that `write` did not write. */
    read(lease: string): Held | undefined {
      const [text = '', signature = ''] = lease.split('.')
      const expected = Buffer.from(sign(text))
      const given = Buffer.from(signature)
      if (given.length !== expected.length || !timingSafeEqual(given, expected)) return undefined
      // Ours, as the signature says.
      return JSON.parse(Buffer.from(text, 'base64url').toString()) as Held
    },
  }
}
export type LeaseTexts = ReturnType<typeof createLeaseTexts>
