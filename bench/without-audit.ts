/**
 * For the peer of the audit figures: loaded before the server (`--import`), it makes `appendAll` write nothing. The product
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
    if (!source.includes(BEGINNING)) throw new Error(`${APPEND} no longer begins appendIn with "${BEGINNING}"`)
    return { ...loaded, source: source.replace(BEGINNING, 'if (all) return') }
  },
})
