/**
 * For the peer of the audit figures: loaded before the server (`--import`), it makes no events and writes none. The product
 * itself has no such switch; what the benchmark composes here exists nowhere else.
 */
import { registerHooks } from 'node:module'

const APPEND = '/packages/server/src/audit/append.ts'
const BEGINNING = 'if (all.length === 0) return'

registerHooks({
  load(url, context, next) {
    const loaded = next(url, context)
    if (!url.endsWith(APPEND)) return loaded
    const source = String(loaded.source)
    const parts = source.split(BEGINNING)
    if (parts.length !== 3)
      throw new Error(`${APPEND} no longer begins appendIn and draftEvents, and nothing else, with "${BEGINNING}"`)
    return { ...loaded, source: parts.join('if (all) return') }
  },
})
