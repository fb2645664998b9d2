import { type Line, type Place, type Placed, placeOf, placeText, rankOf, type Source } from './line.ts'
import type { Entry } from './queue.ts'

interface Waiting {
  readonly entry: Entry
  readonly rank: string
  /** Of something that was removed or put again; the heaps drop it when it comes up. */
  gone: boolean
}

interface Shelf {
  readonly place: Place
  readonly entries: Map<string, Waiting>
  readonly later: Heap<Waiting>
  readonly due: Map<string, Heap<Waiting>>
}

/**
 * A line in this process. What waits is known to one server only, and a start builds it from the table before anything is
 * taken; leases and times stand in the table as ever, so nothing is lost with it.
 */
export async function openMemoryLine(source: Source): Promise<Line> {
  const shelves = new Map<string, Shelf>()
  const out = new Map<string, Waiting>()
  let tickets = 0

  const shelfOf = (place: Place): Shelf => {
    const key = placeText(place)
    let shelf = shelves.get(key)
    if (!shelf) {
      shelf = { place: placeOf(key), entries: new Map(), later: createHeap(byTime), due: new Map() }
      shelves.set(key, shelf)
    }
    return shelf
  }

  function stand(shelf: Shelf, waiting: Waiting): void {
    const { handler } = waiting.entry
    if (!shelf.due.has(handler)) shelf.due.set(handler, createHeap(byRank))
    shelf.due.get(handler)!.push(waiting)
  }

  function put(shelf: Shelf, entry: Entry, now: number): void {
    const waiting = { entry, rank: rankOf(entry), gone: false }
    const old = shelf.entries.get(entry.runId)
    if (old?.rank === waiting.rank) return
    if (old) old.gone = true
    shelf.entries.set(entry.runId, waiting)
    if (entry.runAt > now) shelf.later.push(waiting)
    else stand(shelf, waiting)
  }

  const places = await source.places()
  for (let after = ''; ; ) {
    const page: Placed[] = await source.page(places, after)
    if (page.length === 0) break
    // Everything is later than never: the first sweep tells what is due.
    for (const entry of page) put(shelfOf(entry), entry, Number.NEGATIVE_INFINITY)
    after = page.at(-1)!.runId
  }

  return {
    shared: false,
    async change(place, changes, now) {
      const shelf = shelfOf(place)
      for (const change of changes) {
        if ('entry' in change) put(shelf, change.entry, now)
        else if (change.do === 'remove') {
          const old = shelf.entries.get(change.runId)
          if (old) old.gone = true
          shelf.entries.delete(change.runId)
        } else {
          const waiting = out.get(change.taken.ticket)
          out.delete(change.taken.ticket)
          if (waiting && change.do === 'back') put(shelf, waiting.entry, now)
        }
      }
      return true
    },
    async take(place, ask) {
      const shelf = shelfOf(place)
      const heaps = [...shelf.due].filter(([handler]) => !ask.except.includes(handler)).map(([, heap]) => heap)
      const taken = []
      while (taken.length < ask.limit) {
        let best: Heap<Waiting> | undefined
        for (const heap of heaps) {
          dropGone(heap)
          if (heap.first() && (!best || heap.first()!.rank < best.first()!.rank)) best = heap
        }
        const waiting = best?.pop()
        if (!waiting) break
        shelf.entries.delete(waiting.entry.runId)
        const ticket = String(++tickets)
        out.set(ticket, waiting)
        taken.push({ runId: waiting.entry.runId, ticket })
      }
      return taken
    },
    async sweep(now) {
      const runnable: Place[] = []
      let next: number | null = null
      for (const shelf of shelves.values()) {
        for (dropGone(shelf.later); shelf.later.first(); dropGone(shelf.later)) {
          if (shelf.later.first()!.entry.runAt > now) {
            next = Math.min(next ?? Number.POSITIVE_INFINITY, shelf.later.first()!.entry.runAt)
            break
          }
          stand(shelf, shelf.later.pop()!)
        }
        for (const [handler, heap] of shelf.due) {
          dropGone(heap)
          if (!heap.first()) shelf.due.delete(handler)
        }
        if (shelf.due.size > 0) runnable.push(shelf.place)
      }
      return { runnable, next }
    },
    say() {},
    hear() {},
    async close() {},
  }
}

function dropGone(heap: Heap<Waiting>): void {
  while (heap.first()?.gone) heap.pop()
}

const byRank = (a: Waiting, b: Waiting): boolean => a.rank < b.rank
const byTime = (a: Waiting, b: Waiting): boolean => a.entry.runAt < b.entry.runAt

interface Heap<T> {
  push(item: T): void
  first(): T | undefined
  pop(): T | undefined
}

/** A binary heap: the first is the one before which no other comes. */
function createHeap<T>(before: (a: T, b: T) => boolean): Heap<T> {
  const items: T[] = []
  const swap = (i: number, j: number) => {
    const item = items[i]!
    items[i] = items[j]!
    items[j] = item
  }
  return {
    push(item) {
      let i = items.push(item) - 1
      for (let up = (i - 1) >> 1; i > 0 && before(items[i]!, items[up]!); up = (i - 1) >> 1) {
        swap(i, up)
        i = up
      }
    },
    first: () => items[0],
    pop() {
      const first = items[0]
      const last = items.pop()
      if (items.length === 0 || last === undefined) return first
      items[0] = last
      for (let i = 0; ; ) {
        const [left, right] = [2 * i + 1, 2 * i + 2]
        let least = i
        if (left < items.length && before(items[left]!, items[least]!)) least = left
        if (right < items.length && before(items[right]!, items[least]!)) least = right
        if (least === i) return first
        swap(i, least)
        i = least
      }
    },
  }
}
