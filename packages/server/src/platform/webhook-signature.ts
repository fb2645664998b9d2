import { createHmac, createSecretKey, randomBytes } from 'node:crypto'

/** A new signing secret as Standard Webhooks writes it: `whsec_` and base64 of 32 random bytes. */
export const newSecret = (): string => `whsec_${randomBytes(32).toString('base64')}`

/**
 * The three headers of Standard Webhooks 1.0 for one attempt. With several secrets, as during a rotation, there is a
 * signature by each, the newest first; a receiver accepts the message if it knows one.
 * @param at milliseconds; signed and sent as whole seconds
 */
export function signatureHeaders(
  secrets: readonly string[],
  message: { readonly id: string; readonly at: number; readonly body: string },
): Record<string, string> {
  const seconds = Math.floor(message.at / 1000)
  const signed = `${message.id}.${seconds}.${message.body}`
  const signatures = secrets.map((secret) => {
    const key = createSecretKey(secret.replace(/^whsec_/, ''), 'base64')
    return `v1,${createHmac('sha256', key).update(signed).digest('base64')}`
  })
  return {
    'webhook-id': message.id,
    'webhook-timestamp': String(seconds),
    // None to check is no signature, rather than an empty one.
    ...(signatures.length === 0 ? {} : { 'webhook-signature': signatures.join(' ') }),
  }
}
