/** Those who watch, each in one of the ways of docs/events.md: they come back by themselves and go on behind what came last. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Event, EventPage } from '@writ/api'
import { createClient } from '@writ/sdk'
import WebSocket from 'ws'
import type { Mark, Watched } from './book.ts'
import type { Kind, Order } from './program.ts'

/** How long somebody waits before they come back. */
const AWAY_MS = 20

export interface Watcher extends Watched {
  readonly kind: Kind
  readonly project: number
  isAsleep: boolean
  /** What it met that it cannot go on behind. */
  broken: Error | undefined
  /** Of a socket; resolves when it is confirmed, or never if the connection breaks before. */
  say(order: Extract<Order, { do: 'say' }>): boolean
  sleep(): void
  wake(): void
  leave(): Promise<void>
}

export interface Going {
  readonly url: string
  readonly slug: string
  token(): Promise<string>
}

export function startWatcher(on: Going, what: Pick<Watcher, 'kind' | 'who' | 'types' | 'from' | 'project'>): Watcher {
  const marks: Mark[] = []
  const leaving = new AbortController()
  /** Behind which it goes on. */
  let last = what.from
  let awake = Promise.resolve()
  let wakeUp = () => {}
  let socket: WebSocket | undefined

  const heard = ({ sequence, id, data }: Event) => {
    last = sequence!
    marks.push({ event: { sequence: sequence!, id, type: data.event_type } })
  }
  const passed = (place: string) => {
    last = place
    marks.push({ place })
  }
  const headers = async () => ({ authorization: `Bearer ${await on.token()}`, 'x-project': on.slug })
  const query = (after: boolean) =>
    new URLSearchParams({
      ...(what.types.includes('*') ? {} : { types: what.types.join(',') }),
      ...(after && last !== undefined ? { after: last } : {}),
    })

  const ways: Record<Kind, () => Promise<void>> = {
    async stream() {
      const answer = await fetch(`${on.url}/api/v1/events?${query(false)}`, {
        headers: {
          ...(await headers()),
          accept: 'text/event-stream',
          ...(last === undefined ? {} : { 'last-event-id': last }),
        },
        signal: leaving.signal,
      })
      mustBe(answer.status)
      let text = ''
      for await (const piece of answer.body!.pipeThrough(new TextDecoderStream())) {
        await awake
        text += piece
        const blocks = text.split('\n\n')
        text = blocks.pop()!
        for (const block of blocks) {
          const data = /^data: (.*)$/m.exec(block)?.[1]
          const id = /^id: (.*)$/m.exec(block)?.[1]
          if (data !== undefined) {
            const event = JSON.parse(data) as Event
            if (event.sequence !== id) throw new Error(`the id of ${event.sequence} was ${id}`)
            heard(event)
          } else if (id !== undefined) passed(id)
        }
      }
    },
    async pages() {
      for (;;) {
        const answer = await fetch(`${on.url}/api/v1/events?limit=7&wait=2&${query(true)}`, {
          headers: await headers(),
          signal: leaving.signal,
        })
        mustBe(answer.status)
        const { items, last: place } = (await answer.json()) as EventPage
        await awake
        for (const event of items) heard(event)
        passed(place)
      }
    },
    async client() {
      const client = createClient({
        url: on.url,
        token: await on.token(),
        project: on.slug,
        retry: { base_ms: AWAY_MS },
      })
      const args = { types: what.types, ...(last === undefined ? {} : { after: last }), signal: leaving.signal }
      for await (const event of client.watch(args)) {
        heard(event)
        await awake
      }
    },
    async socket() {
      const url = `${on.url.replace('http', 'ws')}/api/v1/ws?${query(true)}`
      const sent = { headers: await headers() }
      if (leaving.signal.aborted) return
      const own = new WebSocket(url, sent)
      socket = own
      if (what.from !== undefined || last !== undefined) marks.push({ again: true })
      leaving.signal.addEventListener('abort', () => own.terminate())
      await new Promise<void>((done, fail) => {
        own.on('error', fail)
        own.on('close', (code, reason) => {
          if (code === 1011 || String(reason).startsWith('after is')) fail(new Refused(`${code} ${reason}`))
          else done()
        })
        own.on('message', (data) => {
          const said = JSON.parse(String(data)) as Said
          if (said.type === 'event') heard(said.event!)
          else if (said.type === 'subscription:confirmed')
            marks.push({ filter: { events: said.events!, except: said.except ?? [] } })
          else if (said.type === 'ping' || (said.type === 'connection:status' && said.status === 'connected'))
            passed(said.sequence!)
          else if (said.type === 'error') fail(new Refused(said.message ?? 'an error'))
        })
      })
    },
  }

  const watcher: Watcher = {
    ...what,
    marks,
    isAsleep: false,
    broken: undefined,
    say(order) {
      if (socket?.readyState !== WebSocket.OPEN) return false
      socket.send(
        JSON.stringify({ action: order.action, ...(order.action === 'subscribe_all' ? {} : { events: order.events }) }),
      )
      return true
    },
    sleep() {
      watcher.isAsleep = true
      awake = new Promise((resolve) => {
        wakeUp = resolve
      })
      if (socket?.readyState === WebSocket.OPEN) socket.pause()
    },
    wake() {
      watcher.isAsleep = false
      wakeUp()
      if (socket?.readyState === WebSocket.OPEN) socket.resume()
    },
    async leave() {
      leaving.abort()
      watcher.wake()
      await over
    },
  }
  const over = (async () => {
    while (!leaving.signal.aborted) {
      await awake
      await ways[what.kind]().catch((error: unknown) => {
        if (error instanceof Refused) watcher.broken = error
      })
      await sleep(AWAY_MS)
    }
  })()
  return watcher
}

interface Said {
  readonly type: string
  readonly status?: string
  readonly sequence?: string
  readonly events?: string[]
  readonly except?: string[]
  readonly event?: Event
  readonly message?: string
}

/** The server said no to what it promises. */
class Refused extends Error {}

/** A token that ended is replaced at the next try; a server that starts or stops is tried again. */
function mustBe(status: number): void {
  if (status === 200) return
  if (status === 401 || status >= 500) throw new Error(`answered ${status}`)
  throw new Refused(`answered ${status}`)
}
