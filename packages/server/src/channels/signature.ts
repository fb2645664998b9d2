import { createHmac } from 'node:crypto'

/** The `timestamp` and `sign` of a Feishu or Lark bot with signature check: HMAC-SHA256 of nothing under both lines. */
export function feishuSignature(secret: string, at: number): { timestamp: string; sign: string } {
  const timestamp = String(Math.floor(at / 1000))
  return { timestamp, sign: createHmac('sha256', `${timestamp}\n${secret}`).update('').digest('base64') }
}
