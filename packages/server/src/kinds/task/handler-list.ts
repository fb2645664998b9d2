import type { ListPart, Tx } from '../../platform/db/index.ts'
import type { BrokenFile, Handler, Handlers } from './handler.ts'
import type { HttpHandlers } from './http/http-handlers.ts'
import type { RemoteHandlers } from './remote/registry.ts'

interface On {
  readonly handlers: Handlers
  readonly http: HttpHandlers
  readonly remote: RemoteHandlers
}

type Listed = Handler | BrokenFile

/** Where a handler stands in the list: those of the server first, then addresses, workers', and files that are none yet; each by name. */
export const placeOf = (one: Listed): string => ('file' in one ? `3 ${one.file}` : `${rankOf(one)} ${one.name}`)

const rankOf = ({ source }: Handler): number => (source === 'http' ? 1 : source === 'worker' ? 2 : 0)

/** A part of what tasks of this project may name. A name that the server took since it was registered is the server's. */
export async function handlersIn({ handlers, http, remote }: On, tx: Tx, part: ListPart): Promise<Listed[]> {
  const own = handlers.list()
  const [rank, after] = part.after === undefined ? [0, undefined] : [Number(part.after[0]), part.after.slice(2)]
  // Some may have to be left out.
  const limit = part.skip + part.limit + own.length
  const behind = (from: number) => ({ limit, after: rank === from ? after : undefined })
  const theirs = [
    ...(rank <= 1 ? await http.list(tx, behind(1)) : []),
    ...(rank <= 2 ? await remote.list(tx, behind(2)) : []),
  ].filter(({ name }) => !handlers.find(name))
  const isBehind = (one: Listed) => part.after === undefined || placeOf(one) > part.after
  const broken = handlers.broken().toSorted((a, b) => (a.file < b.file ? -1 : 1))
  return [...own.filter(isBehind), ...theirs, ...broken.filter(isBehind)].slice(part.skip, part.skip + part.limit)
}

export async function countHandlersIn({ handlers, http, remote }: On, tx: Tx): Promise<number> {
  const own = handlers.list()
  const names = own.map(({ name }) => name)
  const hidden = (await http.find(tx, names)).size + (await remote.find(tx, names)).size
  return own.length + (await http.count(tx)) + (await remote.count(tx)) - hidden + handlers.broken().length
}
