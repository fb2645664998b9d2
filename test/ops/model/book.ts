/** What the operator's books say must be there: kept beside the server, from its answers alone. */
import assert from 'node:assert/strict'
import type { AuditEvent } from '@writ/api'

export interface Entry {
  readonly id: string
  readonly type: string
  readonly resource: string | null
  readonly shard: number
  readonly index: number
  /** What it said when it was first seen. */
  readonly said: string
}

export interface Erasure {
  /** The event of it. */
  readonly by: string
  readonly ground: string
}

export interface Ticket {
  readonly id: string
  readonly number: number
  readonly title: string
}

export interface Artifact {
  readonly id: string
  readonly ticket: string
  readonly run: string
  readonly text: string
  state: 'there' | 'erased' | 'deleted' | 'lost'
}

export interface Hold {
  readonly id: string
  /** Null for the whole project. */
  readonly ticket: string | null
  released: boolean
}

/** A project as of now; a copy of it is what a backup has. */
export interface ProjectBook {
  /** In the order of the logs. */
  entries: Entry[]
  readonly erasures: Map<string, Erasure>
  /** Shards that retention dropped. */
  readonly dropped: Set<number>
  readonly tickets: Ticket[]
  readonly artifacts: Artifact[]
  readonly holds: Hold[]
  /** Who has asked for the oldest closed log to go: when, and which log. */
  asked: { shard: number; at: number } | null
}

export const openProjectBook = (): ProjectBook => ({
  entries: [],
  erasures: new Map(),
  dropped: new Set(),
  tickets: [],
  artifacts: [],
  holds: [],
  asked: null,
})

export const copyOf = (book: ProjectBook): ProjectBook => structuredClone(book)

/** An acknowledged change: what event must tell of it, once. */
export interface Change {
  readonly type: string
  readonly resource: string
}

const keyOf = ({ type, resource }: Change | Entry) => `${type} ${resource}`
const before = (a: Pick<Entry, 'shard' | 'index'>, b: Pick<Entry, 'shard' | 'index'>) =>
  a.shard - b.shard || a.index - b.index

/** What an event says, whatever is known of its erasure. */
function saidOf(event: AuditEvent): string {
  const {
    id: _,
    shard: __,
    log_index: ___,
    erased_index: ____,
    erased_shard: _____,
    ...said
  } = event as AuditEvent & Record<string, unknown>
  return JSON.stringify(said)
}

export const isErased = (event: AuditEvent): boolean => event.erased_index !== undefined

export const entryOf = (event: AuditEvent): Entry => ({
  id: event.id,
  type: event.event_type,
  resource: event.resource_id,
  shard: event.shard!,
  index: event.log_index!,
  said: saidOf(event),
})

/**
 * Holds the events that a server shows against the book: what was there is there, at its place and as it was, unless it was erased or
 * dropped; what is new stands behind it, without a gap; each change that was answered is told of once, in the order of the answers.
 */
export function compareEntries(book: ProjectBook, shown: readonly AuditEvent[], changes: readonly Change[]): void {
  const events = shown.filter(({ log_index }) => log_index !== null).sort((a, b) => before(placeOf(a), placeOf(b)))
  assert.deepEqual(
    events.filter(({ shard }) => book.dropped.has(shard!)),
    [],
    'nothing is shown of a log that was dropped',
  )
  const next = new Map<number, number>()
  for (const { shard, log_index } of events) {
    assert.equal(log_index, next.get(shard!) ?? 0, `log ${shard} has each place once`)
    next.set(shard!, log_index! + 1)
  }
  const known = book.entries.filter(({ shard }) => !book.dropped.has(shard))
  for (const [i, entry] of known.entries()) {
    const event = events[i]
    assert.deepEqual([event?.id, event?.shard, event?.log_index], [entry.id, entry.shard, entry.index], 'places stay')
    compareOne(book, entry, event!, events)
  }
  const added = events.slice(known.length)
  const last = book.entries.at(-1)
  for (const event of added)
    assert.ok(!last || before(last, placeOf(event)) < 0, 'what is new comes behind what was there')
  book.entries = [...book.entries, ...added.map(entryOf)]
  const told = book.entries.map(keyOf)
  let at = 0
  for (const change of changes) {
    const key = keyOf(change)
    assert.equal(told.filter((one) => one === key).length, 1, `${key} is told of once`)
    const index = told.indexOf(key)
    assert.ok(index >= at, `${key} is told of in its turn`)
    at = index
  }
}

function compareOne(book: ProjectBook, entry: Entry, event: AuditEvent, events: readonly AuditEvent[]): void {
  const erasure = book.erasures.get(entry.id)
  if (!erasure) {
    assert.equal(saidOf(event), entry.said, `entry ${entry.index} of log ${entry.shard}`)
    return
  }
  assert.ok(isErased(event), `entry ${entry.index} of log ${entry.shard} was erased`)
  const by = events.find(({ id }) => id === erasure.by)
  assert.ok(by, 'the erasure is told of')
  assert.deepEqual([event.erased_index, event.erased_shard], [by.log_index, by.shard])
  const { ground, event_id } = by.details as { ground: string; event_id: string }
  assert.deepEqual([ground, event_id], [erasure.ground, entry.id])
}

const placeOf = (event: AuditEvent) => ({ shard: event.shard!, index: event.log_index! })

/** The hold that keeps something of a ticket, or of the project where none is named. */
export const heldBy = (book: ProjectBook, ticket: string | null): Hold | undefined =>
  book.holds.find((hold) => !hold.released && (hold.ticket === null || hold.ticket === ticket))
