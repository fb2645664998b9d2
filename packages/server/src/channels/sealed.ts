import type { Seal, SealedColumn } from '../identity/index.ts'
import { callbackMac } from './callbacks.ts'
import type { WebhookRow } from './store.ts'

/** What of a webhook is secret, sealed at rest: a chat's url is its password, and a header may be one. */
export interface Sealed {
  seal(id: string, part: Part, text: string): string
  urlOf(row: Pick<WebhookRow, 'id' | 'sealed_url'>): string
  headersOf(row: Pick<WebhookRow, 'id' | 'sealed_headers'>): Record<string, string>
  /** The secrets that sign now, the newest first; for a day after a rotation the one before it too. */
  secretsOf(
    row: Pick<WebhookRow, 'id' | 'sealed_secret' | 'sealed_previous_secret' | 'previous_secret_until'>,
    now: number,
  ): string[]
}
type Part = 'url' | 'headers' | 'secret'

// The part is bound too, so that no sealed value can be put in another's place.
const about = (id: string, part: Part) => `${id} ${part}`

const partOf = {
  sealed_url: 'url',
  sealed_headers: 'headers',
  sealed_secret: 'secret',
  sealed_previous_secret: 'secret',
} as const

/** Where sealed values of webhooks are. */
export const sealedOfWebhooks: readonly SealedColumn[] = Object.entries(partOf).map(([column, part]) => ({
  table: 'webhooks',
  column,
  key: 'id',
  purpose: 'webhooks',
  about: ({ key }) => about(key, part),
  ...(column === 'sealed_url'
    ? { found: { column: 'url_mac', purpose: 'callbacks', within: 'callback', by: callbackMac } }
    : {}),
}))

export function createSealed(seal: Seal): Sealed {
  return {
    seal: (id, part, text) => seal.seal(text, about(id, part)),
    urlOf: (row) => seal.open(row.sealed_url, about(row.id, 'url')),
    // Sealed by `seal` from an object of strings.
    headersOf: (row) => JSON.parse(seal.open(row.sealed_headers, about(row.id, 'headers'))) as Record<string, string>,
    secretsOf(row, now) {
      const previous = (row.previous_secret_until ?? 0) > now ? row.sealed_previous_secret : null
      return [row.sealed_secret, previous]
        .filter((sealed) => sealed !== null)
        .map((sealed) => seal.open(sealed, about(row.id, 'secret')))
    },
  }
}
