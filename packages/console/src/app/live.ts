import type { QueryClient } from '@tanstack/react-query'
import { useQueryClient } from '@tanstack/react-query'
import type { Event } from '@writ/api'
import type { Client } from '@writ/sdk'
import { useEffect } from 'react'
import { hearing, reachable } from './client.ts'

// Lists that count what is new without moving.
const listeners = new Set<(event: Event) => void>()

/** Hears every event of the project that the person may see. */
export function useEvents(hear: (event: Event) => void): void {
  useEffect(() => {
    listeners.add(hear)
    return () => {
      listeners.delete(hear)
    }
  }, [hear])
}

/** What is asked again when something of a group happened. Lists of tickets and runs count instead; see parts/list.tsx. */
const touched: Readonly<Record<string, readonly string[]>> = {
  ticket: ['ticket', 'approvals', 'comments', 'trail', 'seals', 'waiting', 'row'],
  approval: ['ticket', 'approvals', 'trail'],
  run: ['run', 'task', 'ticket', 'ticket-runs', 'trail', 'seals', 'waiting', 'row', 'queues'],
  artifact: ['artifacts', 'trail', 'run'],
  asset: ['assets'],
  // One's own role among them.
  member: ['members', 'users', 'me'],
  token: ['tokens'],
  policy: ['policy', 'policy-changes'],
  signing_key: ['signing-keys'],
  rule_set: ['scripts', 'rule-sets'],
  webhook: ['webhooks', 'deliveries'],
  hold: ['holds'],
  log: ['logs'],
  queue: ['queues'],
  schedule: ['schedules'],
  handler: ['handlers'],
  dead_letters: ['dead-letters', 'waiting'],
}

// Who one is changes rarely; and reading the log is itself an event of the log.
const costly = new Set<unknown>(['me', 'audit-events', 'audit-event'])
const POLL_MS = 15_000
const SILENT_MS = 6_000

/** What the tabs of one browser tell each other: an event, how the one that listens hears, or the question for that. */
type Word = { event: Event } | { hearing: 'live' | 'polling' } | { ask: true }

/**
 * Follows a project: by its event stream, and by asking every 15 s for as long as the stream does not come through.
 *
 * A browser opens six connections to a server, for all its tabs together, and a stream holds one of them. So of the tabs that
 * look at a project one listens and tells the others; when it is closed the next one goes on behind what was told last.
 */
export function useLive(client: Client, project: string): void {
  const queries = useQueryClient()
  useEffect(() => {
    const stop = new AbortController()
    const name = `writ ${project}`
    const tabs = new BroadcastChannel(name)
    const say = (word: Word) => tabs.postMessage(word)
    const asking = createTouch(queries, project)
    let leads = false
    let last: string | undefined
    const heard = (event: Event) => {
      last = event.sequence ?? last
      take(asking.touch, event)
    }
    const tell = () => {
      const state = hearing.get()
      if (leads && state !== 'connecting') say({ hearing: state })
    }
    tabs.onmessage = ({ data }: MessageEvent<Word>) => {
      if ('event' in data) heard(data.event)
      else if ('ask' in data) tell()
      else if (!leads) hearing.set(data.hearing)
    }
    hearing.set('connecting')
    const untell = hearing.subscribe(tell)
    say({ ask: true })
    void whenAlone(name, stop.signal, async () => {
      leads = true
      await follow(client, last, stop.signal, (event) => {
        say({ event })
        heard(event)
      })
      leads = false
    })
    const silent = setTimeout(() => hearing.get() === 'connecting' && hearing.set('polling'), SILENT_MS)
    const polling = setInterval(() => {
      if (hearing.get() !== 'live' && !document.hidden)
        void queries.invalidateQueries({
          predicate: ({ queryKey }) => queryKey[0] === project && !costly.has(queryKey[1]),
        })
    }, POLL_MS)
    return () => {
      stop.abort()
      asking.stop()
      untell()
      tabs.close()
      clearTimeout(silent)
      clearInterval(polling)
    }
  }, [client, project, queries])
}

/** Does the work in one tab at a time. Ends when the work does, or without it when the signal comes first. */
async function whenAlone(name: string, signal: AbortSignal, work: () => Promise<void>): Promise<void> {
  try {
    await navigator.locks.request(name, { signal }, work)
  } catch (error) {
    if (!signal.aborted) throw error
  }
}

async function follow(
  client: Client,
  after: string | undefined,
  signal: AbortSignal,
  take: (event: Event) => void,
): Promise<void> {
  try {
    for await (const event of client.watch({ signal, ...(after === undefined ? {} : { after }) })) take(event)
  } catch {
    // A refusal: the session has ended or the role was taken away. The pages say so when they ask the next time.
    if (!signal.aborted) hearing.set('polling')
  }
}

function take(touch: (name: string) => void, event: Event): void {
  for (const name of touched[event.data.event_type.split('.')[0] ?? ''] ?? []) touch(name)
  for (const hear of listeners) hear(event)
}

/** The first question comes at once; those that a burst of events would ask are asked together, and a second apart. */
const TOGETHER_MS = 50
const APART_MS = 1_000

/** Asks again for what was touched, however many events touched it. */
function createTouch(queries: QueryClient, project: string) {
  const names = new Set<string>()
  let timer: ReturnType<typeof setTimeout> | undefined
  let askedAt = 0
  const ask = () => {
    timer = undefined
    askedAt = performance.now()
    for (const name of names) void queries.invalidateQueries({ queryKey: [project, name] })
    names.clear()
  }
  return {
    touch(name: string): void {
      names.add(name)
      timer ??= setTimeout(ask, Math.max(TOGETHER_MS, askedAt + APART_MS - performance.now()))
    },
    stop: () => clearTimeout(timer),
  }
}

/** The one sign of the connection: everything is well, we ask instead of hearing, or nobody answers. */
export const connection = {
  get: (): 'ok' | 'polling' | 'lost' => (!reachable.get() ? 'lost' : hearing.get() === 'polling' ? 'polling' : 'ok'),
  subscribe(hear: () => void) {
    const [one, other] = [reachable.subscribe(hear), hearing.subscribe(hear)]
    return () => {
      one()
      other()
    }
  },
}
