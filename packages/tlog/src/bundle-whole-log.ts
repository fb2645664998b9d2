import {
  type BundleCheck,
  type BundleDescription,
  type BundledEntry,
  type BundledLog,
  BundleError,
  type BundleFiles,
  type BundlePrimitives,
  counted,
  readFileOf,
  within,
} from './bundle.ts'
import { equalBytes } from './bytes.ts'
import { decodeEntry } from './entry.ts'
import { createCompactRange, createTreeHasher } from './merkle.ts'
import { decodeBundle, TILE_WIDTH, tilePath, tileWidth } from './tile.ts'

/**
 * Logs of which every entry is in the bundle: they give the root of its checkpoint, and of what was in the log when the bundle was
 * made (`whole_to`) each entry about the bundle's things is among those that come with their payload. So nothing said of them was left
 * out, the newest included. An entry names things by their ids alone; of a run that is not here nothing tells whose it is.
 */
export async function checkWholeLogs(
  files: BundleFiles,
  described: BundleDescription,
  logs: readonly BundledLog[],
  entries: readonly BundledEntry[],
  on: BundlePrimitives,
): Promise<BundleCheck[]> {
  const things = thingsOf(files, described, entries)
  const checks: BundleCheck[] = []
  for (const log of logs) {
    const { whole_to: end } = described.logs.find(({ name }) => name === log.name)!
    const folder = `logs/${log.name}/tile/`
    const there = files.names.filter((name) => name.startsWith(folder)).length
    if (end === undefined && there === 0) continue
    const { size } = log.checkpoint
    if (end === undefined || end > size || there !== Math.ceil(size / TILE_WIDTH))
      throw new BundleError('BUNDLE_MALFORMED', folder, 'not_whole_log')
    const here = new Set(entries.filter((one) => one.log === log).map(({ index }) => index))
    const range = createCompactRange(on.sha256)
    const { leaf } = createTreeHasher(on.sha256)
    const successors: string[] = []
    for (let index = 0; index * TILE_WIDTH < size; index++) {
      const width = tileWidth(size, 0, index)
      const path = `logs/${log.name}/${tilePath({ level: 'entries', index, width })}`
      const tile = await readFileOf(files)(path)
      for (const bytes of await within('ENTRY_MALFORMED', path, () => decodeBundle(tile, width))) {
        const place = range.size
        range.append(leaf(bytes))
        const entry = await within('ENTRY_MALFORMED', path, () => decodeEntry(bytes))
        if (entry.act === 'log.succeeded' && entry.res !== undefined) successors.push(entry.res)
        if (place >= end || here.has(place)) continue
        const about = [entry.res, entry.run].find((id) => id !== undefined && things.has(id))
        if (about !== undefined)
          throw new BundleError('ENTRY_LEFT_OUT', path, 'entry_about', { index: place, act: entry.act, id: about })
      }
    }
    if (!equalBytes(range.root(), log.checkpoint.root)) throw new BundleError('PROOF_INVALID', folder, 'other_root')
    const next = successors.at(-1)
    // A rotation that was stopped has named one that never came to be, before or after the one that did.
    const isLast =
      next !== undefined && !described.logs.some(({ vkeys }) => successors.some((key) => vkeys.includes(key)))
    checks.push({
      state: 'verified',
      what: `${log.role} log ${log.origin}, whole: of its first ${counted(end, 'entry', 'entries')} none about what is here was left out`,
      code: 'whole_log',
      values: { role: log.role, origin: log.origin, count: end },
      parts: isLast
        ? [
            {
              state: 'note',
              what: `it says that it is continued under ${next}, which is not here`,
              code: 'whole_log_goes_on',
              values: { vkey: next },
            },
          ]
        : [],
    })
  }
  return checks
}

/** By their ids: what the bundle is about, and what of that has a life in the log of its own. */
function thingsOf(
  files: BundleFiles,
  described: BundleDescription,
  entries: readonly BundledEntry[],
): ReadonlySet<string> {
  const things = new Set([described.subject.id, ...described.artifacts.map(({ id }) => id)])
  for (const name of files.names) {
    const key = /^people\/([^/]+)\//.exec(name)?.[1]
    if (key !== undefined) things.add(key)
  }
  for (const { entry, log } of entries) {
    if (log.role !== 'project') continue
    if (entry.run !== undefined) things.add(entry.run)
    if (entry.act.startsWith('ticket.') && entry.res !== undefined) things.add(entry.res)
  }
  return things
}
