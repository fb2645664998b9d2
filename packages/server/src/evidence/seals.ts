import type { evidenceApi, Seal } from '@writ/api'
import { parseCheckpoint, parseNote } from '@writ/tlog'
import { countPlaced, findAnchored, listLogs } from '../audit/index.ts'
import { type Caller, personOf, seesAll } from '../identity/index.ts'
import type { Ask } from '../platform/http/mount.ts'
import * as store from './store.ts'
import type { TrailOn } from './trail.ts'

/** How far each of some tickets or runs is sealed. What the caller may not see is left out, like what is not there. */
export async function sealsOf(on: Pick<TrailOn, 'db'>, ask: Ask<typeof evidenceApi.seals, Caller>): Promise<Seal[]> {
  const { caller, query } = ask
  const numbers = query.ids.split(',').map(Number)
  const of = seesAll(caller) ? null : personOf(caller)
  const { things, placed, logs } = await ask.read(async (tx) => {
    const found = await store.listSealed(tx, query.subject, numbers, of)
    const about = found.flatMap(({ id, runs }) => [id, ...runs])
    return { things: found, placed: about.length === 0 ? [] : await countPlaced(tx, about), logs: await listLogs(tx) }
  })
  const log = logs.at(-1)
  const published = log?.checkpoint ? parseCheckpoint(parseNote(log.checkpoint).text).size : 0
  const anchored = new Map<number, number>()
  for (const row of logs)
    if (placed.some(({ shard }) => shard === row.shard))
      anchored.set(row.shard, (await findAnchored(on.db, row))?.size ?? 0)
  return things.map(({ id, number, runs }) => {
    const own = placed.filter(({ resource_id }) => resource_id === id || runs.includes(resource_id))
    const count = (rows: typeof own) => rows.reduce((sum, { events }) => sum + events, 0)
    const inLog = own.filter(({ shard }) => shard !== null)
    const newest = Math.max(-1, ...inLog.map(({ shard }) => shard!))
    const last = Math.max(-1, ...inLog.filter(({ shard }) => shard === newest).map(({ last_index }) => last_index!))
    const pending = count(own) - count(inLog)
    // A log that was closed was published whole.
    const closed = log !== undefined && newest < log.shard
    return {
      id,
      number,
      entries: count(inLog),
      pending,
      last_index: last < 0 ? null : last,
      last_shard: last < 0 || logs.length < 2 ? null : newest,
      sealed: last >= 0 && pending === 0 && (closed || last < published),
      anchored: last >= 0 && pending === 0 && last < (anchored.get(newest) ?? 0),
    }
  })
}
