import { listProjects } from '../../identity/index.ts'
import { type Database, inProject, type Tx } from '../../platform/db/index.ts'
import { type Depth, type Queue, queueOfPlace } from '../../queue/index.ts'
import * as store from './store.ts'

/** What waits, of all projects together, at one moment. */
export interface Backlog {
  readonly queues: readonly Depth[]
  readonly deadLetters: number
}

/** One scrape reads several gauges, ours and the documented ones, which are of one moment. */
const FRESH_MS = 1_000

/** What waits, read once for all who ask within a second. */
export function createBacklog(db: Database, queue: Queue): () => Promise<Backlog> {
  let last: { at: number; backlog: Promise<Backlog> } | undefined
  return () => {
    const now = performance.now()
    if (!last || now - last.at > FRESH_MS) last = { at: now, backlog: readBacklog(db, queue) }
    return last.backlog
  }
}

async function readBacklog(db: Database, queue: Queue): Promise<Backlog> {
  const queues = new Map<string, Depth>()
  let deadLetters = 0
  for (const { id } of await listProjects(db))
    await inProject(id, () =>
      db.read(async (tx) => {
        deadLetters += await store.countTasks(tx, { dead: true })
        for (const depth of (await depthsOf(tx, queue)).values()) add(queues, depth)
        // A queue in which nothing is left shows nothing, instead of being gone from the graph.
        for (const { name } of await store.listQueues(tx)) add(queues, { ...EMPTY, queue: name })
      }),
    )
  return { queues: [...queues.values()], deadLetters }
}

/** What is in the queues of a project, or in one, by name: what waits for workers elsewhere is with the rest of its queue. */
export async function depthsOf(tx: Tx, queue: Queue, name?: string): Promise<Map<string, Depth>> {
  const found = new Map<string, Depth>()
  for (const one of await queue.depth(tx, name))
    if (!one.queue.startsWith('.')) add(found, { ...one, queue: queueOfPlace(one.queue) })
  return found
}

const EMPTY = { waiting: 0, delayed: 0, claimed: 0, oldest: null } as const

function add(to: Map<string, Depth>, one: Depth): void {
  const before = to.get(one.queue)
  to.set(one.queue, before ? sumOf(before, one) : one)
}

const sumOf = (a: Depth, b: Depth): Depth => ({
  queue: a.queue,
  waiting: a.waiting + b.waiting,
  delayed: a.delayed + b.delayed,
  claimed: a.claimed + b.claimed,
  oldest: a.oldest === null ? b.oldest : b.oldest === null ? a.oldest : Math.min(a.oldest, b.oldest),
})
