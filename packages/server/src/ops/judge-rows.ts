import { createHash } from 'node:crypto'
import { accountName, type Flaw, flawOf, hashFlaw, lostAsset, openFile } from './import-flaws.ts'
import type { Imported } from './import-from.ts'
import { type Source, type SourceRow, type SourceTable, sourceTables } from './store.ts'

/**
 * What an import into an empty Writ would take over and leave out. Reads every row and every file; writes nothing anywhere, and
 * knows nothing of what is here already.
 */
export async function judgeRows(on: {
  readonly source: Source
  readonly artifacts?: string | undefined
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((step: { done: number; size: number; what: string }) => void) | undefined
}): Promise<Imported> {
  const imported = { users: 0, assets: 0, tickets: 0, runs: 0, artifacts: 0 }
  const skipped: (Flaw & { what: string })[] = []
  const changed: (Flaw & { what: string })[] = []
  const taken: Record<SourceTable, Set<number>> = {
    users: new Set(),
    assets: new Set(),
    tickets: new Set(),
    runs: new Set(),
    artifacts: new Set(),
  }
  const people = new Set<string>()
  const isThere = (table: SourceTable, id: number) => taken[table].has(id)

  async function judge(table: SourceTable, row: SourceRow): Promise<Flaw | undefined> {
    if (table === 'users') {
      const { name, flaw } = accountName(row, (one) => people.has(one.toLowerCase()))
      people.add(name.toLowerCase())
      if (flaw) changed.push({ what: `users ${row.id}`, ...flaw })
    }
    const flaw = flawOf(table, row, isThere)
    const lost = table === 'tickets' && flaw === undefined ? lostAsset(row, isThere) : undefined
    if (lost) changed.push({ what: `tickets ${row.id}`, ...lost })
    if (flaw !== undefined || table !== 'artifacts') return flaw
    const file = await openFile(on.artifacts, row)
    if ('why' in file) return file
    const hash = createHash('sha256')
    for await (const chunk of file.createReadStream()) hash.update(chunk as Buffer)
    return hashFlaw(row, hash.digest('hex'))
  }

  for (const table of sourceTables) {
    const size = await on.source.count(table)
    let done = 0
    for await (const row of on.source.rows(table)) {
      on.signal?.throwIfAborted()
      const flaw = await judge(table, row)
      if (flaw !== undefined) skipped.push({ what: `${table} ${row.id}`, ...flaw })
      else {
        taken[table].add(row.id)
        imported[table]++
      }
      on.onProgress?.({ done: ++done, size, what: table })
    }
  }
  const already = { users: [], assets: [], tickets: [], runs: [], artifacts: [] }
  return { imported, already, skipped, changed, passwords: [] }
}
