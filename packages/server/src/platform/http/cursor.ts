import { createHmac, timingSafeEqual } from 'node:crypto'
import { AppError } from '../app-error.ts'

/**
 * Opaque page cursors: the last sort key and a digest of list and filters, signed, so that a client can neither forge a
 * position nor carry one over to another list. `secret` is the server's.
 */
export function createCursors(secret: string) {
  const sign = (text: string) => createHmac('sha256', secret).update(`cursor\n${text}`).digest('base64url').slice(0, 22)
  return {
    /** `of` names list and filters; `at` is where the next page begins. */
    make(of: string, at: string): string {
      const text = Buffer.from(at).toString('base64url')
      return `${text}.${sign(`${of}\n${text}`)}`
    },
    /** Throws CURSOR_INVALID for anything that `make` did not make for the same list and filters. */
    read(of: string, cursor: string): string {
      const [text = '', signature = ''] = cursor.split('.')
      const expected = Buffer.from(sign(`${of}\n${text}`))
      const given = Buffer.from(signature)
      if (given.length !== expected.length || !timingSafeEqual(given, expected)) throw new AppError('CURSOR_INVALID')
      return Buffer.from(text, 'base64url').toString()
    },
  }
}
export type Cursors = ReturnType<typeof createCursors>
