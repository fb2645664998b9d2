import { createHmac, createSecretKey, type KeyObject } from 'node:crypto'
import { append, endOfLog } from '../audit/index.ts'
import { type Caller, personOf } from '../identity/index.ts'
import { AppError } from '../platform/app-error.ts'
import { type Database, inProject, type Tx, UniqueViolation } from '../platform/db/index.ts'
import { type EgressOf, EgressRefused } from '../platform/egress.ts'
import { uuidv7 } from '../platform/ids.ts'
import { redactor } from '../platform/redact/index.ts'
import type { Sealed } from './sealed.ts'
import * as store from './store.ts'

/** In which words a callback is told: the event itself, or the documented body of the dispatch door. */
export type CallbackWords = 'event' | 'dispatch'

export interface Callbacks {
  /**
   * Makes sure that a url can be told of runs, and answers which webhook does it, with as much of the url as may be seen.
   * Throws TASK_CALLBACK_REFUSED.
   */
  ensure(caller: Caller, url: string, words: CallbackWords): Promise<{ webhook_id: string; url: string }>
}

/** Says in the log that an address is told from now on. */
const noteAdded = (
  tx: Tx,
  caller: Caller,
  { id, words, shown }: { readonly id: string; readonly words: store.WebhookRow['callback']; readonly shown: string },
): Promise<void> =>
  append(tx, caller.at, caller, {
    type: 'webhook.created',
    resource: { type: 'webhook', id },
    action: `Added callback: ${shown}`,
    details: { format: words, url: shown, events: [] },
  })

const urlMac = (key: KeyObject, project: string, url: string): string =>
  createHmac('sha256', key).update(`${project}\n${url}`).digest('base64url')

/**
 * The digest of a callback's url under a key, for when its url is sealed anew under another: by the one of a key that is gone nobody
 * would find it, and whoever stopped it would be overruled.
 */
export const callbackMac = (key: Uint8Array, project: string, url: string): string =>
  urlMac(createSecretKey(key), project, url)

/** Callbacks are webhooks that nobody lists: the same queue, attempts, log of deliveries and replay. */
export function createCallbacks(on: {
  readonly db: Database
  readonly egressOf: EgressOf
  readonly sealed: Sealed
  /** Make the digest by which a url is found again: the live one, and the one before it. */
  readonly keys: readonly Uint8Array[]
}): Callbacks {
  const { db } = on
  const keys = on.keys.map((key) => createSecretKey(key))

  /** Whoever names it again says that it answers. What names it already, as schedules do, is told there again too. */
  async function tellAgain(
    tx: Tx,
    caller: Caller,
    { before, url, shown }: { readonly before: store.WebhookRow; readonly url: string; readonly shown: string },
  ): Promise<string> {
    const { id, callback } = before
    const row = await store.lockCallback(tx, id)
    if (row?.state === 'active') return id
    // A person who stopped it is not overruled by whoever dispatches a task; a receiver that did not answer is asked again.
    if (row?.state === 'disabled' && row.disabled_by_id !== null)
      throw new AppError('TASK_CALLBACK_REFUSED', { reason: 'somebody disabled its webhook' })
    const isBack = {
      state: 'active',
      disabled_reason: null,
      disabled_by_id: null,
      failing_since: null,
      updated_at: caller.at,
    } as const
    if (row?.state !== 'deleted') {
      await store.updateWebhook(tx, id, isBack)
      await append(tx, caller.at, caller, {
        type: 'webhook.updated',
        resource: { type: 'webhook', id },
        action: `Changed webhook: ${before.name}`,
        details: { changed: ['state'], url: before.url, events: [], state: 'active' },
      })
      return id
    }
    // Of one that was deleted nothing is left but its place.
    const sealed = { sealed_url: on.sealed.seal(id, 'url', url), sealed_headers: on.sealed.seal(id, 'headers', '{}') }
    await store.updateWebhook(tx, id, { ...isBack, ...sealed, url: shown })
    await noteAdded(tx, caller, { id, words: callback, shown })
    return id
  }

  return {
    async ensure(caller, url, words) {
      const project = caller.project!
      const egress = await on.egressOf(project)
      try {
        egress.check(url)
      } catch (error) {
        if (!(error instanceof EgressRefused)) throw error
        throw new AppError('TASK_CALLBACK_REFUSED', { reason: error.message })
      }
      const { origin, pathname, search } = new URL(url)
      const shown = redactor.text(`${origin}${pathname}${search && '?…'}`)
      const macs = keys.map((key) => urlMac(key, project, url))
      const mac = macs[0]!
      const find = async () => {
        for (const one of macs) {
          const found = await inProject(project, () => db.read((tx) => store.findCallback(tx, words, one)))
          if (found) return found
        }
        return undefined
      }
      const before = await find()
      if (before?.state === 'active') return { webhook_id: before.id, url: shown }
      try {
        const webhook_id = await inProject(project, () =>
          db.write(async (tx) => {
            if (before) return tellAgain(tx, caller, { before, url, shown })
            const id = uuidv7(caller.at)
            await store.insertWebhook(tx, {
              id,
              name: `callback to ${new URL(url).host}`,
              format: 'cloudevents',
              url: shown,
              sealed_url: on.sealed.seal(id, 'url', url),
              sealed_headers: on.sealed.seal(id, 'headers', '{}'),
              header_names: '[]',
              sealed_secret: null,
              sealed_previous_secret: null,
              previous_secret_until: null,
              events: '[]',
              state: 'active',
              disabled_reason: null,
              disabled_by_id: null,
              failing_since: null,
              created_by_id: personOf(caller),
              created_at: caller.at,
              updated_at: caller.at,
              callback: words,
              url_mac: mac,
              ordered: 0,
              handlers: '[]',
              earlier: null,
            })
            await store.beginReading(tx, await endOfLog(tx))
            await noteAdded(tx, caller, { id, words, shown })
            return id
          }),
        )
        return { webhook_id, url: shown }
      } catch (error) {
        // Somebody else was first with the same url.
        const rival = error instanceof UniqueViolation ? await find() : undefined
        if (!rival) throw error
        return { webhook_id: rival.id, url: shown }
      }
    },
  }
}
